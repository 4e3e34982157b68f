"""From pixels as cameras send them to RGB, the same with and without OpenCV.

H and W are the image's height and width.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


def optional_module(name: str) -> Any:
    """The module, or None where it isn't installed or not built for this NumPy."""
    try:
        return importlib.import_module(name)
    except (ImportError, AttributeError):
        return None


cv2 = optional_module("cv2")
"""Many times faster than NumPy for what it can do; nothing here needs it."""

FIRST_RED = {"rggb": (0, 0), "grbg": (0, 1), "gbrg": (1, 0), "bggr": (1, 1)}
"""Row and column of the first red pixel of each Bayer pattern."""

_NARROWED = ((np.arange(2**16) + 128) // 257).astype(np.uint8)
_SMALLEST_MOSAIC = 3  # pixels a side: less has no pixel with all its neighbours


def narrow(pixels: Pixels) -> NDArray[np.uint8]:
    """16 bits to 8, full range to full range, rounded; 8 bits stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    narrowed: NDArray[np.uint8] = _NARROWED[pixels]
    return narrowed


def grey_to_rgb(grey: Pixels) -> NDArray[np.uint8]:
    """[H, W, 1] to uint8 [H, W, 3]."""
    narrowed = narrow(grey)
    if cv2 is not None:
        return np.asarray(cv2.cvtColor(narrowed, cv2.COLOR_GRAY2RGB))
    return np.repeat(narrowed, 3, axis=2)


def pick_rgb(pixels: Pixels, order: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Of [H, W, C] the channels that are red, green and blue, as uint8 [H, W, 3].

    RGB of 8 bits is not copied.
    """
    channels = pixels.shape[2]
    if order == (0, 1, 2):
        return narrow(pixels[:, :, :3])
    if cv2 is not None and order == (2, 1, 0):
        code = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGB
        return np.asarray(cv2.cvtColor(narrow(pixels), code))
    return narrow(pixels[:, :, list(order)])


def yuv_to_rgb(
    y: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """BT.601 of limited range, [H, W] each, with the integers that OpenCV computes with."""
    light = np.maximum(y.astype(np.int32) - 16, 0) * 1220542
    blueness, redness = u.astype(np.int32) - 128, v.astype(np.int32) - 128
    half = 1 << 19
    rgb = np.empty((*y.shape, 3), np.uint8)
    for channel, colour in enumerate(
        (
            redness * 1673527,
            redness * -852492 + blueness * -409993,
            blueness * 2116026,
        )
    ):
        rgb[:, :, channel] = np.clip((light + (colour + half)) >> 20, 0, 255)
    return rgb


def packed_422_to_rgb(quads: NDArray[np.uint8], y_first: bool) -> NDArray[np.uint8]:
    """Two pixels in four bytes, [H, W/2, 4]: y u y v where `y_first`, else u y v y."""
    height, pairs = quads.shape[:2]
    if cv2 is not None:
        code = cv2.COLOR_YUV2RGB_YUY2 if y_first else cv2.COLOR_YUV2RGB_UYVY
        return np.asarray(cv2.cvtColor(quads.reshape(height, 2 * pairs, 2), code))
    brightness, colour = (0, 1) if y_first else (1, 0)
    y = quads[:, :, brightness::2].reshape(height, 2 * pairs)
    u, v = (_spread(quads[:, :, colour + 2 * n], height, 2 * pairs) for n in (0, 1))
    return yuv_to_rgb(y, u, v)


def semiplanar_to_rgb(
    y: NDArray[np.uint8], chroma: NDArray[np.uint8], u_first: bool
) -> NDArray[np.uint8]:
    """Brightness [H, W, 1] and both colours, at its resolution or less, [h, w, 2]."""
    height, width = y.shape[:2]
    if cv2 is not None and (height, width) == (2 * chroma.shape[0], 2 * chroma.shape[1]):
        code = cv2.COLOR_YUV2RGB_NV12 if u_first else cv2.COLOR_YUV2RGB_NV21
        return np.asarray(cv2.cvtColorTwoPlane(y, chroma, code))
    first, second = (_spread(chroma[:, :, n], height, width) for n in (0, 1))
    return yuv_to_rgb(y[:, :, 0], *((first, second) if u_first else (second, first)))


def mosaic_to_rgb(mosaic: Pixels, red: tuple[int, int]) -> NDArray[np.uint8]:
    """A Bayer mosaic [H, W, 1], by the mean of the nearest pixels of each colour.

    red: row and column of the first red pixel, see FIRST_RED.
    """
    if min(mosaic.shape[:2]) < _SMALLEST_MOSAIC:
        return grey_to_rgb(mosaic)
    if cv2 is not None:
        # OpenCV names a mosaic by the second pixels of the second and third row.
        code = {
            (0, 0): cv2.COLOR_BayerBG2RGB,
            (0, 1): cv2.COLOR_BayerGB2RGB,
            (1, 0): cv2.COLOR_BayerGR2RGB,
            (1, 1): cv2.COLOR_BayerRG2RGB,
        }[red]
        return narrow(cv2.cvtColor(mosaic, code))
    return narrow(_interpolate(mosaic[:, :, 0], red))


def _interpolate(mosaic: Pixels, red: tuple[int, int]) -> Pixels:
    """[H, W, 3]; pixels at the edge are those next to them."""
    here = mosaic[1:-1, 1:-1]
    wide = mosaic.astype(np.uint32)
    up, down, left, right = wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]
    corners = wide[:-2, :-2] + wide[:-2, 2:] + wide[2:, :-2] + wide[2:, 2:]
    across, along = (left + right + 1) >> 1, (up + down + 1) >> 1
    cross, diagonal = (up + down + left + right + 2) >> 2, (corners + 2) >> 2
    rgb = np.empty((*here.shape, 3), mosaic.dtype)
    for row in (0, 1):
        for column in (0, 1):
            # The first pixel with all neighbours is the second one of the second row.
            in_red_row, in_red_column = row != red[0], column != red[1]
            sources = {
                (True, True): (here, cross, diagonal),
                (True, False): (across, here, along),
                (False, True): (along, here, across),
                (False, False): (diagonal, cross, here),
            }[in_red_row, in_red_column]
            for channel, source in enumerate(sources):
                rgb[row::2, column::2, channel] = source[row::2, column::2]
    return np.pad(rgb, ((1, 1), (1, 1), (0, 0)), mode="edge")


def _spread(chroma: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Each number of [h, w] for all pixels of its block, [H, W]."""
    down, across = -(-height // chroma.shape[0]), -(-width // chroma.shape[1])
    return chroma.repeat(down, axis=0)[:height].repeat(across, axis=1)[:, :width]
