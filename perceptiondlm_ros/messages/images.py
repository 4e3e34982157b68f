"""Image messages as RGB pixels. Raises InputError, logs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import ALL_BITS, Decoded, significant
from perceptiondlm_ros.messages.compressed import decode_compressed
from perceptiondlm_ros.messages.encodings import ENCODINGS, Plane, what_to_publish
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS


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
