"""Draw a scene as a camera would see it, with the truth about every object's visible pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from perceptiondlm_ros.development.scenes.background import Light, draw_background, sample_light
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.development.scenes.shapes import draw_pattern, outline
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS
from perceptiondlm_ros.errors import InputError

_LIGHT_INK: Final = (246, 246, 242)
_DARK_INK: Final = (26, 26, 30)
_DARK_INKED: Final = frozenset({"orange", "yellow", "cyan", "pink", "white"})
"""Colours light enough for a dark second colour; the others take a light one."""

_CONTOUR_SHADE: Final = 0.55
_CONTOUR_WIDTH: Final = 0.035
"""Fraction of the diameter; the contour keeps every colour apart from every background."""

_MAX_OBJECTS: Final = 255
_LEAST_BLUR: Final = 0.2
"""Radius in px below which a blur is not worth its time."""


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
class _Camera:
    """What the whole picture has in common."""

    light: Light
    blur: float  # radius, px
    noise: float  # largest change of a channel, in units of 15
    shadow: list[int]  # darkness of a shadow by the coverage that casts it, 0 to 255 each


@dataclass(frozen=True)
class _Stamp:
    """One object on a square crop of the image whose upper left pixel is (left, top)."""

    left: int
    top: int
    colour: Image.Image  # RGB
    alpha: Image.Image  # L, blurred by the lens
    shadow: Image.Image  # L
    inside: NDArray[np.bool_]  # [side, side], sharp


def render(scene: Scene, *, masks: bool = True) -> Rendered:
    """Draw `scene`; the same scene gives the same bytes. `masks=False` saves their memory.

    Raises InputError for a scene of more than 255 objects.
    """
    if len(scene.objects) > _MAX_OBJECTS:
        raise InputError(f"scene has {len(scene.objects)} objects; expected at most {_MAX_OBJECTS}")
    rng = np.random.default_rng(scene.background_seed)
    camera = _sample_camera(scene, rng)
    image = draw_background(scene.width, scene.height, camera.light, rng)
    owner = np.zeros((scene.height, scene.width), np.uint8)  # 0 is the background
    for number, item in enumerate(scene.objects, start=1):
        stamp = _light_up(_stamp(item, camera), camera.light, scene)
        _paste(image, stamp)
        _claim(owner, number, stamp)
    boxes = np.array(
        [_visible_box(owner, n, item) for n, item in enumerate(scene.objects, 1)], np.float32
    ).reshape(-1, 4)
    numbers = np.arange(1, len(scene.objects) + 1, dtype=np.uint8)
    return Rendered(
        image=_add_noise(image, camera.noise, scene.noise_seed),
        masks=owner[None] == numbers[:, None, None] if masks else None,
        boxes=boxes,
    )


def _sample_camera(scene: Scene, rng: np.random.Generator) -> _Camera:
    light = sample_light(rng)
    return _Camera(
        light=light,
        blur=float(rng.uniform(0.0, 1.0)) * min(scene.width, scene.height) / 480,
        noise=float(rng.uniform(0.2, 0.9)),
        shadow=[round(coverage * light.shadow) for coverage in range(256)],
    )


def _stamp(item: SceneObject, camera: _Camera) -> _Stamp:
    blur = camera.blur
    half = math.ceil(item.diameter * 0.56 + 2 * blur) + 2
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

    base = COLOURS[item.colour]
    colour = Image.new("RGB", shape.size, base)
    if item.pattern != "plain":
        ink = _DARK_INK if item.colour in _DARK_INKED else _LIGHT_INK
        colour.paste(ink, mask=_soft(pattern, blur))
    rim = tuple(round(channel * _CONTOUR_SHADE) for channel in base)
    colour.paste(rim, mask=_soft(contour, blur))
    cast = shape.reduce(4).filter(ImageFilter.BoxBlur(max(0.5, item.diameter * 0.0125)))
    return _Stamp(
        left=left,
        top=top,
        colour=colour,
        alpha=_soft(shape, blur),
        shadow=cast.point(camera.shadow).resize(shape.size, Image.Resampling.BILINEAR),
        inside=np.asarray(shape) >= 128,
    )


def _soft(layer: Image.Image, blur: float) -> Image.Image:
    return layer.filter(ImageFilter.BoxBlur(blur)) if blur > _LEAST_BLUR else layer


def _light_up(stamp: _Stamp, light: Light, scene: Scene) -> _Stamp:
    """Return the stamp in the scene's light, and a little brighter at its upper left."""
    side = stamp.alpha.width
    along = np.array([0.0, side], np.float32)
    x = np.float32(1 / scene.width) * (stamp.left + along)
    y = np.float32(1 / scene.height) * (stamp.top + along)
    solid = np.array([[1.06, 1.0], [1.0, 0.94]], np.float32)  # so that it does not look flat
    factor = light.at(x[None, :], y[:, None]) * solid
    corners = np.clip(factor[..., None] * light.gain * 255, 0, 255).astype(np.uint8)
    field = Image.fromarray(corners).resize((side, side), Image.Resampling.BILINEAR)
    return replace(stamp, colour=ImageChops.multiply(stamp.colour, field))


def _paste(image: Image.Image, stamp: _Stamp) -> None:
    reach = max(1, stamp.alpha.width // 24)  # light falls in from the upper left
    image.paste((0, 0, 0), _frame(stamp, reach), stamp.shadow)
    image.paste(stamp.colour, _frame(stamp, 0), stamp.alpha)


def _frame(stamp: _Stamp, shift: int) -> tuple[int, int, int, int]:
    left, top, side = stamp.left + shift, stamp.top + shift, stamp.alpha.width
    return left, top, left + side, top + side


def _claim(owner: NDArray[np.uint8], number: int, stamp: _Stamp) -> None:
    """Write `number` wherever the object covers at least half of a pixel."""
    height, width = owner.shape
    left, top, right, bottom = _frame(stamp, 0)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x0 < x1 and y0 < y1:
        inside = stamp.inside[y0 - top : y1 - top, x0 - left : x1 - left]
        owner[y0:y1, x0:x1][inside] = number


def _add_noise(image: Image.Image, strength: float, seed: int) -> NDArray[np.uint8]:
    """Add triangular noise from one random byte a channel, clipped to 0 and 255."""
    byte = np.arange(256)
    table = 128 + np.rint(((byte & 15) + (byte >> 4) - 15) * strength).astype(int)
    size = image.width * 3, image.height
    words = np.random.SFC64(seed).random_raw(-(-size[0] * size[1] // 8)).astype("<u8", copy=False)
    grain = Image.frombytes("L", size, words.tobytes()[: size[0] * size[1]]).point(table.tolist())
    noisy = np.asarray(image).astype(np.int16)
    noisy += np.asarray(grain).reshape(noisy.shape)
    noisy -= 128
    np.clip(noisy, 0, 255, out=noisy)
    return noisy.astype(np.uint8)


def _visible_box(
    owner: NDArray[np.uint8], number: int, item: SceneObject
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
