"""Compressed images as RGB pixels, decoded by Pillow. Raises InputError, logs nothing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.colour_spaces import FIRST_RED, grey_to_rgb, mosaic_to_rgb

MOST_PIXELS = 2**27
"""More is taken for a mistake: 134 megapixels. Few bytes may claim to hold very many pixels."""

_FORMATS = ("JPEG", "PNG")


def compressed_to_rgb(form: str, data: Any) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB, as the pixels are stored: an orientation in the file is not applied.

    Args:
        form: the message's format, such as `jpeg` or `bayer_rggb8; png compressed `. What the data
            are is seen from themselves; this only tells a Bayer mosaic from grey.
        data: the message's bytes.

    Raises:
        InputError: data that are neither JPEG nor PNG, or broken, or depth.
    """
    original, _, transport = (part.strip() for part in form.partition(";"))
    if "compressedDepth" in transport:
        raise InputError(
            f"compressed image: got {form!r}, which is depth, expected a jpeg or png of a camera; "
            "remap the image topic"
        )
    pixels = _decode(form, data)
    if pixels.ndim == 3:
        return pixels
    # A mosaic is sent as grey where the publisher names no other target for its colours.
    target = transport.partition("compressed")[2].strip()
    pattern = original.removeprefix("bayer_")[:4]
    if original.startswith("bayer_") and pattern in FIRST_RED and target in ("", original):
        return mosaic_to_rgb(pixels[:, :, None], FIRST_RED[pattern])
    return grey_to_rgb(pixels[:, :, None])


def _decode(form: str, data: Any) -> NDArray[Any]:
    """uint8 [H, W, 3], or grey uint8 or uint16 [H, W]."""
    expected = f"expected jpeg or png of 1 to {MOST_PIXELS} pixels"
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:  # before any of them is decoded
                raise InputError(
                    f"compressed image: got {width}x{height} pixels, {expected}; scale it down"
                )
            if picture.mode == "L":
                return np.asarray(picture)
            if picture.mode.startswith("I"):
                return np.asarray(picture).astype(np.uint16)
            return np.asarray(picture.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # a decoder may raise anything
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "something else" if unknown else f"{type(error).__name__}: {error}"
        raise InputError(
            f"compressed image: got {len(data)} bytes of format {form!r} that can't be decoded "
            f"({reason}), {expected}; check the publisher"
        ) from error
