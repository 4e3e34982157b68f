"""Image messages as RGB pixels. Raises InputError, logs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.bit_depth import ALL_BITS, Decoded, low_bits, to_8_bits
from perceptiondlm_ros.messages.colour_spaces import (
    FIRST_RED,
    grey_to_rgb,
    mosaic_to_rgb,
    optional_module,
    packed_422_to_rgb,
    pick_rgb,
    semiplanar_to_rgb,
)
from perceptiondlm_ros.messages.compressed import MOST_PIXELS, decode_compressed

# One that was built for NumPy 1 ends the process under NumPy 2.
cv_bridge = optional_module("cv_bridge") if np.lib.NumpyVersion(np.__version__) < "2.0.0" else None


@dataclass(frozen=True)
class _Plane:
    """`channels` numbers for each block of `across` x `down` pixels."""

    channels: int
    across: int = 1
    down: int = 1

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        return -(-height // self.down), -(-width // self.across), self.channels


@dataclass(frozen=True)
class _Encoding:
    """How pixels lie in a message.

    to_rgb: takes the arrays of all planes, each [rows, columns, channels]; gives uint8 [H, W, 3],
        with a column more where pairs of pixels share bytes and W is odd.
    bridged: cv_bridge gives the same.
    """

    to_rgb: Callable[..., NDArray[np.uint8]]
    planes: tuple[_Plane, ...]
    bits: int = 8
    bridged: bool = False


_ORDERS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0), "rgba": (0, 1, 2), "bgra": (2, 1, 0)}
_Y_FIRST = {"yuv422": False, "uyvy": False, "yuv422_yuy2": True, "yuyv": True}
_U_FIRST = {"nv12": True, "nv21": False, "nv16": True, "nv61": False, "nv24": True, "nv42": False}
_CHROMA = {
    **dict.fromkeys(("nv12", "nv21"), _Plane(2, across=2, down=2)),
    **dict.fromkeys(("nv16", "nv61"), _Plane(2, across=2)),
    **dict.fromkeys(("nv24", "nv42"), _Plane(2)),
}
_GREY = _Plane(1)

_ENCODINGS = {
    **{
        f"{name}{bits}": _Encoding(
            partial(pick_rgb, order=order), (_Plane(len(name)),), bits, bridged=True
        )
        for bits in (8, 16)
        for name, order in _ORDERS.items()
    },
    **{f"mono{bits}": _Encoding(grey_to_rgb, (_GREY,), bits, bridged=True) for bits in (8, 16)},
    **{f"{bits}UC1": _Encoding(grey_to_rgb, (_GREY,), bits) for bits in (8, 16)},
    **{
        f"bayer_{name}{bits}": _Encoding(partial(mosaic_to_rgb, red=red), (_GREY,), bits, True)
        for bits in (8, 16)
        for name, red in FIRST_RED.items()
    },
    **{
        name: _Encoding(
            partial(packed_422_to_rgb, y_first=y_first),
            (_Plane(4, across=2),),
            bridged=name.startswith("yuv422"),  # not all its versions know the other names
        )
        for name, y_first in _Y_FIRST.items()
    },
    **{
        name: _Encoding(partial(semiplanar_to_rgb, u_first=u_first), (_GREY, _CHROMA[name]))
        for name, u_first in _U_FIRST.items()
    },
}
"""By the names of sensor_msgs and, for nv12 and its kin, of V4L2."""


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
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise InputError(
            f"image encoding: got {message.encoding!r}, expected one of "
            f"{', '.join(_ENCODINGS)}; {_what_to_publish(message.encoding)}"
        )
    planes = _planes(message, encoding.planes, np.dtype(f"u{encoding.bits // 8}"))
    low = 0
    if encoding.bits == ALL_BITS and significant_bits != ALL_BITS:
        colours = planes[0][:, :, :3]  # alpha has all bits, or none
        if significant_bits:
            return Decoded(encoding.to_rgb(to_8_bits(colours, significant_bits)))
        low = low_bits(colours)
    # Older versions of cv_bridge know neither padding nor the other byte order.
    plain = planes[0].nbytes == len(message.data) and not message.is_bigendian
    if cv_bridge is not None and encoding.bridged and plain:
        rgb = np.asarray(cv_bridge.CvBridge().imgmsg_to_cv2(message, "rgb8"), np.uint8)
    else:
        rgb = encoding.to_rgb(*planes)[:, : message.width]
    return Decoded(rgb, low)


def _what_to_publish(encoding: str) -> str:
    """What to do about an encoding that is not known."""
    name = encoding.strip().lower()
    known = next((n for n in (name, f"{name}8", f"bayer_{name}") if n in _ENCODINGS), "")
    if known:
        return f"publish it as {known}, if that is what is meant"
    counted = re.fullmatch(r"(8|16|32|64)([usf])c(\d+)", name)
    if counted:
        return _what_to_publish_counted(*counted.groups())
    if any(kind in name for kind in ("jpeg", "jpg", "png")):
        return "for compressed images set image_transport:=compressed"
    if not name:
        return "let the driver or node that publishes it say what it is"
    return "set another one in the driver, or convert the stream to rgb8 on its way"


def _what_to_publish_counted(bits: str, kind: str, channels: str) -> str:
    """The same for OpenCV's names, which tell the number of channels and not what they are."""
    if kind == "u" and bits in ("8", "16") and channels in ("3", "4"):
        alpha = "a" if channels == "4" else ""
        rgb, bgr = f"rgb{alpha}{bits}", f"bgr{alpha}{bits}"
        return (
            f"it leaves open which channel is red: publish it as {bgr}, which is OpenCV's order, "
            f'or {rgb}; with cv_bridge by cv2_to_imgmsg(image, "{bgr}")'
        )
    if (kind, bits, channels) == ("u", "8", "2"):
        return (
            "publish it as yuv422 where a colour comes first, as yuv422_yuy2 where brightness does"
        )
    if channels == "1":
        return (
            "such numbers are distances mostly: remap image to the camera's picture, and depth to "
            "these; a picture is published as mono8 or mono16"
        )
    return "publish it as rgb8 or bgr8, scaled to 0 to 255"


def image_numbers(message: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """The numbers of an image of one channel, [H, W], to be read only.

    Raises:
        InputError: data that don't fit their size.
    """
    return _planes(message, (_GREY,), np.dtype(dtype))[0][:, :, 0]


def _planes(message: Any, planes: tuple[_Plane, ...], dtype: np.dtype[Any]) -> list[NDArray[Any]]:
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
