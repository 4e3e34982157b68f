"""Compressed images as RGB pixels, decoded by Pillow. Raises InputError, logs nothing."""

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
    Decoded,
    has_16_bit_colours,
    significant,
    to_8_bits,
)
from perceptiondlm_ros.messages.encodings import BAYER, grey_to_rgb, mosaic_to_rgb
from perceptiondlm_ros.pixel_boxes import MOST_PIXELS

_FORMATS = ("JPEG", "PNG")


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
