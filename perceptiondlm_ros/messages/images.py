"""Image messages as RGB pixels. Raises InputError, logs nothing."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import (
    ALL_BITS,
    Decoded,
    has_16_bit_colours,
    significant,
    to_8_bits,
)
from perceptiondlm_ros.messages.encodings import (
    BAYER,
    ENCODINGS,
    Plane,
    grey_to_rgb,
    mosaic_to_rgb,
    what_to_publish,
)
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS

_FORMATS = ("JPEG", "PNG")


def image_to_rgb(message: Any) -> NDArray[np.uint8]:
    """The pixels of `decode_image`, whatever may be wrong with them."""
    return decode_image(message).pixels


def decode_image(message: Any, significant_bits: int = 0) -> Decoded:
    """The image as uint8 [H, W, 3] RGB; rgb8 is not copied.

    Numbers of 16 bits are brought to 8 over their full range; YUV is taken as BT.601 of limited
    range, Bayer mosaics are interpolated.

    Args:
        message: an Image or a CompressedImage.
        significant_bits: how many of the lowest of 16 bits are used, 8 to 16; 0: it isn't known,
            so all, and what uses the lowest ones alone is told.

    Raises:
        InputError: an encoding that is not known here, data that don't fit their size, or numbers
            of more bits than are significant.
    """
    if hasattr(message, "format"):  # as only a CompressedImage has
        return decode_compressed(message.format, message.data, significant_bits)
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise InputError(
            f"image encoding: got {message.encoding!r}, expected one of "
            f"{', '.join(ENCODINGS)}; {what_to_publish(message.encoding)}"
        )
    first, *others = _planes(message, encoding.planes, np.dtype(f"u{encoding.bits // 8}"))
    low = 0
    if encoding.bits == ALL_BITS:
        first, low = significant(first[:, :, :3], significant_bits)  # alpha has all bits, or none
    return Decoded(encoding.to_rgb(first, *others)[:, : message.width], low)


def image_numbers(message: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """The numbers of an image of one channel, [H, W], to be read only.

    Raises:
        InputError: data that don't fit their size.
    """
    return _planes(message, (Plane(1),), np.dtype(dtype))[0][:, :, 0]


def _planes(message: Any, planes: tuple[Plane, ...], dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """The planes, [rows, columns, channels] each; copied only where it must be."""
    width, height, step = int(message.width), int(message.height), int(message.step)
    sent = dtype.newbyteorder(">" if message.is_bigendian else "<")
    offset = needed = shortest = 0
    places: list[tuple[int, tuple[int, int, int], int]] = []
    for plane in planes:
        rows, columns, channels = plane.shape(width, height)
        row = columns * channels * dtype.itemsize
        # Further planes are padded like the first one.
        times = channels // plane.across if places else 1
        shortest = max(shortest, -(-row // times))
        places.append((offset, (rows, columns, channels), step * times))
        # The padding of the last row may be missing: some drivers don't send it.
        needed = offset + step * times * (rows - 1) + row
        offset += step * times * rows
    possible = width > 0 and height > 0 and width * height <= MOST_PIXELS
    if not possible or step < shortest or len(message.data) < needed:
        raise InputError(
            f"image data: got {width}x{height} {message.encoding} with step {step} and "
            f"{len(message.data)} bytes, expected 1 to {MOST_PIXELS} pixels, a step of at least "
            f"{shortest} and at least {max(needed, 1)} bytes; check the driver that publishes it"
        )
    arrays = []
    for place, shape, stride in places:
        strides = (stride, shape[2] * dtype.itemsize, dtype.itemsize)
        numbers = np.ndarray(shape, sent, memoryview(message.data), place, strides)
        numbers.flags.writeable = False
        # Numbers at odd addresses are copied too: OpenCV can't read them.
        arrays.append(np.require(numbers.astype(dtype, copy=False), requirements="A"))
    return arrays


def decode_compressed(form: str, data: Any, significant_bits: int = 0) -> Decoded:
    """The image as uint8 [H, W, 3] RGB, as the pixels are stored: an orientation is not applied.

    Args:
        form: the message's format, such as `jpeg` or `bayer_rggb8; png compressed `. What the data
            are is seen from themselves; this only tells a Bayer mosaic from grey.
        data: the message's bytes.
        significant_bits: of a PNG with 16 bits, see `decode_image`.

    Raises:
        InputError: data that are neither JPEG nor PNG, or broken, or depth, or that have more
            significant bits.
    """
    original, _, transport = (part.strip() for part in form.partition(";"))
    if "compressedDepth" in transport:
        raise InputError(
            f"compressed image: got {form!r}, which is depth, expected a jpeg or png of a camera; "
            "remap the image topic"
        )
    numbers, low = _decode(form, data), 0
    if numbers.dtype == np.uint16:
        numbers, low = significant(numbers, significant_bits)
    if numbers.ndim == 3:
        return Decoded(to_8_bits(numbers), low)
    # A mosaic is sent as grey where the publisher names no other target for its colours.
    target = transport.partition("compressed")[2].strip()
    pattern = BAYER.get(original.removeprefix("bayer_")[:4])
    if pattern and original.startswith("bayer_") and target in ("", original):
        return Decoded(mosaic_to_rgb(numbers[:, :, None], pattern), low)
    return Decoded(grey_to_rgb(numbers[:, :, None]), low)


def _decode(form: str, data: Any) -> NDArray[Any]:
    """Pixels [H, W, 3] RGB, or grey [H, W]; uint8, or uint16 where a PNG has 16 bits."""
    expected = f"expected jpeg or png of 1 to {MOST_PIXELS} pixels"
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:  # few bytes may claim to hold very many
                raise InputError(
                    f"compressed image: got {width}x{height} pixels, {expected}; scale it down"
                )
            if picture.mode == "L":
                return np.asarray(picture)
            if picture.mode.startswith("I"):
                return np.asarray(picture).astype(np.uint16)
            if has_16_bit_colours(picture):
                bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
                if bgr is None:
                    raise ValueError("colours of 16 bits that OpenCV can't read")
                return np.ascontiguousarray(bgr[:, :, 2::-1])
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
