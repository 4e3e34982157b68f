"""How pixels of each encoding lie in an image message, and their colours as RGB, by OpenCV.

H and W are the image's height and width.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.messages.bit_depth import Numbers, to_8_bits

BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
}
"""Patterns by their first pixels; OpenCV's names are those of the second row from its second on."""

_SMALLEST_MOSAIC = 3  # pixels a side: less has no pixel with all its neighbours


@dataclass(frozen=True)
class Plane:
    """A part of an image's data: `channels` numbers for each block of `across` x `down` pixels."""

    channels: int
    across: int = 1
    down: int = 1

    def shape(self, width: int, height: int) -> tuple[int, int, int]:
        return -(-height // self.down), -(-width // self.across), self.channels


@dataclass(frozen=True)
class Encoding:
    """How the pixels of an image lie in its data.

    to_rgb: takes the arrays of all planes, each [rows, columns, channels]; gives uint8 [H, W, 3],
        with a column more where pairs of pixels share bytes and W is odd.
    bits: of a number.
    """

    to_rgb: Callable[..., NDArray[np.uint8]]
    planes: tuple[Plane, ...]
    bits: int = 8


def grey_to_rgb(grey: Numbers) -> NDArray[np.uint8]:
    """Grey pixels [H, W, 1] as uint8 [H, W, 3]."""
    return _converted(to_8_bits(grey), cv2.COLOR_GRAY2RGB)


def mosaic_to_rgb(mosaic: Numbers, code: int) -> NDArray[np.uint8]:
    """A Bayer mosaic [H, W, 1] as uint8 [H, W, 3], by the mean of the nearest pixels of a colour.

    Args:
        code: one of BAYER.
    """
    if min(mosaic.shape[:2]) < _SMALLEST_MOSAIC:
        return grey_to_rgb(mosaic)
    return to_8_bits(_converted(mosaic, code))


def _colours_to_rgb(pixels: Numbers, red_first: bool) -> NDArray[np.uint8]:
    """RGB of 8 bits is not copied, alpha is left out."""
    narrow = to_8_bits(pixels)
    if pixels.shape[2] == 4:
        return _converted(narrow, cv2.COLOR_RGBA2RGB if red_first else cv2.COLOR_BGRA2RGB)
    return narrow if red_first else _converted(narrow, cv2.COLOR_BGR2RGB)


def _packed_to_rgb(quads: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    """Two pixels in four bytes, [H, W/2, 4]."""
    return _converted(quads.reshape(len(quads), -1, 2), code)


def _semiplanar_to_rgb(
    y: NDArray[np.uint8], chroma: NDArray[np.uint8], u_first: bool
) -> NDArray[np.uint8]:
    """Brightness [H, W, 1] and both colours, at its resolution or less, [h, w, 2]."""
    height, width = y.shape[:2]
    rows, columns = chroma.shape[:2]
    if rows < height:
        code = cv2.COLOR_YUV2RGB_NV12 if u_first else cv2.COLOR_YUV2RGB_NV21
        even = _extended(y, 2 * rows, 2 * columns)
        return np.asarray(cv2.cvtColorTwoPlane(even, chroma, code), np.uint8)[:height]
    # OpenCV knows these as packed pairs of pixels, of which each column here may be one.
    step = 2 if columns == width else 1
    packed = cv2.merge(
        [_extended(y.repeat(step, axis=1), height, 2 * columns), chroma.reshape(height, -1)]
    )
    return _converted(packed, cv2.COLOR_YUV2RGB_YUY2 if u_first else cv2.COLOR_YUV2RGB_YVYU)[
        :, ::step
    ]


def _extended(y: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """With the last row and column again, up to this size."""
    missing = height - y.shape[0], width - y.shape[1]
    return np.pad(y[:, :, 0], [(0, n) for n in missing], mode="edge")


def _converted(pixels: NDArray[Any], code: int) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = np.asarray(cv2.cvtColor(pixels, code))
    return rgb


_GREY, _QUADS = Plane(1), Plane(4, across=2)
_COLOURS = {"rgb": True, "bgr": False, "rgba": True, "bgra": False}
_PACKED = {
    **dict.fromkeys(("yuv422", "uyvy"), cv2.COLOR_YUV2RGB_UYVY),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), cv2.COLOR_YUV2RGB_YUY2),
}
_SEMIPLANAR = {
    ("nv12", "nv21"): Plane(2, across=2, down=2),
    ("nv16", "nv61"): Plane(2, across=2),
    ("nv24", "nv42"): Plane(2),
}

ENCODINGS = {
    **{
        f"{name}{bits}": Encoding(
            partial(_colours_to_rgb, red_first=red_first), (Plane(len(name)),), bits
        )
        for bits in (8, 16)
        for name, red_first in _COLOURS.items()
    },
    **{f"mono{bits}": Encoding(grey_to_rgb, (_GREY,), bits) for bits in (8, 16)},
    **{f"{bits}UC1": Encoding(grey_to_rgb, (_GREY,), bits) for bits in (8, 16)},
    **{
        f"bayer_{name}{bits}": Encoding(partial(mosaic_to_rgb, code=code), (_GREY,), bits)
        for bits in (8, 16)
        for name, code in BAYER.items()
    },
    **{
        name: Encoding(partial(_packed_to_rgb, code=code), (_QUADS,))
        for name, code in _PACKED.items()
    },
    **{
        name: Encoding(partial(_semiplanar_to_rgb, u_first=u_first), (_GREY, chroma))
        for names, chroma in _SEMIPLANAR.items()
        for name, u_first in zip(names, (True, False), strict=True)
    },
}
"""By the names of sensor_msgs and, for nv12 and its kin, of V4L2."""


_IN_ORDER = (
    "it leaves open which channel is red: publish it as bgr{0}, which is OpenCV's order, or "
    'rgb{0}; with cv_bridge by cv2_to_imgmsg(image, "bgr{0}")'
)
_ADVICE = (
    ("(8|16)uc3", _IN_ORDER),
    ("(8|16)uc4", _IN_ORDER.replace("{0}", "a{0}")),
    (
        "8uc2",
        "publish it as yuv422 where a colour comes first, as yuv422_yuy2 where brightness does",
    ),
    (
        r"\d+[usf]c1",
        "such numbers are distances mostly: remap image to the camera's picture, and depth to "
        "these; a picture is published as mono8 or mono16",
    ),
    (r"\d+[usf]c\d+", "publish it as rgb8 or bgr8, scaled to 0 to 255"),
    (".*(jpe?g|png).*", "for compressed images set image_transport:=compressed"),
    ("", "let the driver or node that publishes it say what it is"),
    ("(?s:.*)", "set another one in the driver, or convert the stream to rgb8 on its way"),
)
"""What to do about names that are not known, the first that fits."""


def what_to_publish(encoding: str) -> str:
    """What to do about an encoding that is not known."""
    name = encoding.strip().lower()
    for known in (name, f"{name}8", f"bayer_{name}"):
        if known in ENCODINGS:
            return f"publish it as {known}, if that is what is meant"
    found = ((re.fullmatch(pattern, name), advice) for pattern, advice in _ADVICE)
    return next(advice.format(*match.groups()) for match, advice in found if match)
