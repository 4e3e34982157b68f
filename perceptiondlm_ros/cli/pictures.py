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

from perceptiondlm_ros.captioner import Box, Caption
from perceptiondlm_ros.cli.region_arguments import BoxArgument, MaskArgument
from perceptiondlm_ros.drawing.annotate import Annotation, annotate
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import (
    ALL_BITS,
    Decoded,
    has_16_bit_colours,
    low_bits,
    low_bits_told,
    to_8_bits,
)
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS

_HIGHEST_16_BIT = 2**16 - 1
_TINY = 2.0  # pixels


@dataclass(frozen=True)
class Region:
    """A region as it was typed, and as the captioner takes it.

    Attributes:
        pixels: a box (x0, y0, x1, y1), or bool [H, W].
    """

    argument: BoxArgument | MaskArgument
    pixels: Box | NDArray[np.bool_]

    @property
    def box(self) -> Box:
        """What surrounds the region: x0, y0, x1, y1 in pixels."""
        if isinstance(self.pixels, tuple):
            return self.pixels
        rows, columns = np.nonzero(self.pixels)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        return float(x0), float(y0), float(x1), float(y1)


@dataclass(frozen=True)
class Picture:
    """Attributes:
    image: uint8 [H, W, 3] RGB, upright.
    files: all that were read.
    doubts: what is taken otherwise than it was typed or may be meant, a line each.
    """

    image: NDArray[np.uint8]
    regions: list[Region]
    files: list[Path]
    doubts: list[str]


def read_picture(
    path: Path, arguments: Sequence[BoxArgument | MaskArgument], significant_bits: int = 0
) -> Picture:
    """Read an image and the masks of its regions.

    Args:
        significant_bits: of an image of 16 bits, see `decode_image`.

    Raises:
        InputError: a file that is missing or no picture, or a mask that doesn't fit the image.
    """
    with _opened("IMAGE", path) as file:
        decoded = _decoded(file, path, significant_bits)
    image = decoded.pixels
    regions, files, doubts = [], [path], []
    if decoded.low_bits:
        what = low_bits_told(decoded.low_bits, "--significant-bits ")
        doubts.append(f"captions of {path} are doubtful: {what}")
    for argument in arguments:
        if isinstance(argument, BoxArgument):
            regions.append(Region(argument, argument.box))
            doubts += _box_doubts(argument, *image.shape[:2])
        else:
            regions.append(Region(argument, _read_mask(argument.path, image.shape[:2])))
            files.append(argument.path)
    return Picture(image, regions, files, doubts)


def _box_doubts(argument: BoxArgument, height: int, width: int) -> Iterator[str]:
    x0, y0, x1, y1 = argument.box
    inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    if inside != argument.box and inside[0] < inside[2] and inside[1] < inside[3]:
        yield (
            f"--{argument.label} reaches beyond the image of {width} x {height} pixels; it is cut "
            f"to {BoxArgument(inside).label}"
        )
    if max(x1 - x0, y1 - y0) < _TINY < min(width, height):
        yield (
            f"--{argument.label} is smaller than two pixels; coordinates are pixels of the image, "
            f"which has {width} x {height}, and no shares of it"
        )


def _read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    with _opened("--mask", path) as file:
        mask = _nonzero(ImageOps.exif_transpose(file))
    height, width = shape
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
    if image.mode.startswith("I") or image.mode == "F":
        return _grey(np.asarray(image), path, significant_bits)
    if halved and 0 < significant_bits < ALL_BITS:
        raise InputError(
            f"IMAGE {path} has colours of 16 bits, of which only the upper 8 can be read; expected "
            "grey or 8 bits with --significant-bits; scale it to its full range first"
        )
    if "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow complains about the direct way
    rgb = np.asarray(image.convert("RGB"))
    low = low_bits(rgb.astype(np.uint16) * 257) if halved and not significant_bits else 0
    return Decoded(rgb, low)


def _grey(values: NDArray[np.generic], path: Path, significant_bits: int) -> Decoded:
    """16-bit grey values scaled to 8 bits; Pillow's own conversion would cut them off at 255."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > _HIGHEST_16_BIT:
        raise InputError(
            f"IMAGE {path} has {values.dtype} values from {values.min():g} to {values.max():g}, "
            "expected 8 or 16 bits a channel; convert it to an ordinary picture first"
        )
    numbers = values.astype(np.uint16)
    grey = to_8_bits(numbers, significant_bits or ALL_BITS)
    low = 0 if significant_bits else low_bits(numbers)
    return Decoded(np.repeat(grey[:, :, None], 3, axis=2), low)


def _nonzero(image: Image.Image) -> NDArray[np.bool_]:
    """bool [H, W]: pixels that are neither black nor transparent, by colour and not by palette."""
    if image.mode.startswith("I") or image.mode == "F":
        seen = np.asarray(image)
    else:
        rgba = np.asarray(image.convert("RGBA"))
        seen = rgba[:, :, :3].max(axis=2) * (rgba[:, :, 3] > 0)
    mask: NDArray[np.bool_] = seen != 0
    return mask


def check_writable(path: Path, inputs: Sequence[Path]) -> None:
    """Find out before the work what would keep the annotated image from being written.

    Raises:
        InputError: no such folder, a name that says no known format, or one of the inputs.
    """
    known = {end for end, name in Image.registered_extensions().items() if name in Image.SAVE}
    if path.suffix.lower() not in known:
        raise InputError(
            f"--annotate {path} doesn't end like a picture; expected a name such as OUT.png"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"--annotate {path}: there is no folder {path.parent}; make it or name another"
        )
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"--annotate {path} can't be written; name a file in a folder of yours")
    if path.exists() and any(path.samefile(other) for other in inputs):
        raise InputError(
            f"--annotate {path} is one of the inputs and would be lost; expected another name"
        )


def write_annotated(path: Path, picture: Picture, captions: Sequence[Caption]) -> None:
    """Write the image with its captions; numbers are those of the table's rows.

    Raises:
        InputError: the file can't be written.
    """
    annotations = [
        Annotation(region.box, caption.text, id=str(number), confidence=caption.confidence)
        for number, (region, caption) in enumerate(
            zip(picture.regions, captions, strict=True), start=1
        )
    ]
    drawn = Image.fromarray(annotate(picture.image, annotations))
    try:
        drawn.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--annotate {path} can't be written: {error}; name another") from error
