"""Pictures on disk: the image and its masks are read, the annotated image is written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.cli.region_arguments import RegionArgument
from perceptiondlm_ros.drawing.annotate import annotate
from perceptiondlm_ros.drawing.annotation import Annotation
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import (
    ALL_BITS,
    Decoded,
    has_16_bit_colours,
    low_bits_told,
    significant,
    to_8_bits,
)
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS, Box, box_around, clipped

_HIGHEST_16_BIT = 2**16 - 1
_TINY = 2.0  # pixels


@dataclass(frozen=True)
class Picture:
    """An image with the regions that were named for it.

    Attributes:
        image: uint8 [H, W, 3] RGB, upright.
        regions: a box, or a mask bool [H, W], for each argument.
        files: all that were read.
        doubts: what is taken otherwise than it was typed or may be meant, a line each.
    """

    image: NDArray[np.uint8]
    regions: list[Box | NDArray[np.bool_]]
    files: list[Path]
    doubts: list[str]


def read_picture(
    path: Path, arguments: Sequence[RegionArgument], significant_bits: int = 0
) -> Picture:
    """Read an image and the masks of its regions.

    Args:
        significant_bits: of an image of 16 bits, see `decode_image`.

    Raises:
        InputError: a file that is missing or no picture, or a mask that doesn't fit the image.
    """
    with _opened("IMAGE", path) as file:
        decoded = _decoded(file, path, significant_bits)
    picture = Picture(decoded.pixels, [], [path], [])
    height, width = decoded.pixels.shape[:2]
    if decoded.low_bits:
        what = low_bits_told(decoded.low_bits, "--significant-bits ")
        picture.doubts.append(f"captions of {path} are doubtful: {what}")
    for argument in arguments:
        if isinstance(argument.region, Path):
            picture.files.append(argument.region)
            picture.regions.append(_read_mask(argument.region, height, width))
        else:
            picture.doubts.extend(_box_doubts(argument.region, height, width))
            picture.regions.append(argument.region)
    return picture


def _box_doubts(box: Box, height: int, width: int) -> Iterator[str]:
    x0, y0, x1, y1 = box
    inside = clipped(box, width, height)
    label = f"--{RegionArgument(box).label}"
    if inside != box and inside[0] < inside[2] and inside[1] < inside[3]:
        yield (
            f"{label} reaches beyond the image of {width} x {height} pixels; it is cut "
            f"to {RegionArgument(inside).label}"
        )
    if max(x1 - x0, y1 - y0) < _TINY < min(width, height):
        yield (
            f"{label} is smaller than two pixels; coordinates are pixels of the image, "
            f"which has {width} x {height}, and no shares of it"
        )


def _read_mask(path: Path, height: int, width: int) -> NDArray[np.bool_]:
    with _opened("--mask", path) as file:
        mask = _nonzero(ImageOps.exif_transpose(file))
    if mask.shape != (height, width):
        raise InputError(
            f"--mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, expected the image's "
            f"{width} x {height} (as shown: a rotation noted in a file is applied); resize the mask"
        )
    if not mask.any():
        raise InputError(
            f"--mask {path} has only pixels of 0, expected others where the region is; "
            "check that it is the right file"
        )
    return mask


@contextmanager
def _opened(argument: str, path: Path) -> Iterator[Image.Image]:
    """The picture in a file, with whatever goes wrong in the block named as the file's fault."""
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the limit here is the captioner's.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = Image.open(path)
        with file:
            if file.width * file.height > MOST_PIXELS:
                raise InputError(
                    f"{argument} {path} is {file.width} x {file.height} pixels, expected at most "
                    f"{MOST_PIXELS} in all; make it smaller"
                )
            yield file
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(
            f"{argument} {path} is no picture that Pillow can read; expected PNG, JPEG, TIFF, "
            "WebP or the like"
        ) from error
    except Exception as error:  # the decoders of damaged files raise whatever they stumble over
        reason = f"{error}; expected an undamaged picture"
        if isinstance(error, OSError) and error.strerror:
            reason = f"{error.strerror}; name a picture that is there"
        raise InputError(f"{argument} {path} can't be read: {reason}") from error


def _decoded(file: Image.Image, path: Path, significant_bits: int) -> Decoded:
    """The picture, upright; what is transparent is shown as if it were not."""
    halved = has_16_bit_colours(file)
    image = ImageOps.exif_transpose(file)
    if _has_numbers(image):
        return _grey(np.asarray(image), path, significant_bits)
    if halved and 0 < significant_bits < ALL_BITS:
        raise InputError(
            f"IMAGE {path} has colours of 16 bits, of which only the upper 8 can be read; expected "
            "grey or 8 bits with --significant-bits; scale it to its full range first"
        )
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow complains about the direct way
    rgb = np.asarray(image.convert("RGB"))
    low = significant(rgb.astype(np.uint16) * 257, significant_bits)[1] if halved else 0
    return Decoded(rgb, low)


def _grey(values: NDArray[np.generic], path: Path, significant_bits: int) -> Decoded:
    """16-bit grey values scaled to 8 bits; Pillow's own conversion would cut them off at 255."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > _HIGHEST_16_BIT:
        raise InputError(
            f"IMAGE {path} has {values.dtype} values from {values.min():g} to {values.max():g}, "
            "expected 8 or 16 bits a channel; convert it to an ordinary picture first"
        )
    numbers, low = significant(values.astype(np.uint16), significant_bits)
    return Decoded(np.repeat(to_8_bits(numbers)[:, :, None], 3, axis=2), low)


def _nonzero(image: Image.Image) -> NDArray[np.bool_]:
    """bool [H, W]: pixels that are neither black nor transparent, by colour and not by palette."""
    if _has_numbers(image):
        seen = np.asarray(image)
    else:
        rgba = np.asarray(image.convert("RGBA"))
        seen = rgba[:, :, :3].max(axis=2) * (rgba[:, :, 3] > 0)
    mask: NDArray[np.bool_] = seen != 0
    return mask


def _has_numbers(image: Image.Image) -> bool:
    """Whether the pixels have one number of more than 8 bits each."""
    return image.mode.startswith("I") or image.mode == "F"


def check_writable(path: Path, inputs: Sequence[Path]) -> None:
    """Find out before the work what would keep the annotated image from being written.

    Raises:
        InputError: no such folder, a name that says no known format, or one of the inputs.
    """
    known = {end for end, name in Image.registered_extensions().items() if name in Image.SAVE}
    problem = ""
    if path.suffix.lower() not in known:
        problem = " doesn't end like a picture; expected a name such as OUT.png"
    elif not path.parent.is_dir():
        problem = f": there is no folder {path.parent}; make it or name another"
    elif path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = " can't be written; name a file in a folder of yours"
    elif path.exists() and any(path.samefile(other) for other in inputs):
        problem = " is one of the inputs and would be lost; expected another name"
    if problem:
        raise InputError(f"--annotate {path}{problem}")


def write_annotated(path: Path, picture: Picture, captions: Sequence[Caption]) -> None:
    """Write the image with its captions; numbers are those of the table's rows.

    Raises:
        InputError: the file can't be written.
    """
    annotations = []
    for number, (region, caption) in enumerate(zip(picture.regions, captions, strict=True), 1):
        box = region if isinstance(region, tuple) else box_around(region)
        annotations.append(
            Annotation(box, caption.text, id=str(number), confidence=caption.confidence)
        )
    drawn = Image.fromarray(annotate(picture.image, annotations))
    try:
        drawn.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--annotate {path} can't be written: {error}; name another") from error
