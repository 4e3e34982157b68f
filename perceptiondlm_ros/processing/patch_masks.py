"""The patches of each tile that a region is marked on.

A region is drawn with the number of its slot on 255 and resized like the image; a patch is active
where its first pixel is not 255 afterwards, so pixels that the resize touched count too. Only these
pixels are computed, with the fixed-point numbers of Pillow's bicubic resize of 8 bits: along one
axis, rounded to 8 bits, then along the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import BoolArray, IntArray
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.tiles import Grid

_WHITE = 255
_POINT = 22  # bits after the point
_HALF = 1 << (_POINT - 1)


class _Axis(NamedTuple):
    """Of which pixels along an axis of the image the first one of each patch is made.

    Attributes:
        places: int64 [n, K].
        weights: int64 [n, K], fixed-point; 0 beyond the filter and the image.
    """

    places: IntArray
    weights: IntArray

    def between(self, starts: IntArray, ends: IntArray) -> IntArray:
        """The weights, 0 where a pixel isn't from start to end: [regions, n, K]."""
        starts, ends = starts[:, None, None], ends[:, None, None]
        inside = (self.places >= starts) & (self.places < ends)
        return self.weights * inside

    def less(self, darkness: IntArray) -> IntArray:
        """How much darker than white the patches become, [..., n], of weighed darkness."""
        white = _WHITE * self.weights.sum(axis=1)
        less: IntArray = _WHITE - np.clip((white - darkness + _HALF) >> _POINT, 0, _WHITE)
        return less


def patch_masks(
    regions: Sequence[Region],
    slots: Sequence[int],
    size: tuple[int, int],
    grid: Grid,
    config: ModelConfig,
) -> BoolArray:
    """Patches that carry the mask-id embedding of each region, bool [regions, T, P, P].

    Args:
        slots: of the regions in their groups.
        size: height and width of the image.
    """
    side = config.patches_per_side
    darkness = _WHITE - np.array(slots)
    drawn = []
    for columns, rows in (grid,) if grid == (1, 1) else (grid, (1, 1)):
        across, down = _axis(size[1], columns, config), _axis(size[0], rows, config)
        target = columns * config.tile_size, rows * config.tile_size
        if _resized_downwards_first(size[::-1], target):
            flipped = [region.transposed for region in regions]
            active = _draw(flipped, darkness, down, across)
        else:
            active = _draw(regions, darkness, across, down).swapaxes(1, 2)
        tiles = active.reshape(-1, rows, side, columns, side).swapaxes(2, 3)
        drawn.append(tiles.reshape(-1, rows * columns, side, side))
    return np.concatenate(drawn, axis=1)


def _draw(regions: Sequence[Region], darkness: IntArray, first: _Axis, second: _Axis) -> BoolArray:
    """Active patches, bool [regions, n of the first axis, n of the second].

    Args:
        darkness: int64 [regions], how much darker than white they are drawn.
        first: the axis that is resized first, along which the regions' x is.
    """
    x0, y0, x1, y1 = np.array([region.box for region in regions]).T
    along, lines = first.between(x0, x1), second.between(y0, y1)
    # Of a box, all lines are alike.
    less = first.less(darkness[:, None] * along.sum(axis=2))
    total = less[:, :, None] * lines.sum(axis=2)[:, None]
    for index, region in enumerate(regions):
        if region.inside is not None:
            x, y = along[index].any(axis=1), lines[index].any(axis=1)  # patches that are touched
            part = _Axis(first.places[x], first.weights[x])
            pixels = _taken(region.inside, part.places - x0[index], second.places[y] - y0[index])
            # Sums of the weights stay below 2**24, so fp32 is exact.
            weights = along[index, x].astype(np.float32)
            covered = np.einsum("yjxk,xk->yjx", pixels, weights).astype(np.int64)
            less_of_line = part.less(darkness[index] * covered)
            total[index][np.ix_(x, y)] = (less_of_line * lines[index, y, :, None]).sum(axis=1).T
    return second.less(total) > 0


def _taken(inside: BoolArray, x: IntArray, y: IntArray) -> BoolArray:
    """Pixels at places [n, K] and [m, K], bool [m, K, n, K]; any where there is none."""
    height, width = inside.shape
    rows, columns = np.clip(y, 0, height - 1).reshape(-1, 1), np.clip(x, 0, width - 1).reshape(-1)
    taken: BoolArray = inside[rows, columns].reshape(*y.shape, *x.shape)
    return taken


@lru_cache(maxsize=64)
def _resized_downwards_first(size: tuple[int, int], target: tuple[int, int]) -> bool:
    """Whether Pillow resizes images of this width and height along y first, then along x.

    Since 13.0 it takes the order with less to do, and the 8 bits in between make a difference. So
    it is asked, with noise, once for each size.
    """
    noise = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    image = Image.fromarray(noise)
    across_first = image.resize((target[0], size[1])).resize(target)
    return image.resize(target) != across_first


def _axis(pixels: int, tiles: int, config: ModelConfig) -> _Axis:
    """Pillow's bicubic filter from so many pixels to tiles, at the first pixel of each patch."""
    target, step = tiles * config.tile_size, config.vision.patch_size
    scale = pixels / target
    stretch = max(scale, 1.0)
    centres = (np.arange(0, target, step) + 0.5) * scale
    first = np.maximum((centres - 2.0 * stretch + 0.5).astype(np.int64), 0)[:, None]
    end = np.minimum((centres + 2.0 * stretch + 0.5).astype(np.int64), pixels)[:, None]
    places = first + np.arange(2 * math.ceil(2.0 * stretch) + 1)
    x = np.abs((places - centres[:, None] + 0.5) * (1.0 / stretch))
    near, far = (1.5 * x - 2.5) * x * x + 1, (((x - 5) * x + 8) * x - 4) * -0.5
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0)) * (places < end)
    weights /= weights.cumsum(axis=1)[:, -1:]  # summed up one by one, as there
    fixed = np.trunc(weights * (1 << _POINT) + np.copysign(0.5, weights)).astype(np.int64)
    return _Axis(np.minimum(places, pixels - 1), fixed)
