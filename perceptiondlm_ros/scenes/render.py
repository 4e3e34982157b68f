"""Draw a scene as a camera would see it, with the truth about every object's visible pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from perceptiondlm_ros.scenes.background import Light, draw_background, sample_light
from perceptiondlm_ros.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.scenes.shapes import draw_pattern, outline
from perceptiondlm_ros.scenes.vocabulary import COLOURS

_LIGHT_INK: Final = (246, 246, 242)
_DARK_INK: Final = (26, 26, 30)
_DARK_INKED: Final = frozenset({"orange", "yellow", "cyan", "pink", "white"})
"""Colours light enough for a dark second colour; the others take a light one."""

_CONTOUR_SHADE: Final = 0.55
_CONTOUR_WIDTH: Final = 0.035
"""Fraction of the diameter; the contour keeps every colour apart from every background."""


@dataclass(frozen=True)
class Rendered:
    """A drawn scene.

    `image` uint8 [H, W, 3] RGB; `masks` bool [N, H, W], visible pixels of each object in the
    scene's order, or None where they were not asked for; `boxes` float32 [N, 4] as (x0, y0, x1,
    y1) px around the visible pixels, x1 and y1 exclusive, zeros for an object wholly hidden.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class _Stamp:
    """One object on a crop of the image whose upper left pixel is (left, top)."""

    left: int
    top: int
    colour: NDArray[np.uint8]  # [h, w, 3]
    alpha: NDArray[np.float32]  # [h, w, 1], blurred by the lens
    shadow: NDArray[np.float32]  # [h, w, 1]
    inside: NDArray[np.bool_]  # [h, w], sharp


def render(scene: Scene, *, masks: bool = True) -> Rendered:
    """Draw `scene`; the same scene gives the same bytes. `masks=False` saves their memory."""
    rng = np.random.default_rng(scene.background_seed)
    light = sample_light(rng)
    blur = float(rng.uniform(0.0, 1.0)) * min(scene.width, scene.height) / 480
    noise = float(rng.uniform(0.2, 0.9))
    image = draw_background(scene.width, scene.height, light, rng)
    # 0 is the background; 16 bits hold more objects than fit into any image.
    owner = np.zeros((scene.height, scene.width), np.uint16)
    for number, item in enumerate(scene.objects, start=1):
        _paste(image, owner, number, _stamp(item, blur), light)
    image = _add_noise(image, noise, scene.noise_seed)
    boxes = np.array(
        [_visible_box(owner, n, item) for n, item in enumerate(scene.objects, 1)], np.float32
    ).reshape(-1, 4)
    numbers = np.arange(1, len(scene.objects) + 1, dtype=np.uint16)
    return Rendered(image, owner[None] == numbers[:, None, None] if masks else None, boxes)


def _stamp(item: SceneObject, blur: float) -> _Stamp:
    half = math.ceil(item.diameter * 0.58 + 2 * blur) + 2
    left, top = math.floor(item.centre[0]) - half, math.floor(item.centre[1]) - half
    side = 2 * half + 1
    factor = 4 if item.diameter < 64 else 2  # edges of small objects matter more
    centre = (np.array(item.centre) - (left, top)) * factor
    diameter = item.diameter * factor
    corners = (outline(item.shape, item.angle) * diameter + centre).ravel().tolist()

    canvas = (side * factor, side * factor)
    shape, pattern, contour = (Image.new("L", canvas) for _ in range(3))
    ImageDraw.Draw(shape).polygon(corners, fill=255)
    draw_pattern(ImageDraw.Draw(pattern), item.pattern, item.angle, centre, diameter)
    ImageDraw.Draw(contour).line(
        [*corners, *corners[:4]], fill=255, width=round(2 * _CONTOUR_WIDTH * diameter)
    )
    shape, pattern, contour = (layer.reduce(factor) for layer in (shape, pattern, contour))
    inside = np.asarray(shape) >= 128

    base = COLOURS[item.colour]
    colour = Image.new("RGB", shape.size, base)
    colour.paste(_DARK_INK if item.colour in _DARK_INKED else _LIGHT_INK, mask=_soft(pattern, blur))
    rim = tuple(round(channel * _CONTOUR_SHADE) for channel in base)
    colour.paste(rim, mask=_soft(contour, blur))
    cast = shape.reduce(2).filter(ImageFilter.BoxBlur(max(1, item.diameter * 0.025)))
    shadow = cast.resize(shape.size, Image.Resampling.BILINEAR)
    return _Stamp(
        left, top, np.asarray(colour), _fraction(_soft(shape, blur)), _fraction(shadow), inside
    )


def _soft(layer: Image.Image, blur: float) -> Image.Image:
    return layer.filter(ImageFilter.BoxBlur(blur)) if blur > 0.1 else layer


def _fraction(layer: Image.Image) -> NDArray[np.float32]:
    fraction: NDArray[np.float32] = np.asarray(layer, np.float32)[..., None] / np.float32(255)
    return fraction


def _paste(
    image: NDArray[np.uint8], owner: NDArray[np.uint16], number: int, stamp: _Stamp, light: Light
) -> None:
    """Lay the shadow, then the lit object on `image`, and claim its pixels in `owner`."""
    height, width = owner.shape
    side = stamp.inside.shape[0]
    reach = max(1, side // 24)  # light falls in from the upper left
    for dx, dy, is_shadow in ((reach, reach, True), (0, 0, False)):
        left, top = stamp.left + dx, stamp.top + dy
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + side, width), min(top + side, height)
        if x0 >= x1 or y0 >= y1:
            continue
        here = (slice(y0, y1), slice(x0, x1))
        crop = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        under = image[here].astype(np.float32)
        if is_shadow:
            image[here] = under * (1 - light.shadow * stamp.shadow[crop])
            continue
        x = np.arange(x0, x1, dtype=np.float32)[None, :, None] / width
        y = np.arange(y0, y1, dtype=np.float32)[:, None, None] / height
        # A slope of its own makes the object look solid: brighter at its upper left.
        bulge = 1.06 - 0.12 * (x * width + y * height - left - top) / (2 * side)
        lit = np.minimum(stamp.colour[crop] * (light.gain * (light.at(x, y) * bulge)), 255)
        image[here] = under + (lit - under) * stamp.alpha[crop]
        owner[here][stamp.inside[crop]] = number


def _add_noise(image: NDArray[np.uint8], strength: float, seed: int) -> NDArray[np.uint8]:
    """Add triangular noise from one random byte a channel, clipped to 0 and 255."""
    byte = np.arange(256)
    table = 128 + np.rint(((byte & 15) + (byte >> 4) - 15) * strength)
    rng = np.random.Generator(np.random.SFC64(seed))
    grain = table.astype(np.uint8)[np.frombuffer(rng.bytes(image.size), np.uint8)]
    noise = Image.fromarray(grain.reshape(image.shape))
    return np.array(ImageChops.add(Image.fromarray(image), noise, 1.0, -128))


def _visible_box(
    owner: NDArray[np.uint16], number: int, item: SceneObject
) -> tuple[int, int, int, int]:
    half = item.diameter / 2 + 2
    left, top = max(0, math.floor(item.centre[0] - half)), max(0, math.floor(item.centre[1] - half))
    right, bottom = math.ceil(item.centre[0] + half), math.ceil(item.centre[1] + half)
    visible = owner[top:bottom, left:right] == number
    columns, rows = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    if columns.size == 0:
        return 0, 0, 0, 0
    x0, x1 = int(columns[0]) + left, int(columns[-1]) + 1 + left
    return x0, int(rows[0]) + top, x1, int(rows[-1]) + 1 + top
