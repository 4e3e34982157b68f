"""What callers give, checked once and brought into one form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.contract import MOST_CAPTION_TOKENS, MOST_STEPS
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS, Box
from perceptiondlm_ros.processing.regions import Region


def check_image(image: Any) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB as it is; grey [H, W] or [H, W, 1] repeated; RGBA without its alpha.

    Raises:
        InputError: any other shape or dtype, or no pixels.
    """
    expected = "expected uint8 [H, W, 3] RGB (grey and RGBA are converted)"
    if not isinstance(image, np.ndarray):
        raise InputError(f"image is a {type(image).__name__}, {expected}; use numpy.asarray(image)")
    if image.dtype != np.uint8:
        raise InputError(
            f"image has dtype {image.dtype}, {expected}; scale it to 0..255 and convert it"
        )
    grey = image[:, :, None] if image.ndim == 2 else image
    if grey.ndim != 3 or grey.shape[2] not in (1, 3, 4):
        raise InputError(f"image has shape {list(image.shape)}, {expected}")
    if not 0 < grey.shape[0] * grey.shape[1] <= MOST_PIXELS:
        raise InputError(f"image has shape {list(image.shape)}, expected 1 to {MOST_PIXELS} pixels")
    if grey.shape[2] == 1:
        grey = np.repeat(grey, 3, axis=2)
    return np.ascontiguousarray(grey[:, :, :3])


def check_regions(regions: Any, height: int, width: int) -> list[Region]:
    """All regions of an image, in the caller's order.

    Args:
        regions: boolean masks [H, W], or boxes (x0, y0, x1, y1) in pixels, mixed freely. What
            reaches outside the image is cut off.

    Raises:
        InputError: names the region that is neither, has no area, or lies outside the image.
    """
    several = isinstance(regions, Sequence) and not isinstance(regions, (str, bytes))
    if not several and not (isinstance(regions, np.ndarray) and regions.ndim):
        raise InputError(
            f"regions is a {type(regions).__name__}, expected a sequence of boolean masks [H, W] "
            "and boxes (x0, y0, x1, y1)"
        )
    return [_region(region, i, height, width) for i, region in enumerate(regions)]


def _region(region: Any, index: int, height: int, width: int) -> Region:
    try:
        array = np.asarray(region)
    except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor that NumPy can't read
        array = np.empty(0)
    if array.ndim == 2 and array.dtype == np.bool_:
        if array.shape != (height, width):
            raise InputError(
                f"regions[{index}] is a mask of shape {list(array.shape)}, expected the image's "
                f"[{height}, {width}]; resize the mask"
            )
        found = Region.of_mask(array)
    elif array.shape == (4,) and array.dtype.kind in "iuf":
        found = Region.of_box(_box(array.tolist(), index), height, width)
    else:
        raise InputError(
            f"regions[{index}] has shape {list(array.shape)} and dtype {array.dtype}, expected a "
            "boolean mask [H, W] or a box of four numbers (x0, y0, x1, y1) in pixels"
        )
    if not found.area:
        raise InputError(
            f"regions[{index}] covers no pixel of the {width} x {height} image; expected a region "
            "that overlaps it, leave this one out"
        )
    return found


def _box(box: list[float], index: int) -> Box:
    x0, y0, x1, y1 = values = tuple(float(value) for value in box)
    if not all(map(math.isfinite, values)):
        raise InputError(f"regions[{index}] is {[*values]}, expected four finite numbers")
    if x0 >= x1 or y0 >= y1:
        raise InputError(
            f"regions[{index}] is {[*values]}, expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1"
        )
    return x0, y0, x1, y1


def check_options(steps: int | None, caption_tokens: int | None) -> None:
    """Refuse denoising steps and caption tokens out of their range, before minutes of loading.

    Raises:
        InputError: names the option.
    """
    if steps is not None:
        check_count("steps", steps, MOST_STEPS)
    if caption_tokens is not None:
        check_count("caption_tokens", caption_tokens, MOST_CAPTION_TOKENS)


def check_count(name: str, value: Any, most: int) -> int:
    """A whole number from 1 to `most`.

    Raises:
        InputError: anything else.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:
        raise InputError(f"{name} is {value!r}, expected a whole number from 1 to {most}")
    return int(value)
