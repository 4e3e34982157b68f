"""Draw a scene as a camera would see it, with the truth about every object's visible pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from perceptiondlm_ros.development.scenes.background import Light, draw_background, sample_light
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.development.scenes.shapes import draw_pattern, outline
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS

_LIGHT_INK: Final = (246, 246, 242)
_DARK_INK: Final = (26, 26, 30)
_DARK_INKED: Final = frozenset({"orange", "yellow", "cyan", "pink", "white"})
"""Colours light enough for a dark second colour; the others take a light one."""

_CONTOUR_SHADE: Final = 0.55
_CONTOUR_WIDTH: Final = 0.035
"""Fraction of the diameter; the contour keeps every colour apart from every background."""

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
class _Optics:
    """What the whole picture has in common."""

    light: Light
    blur: float  # radius, px
    noise: float  # largest change of a channel, in units of 15
    shadow: list[int]  # darkness of a shadow by the coverage that casts it, 0 to 255 each


def render(scene: Scene, *, masks: bool = True) -> Rendered:
    """Draw `scene`, of at most 255 objects; the same scene gives the same bytes. `masks=False`
    saves their memory.
    """
    rng = np.random.default_rng(scene.background_seed)
    optics = _sample_optics(scene, rng)
    image = draw_background(scene.width, scene.height, optics.light, rng)
    owner = Image.new("L", image.size)  # number of the object at each pixel, 0 is the background
    numbers = range(1, len(scene.objects) + 1)
    for number, item in zip(numbers, scene.objects, strict=True):
        _draw_object(image, owner, number, item, optics)
    boxes = np.array([_visible_box(owner, number) for number in numbers], np.float32)
    return Rendered(
        image=_add_noise(image, optics.noise, scene.noise_seed),
        masks=np.asarray(owner) == np.array(numbers)[:, None, None] if masks else None,
        boxes=boxes.reshape(-1, 4),
    )


def _sample_optics(scene: Scene, rng: np.random.Generator) -> _Optics:
    light = sample_light(rng)
    return _Optics(
        light=light,
        blur=float(rng.uniform(0.0, 1.0)) * min(scene.width, scene.height) / 480,
        noise=float(rng.uniform(0.2, 0.9)),
        shadow=[round(coverage * light.shadow) for coverage in range(256)],
    )


def _draw_object(
    image: Image.Image, owner: Image.Image, number: int, item: SceneObject, optics: _Optics
) -> None:
    """Draw an object with its shadow, and write its number wherever it covers half a pixel."""
    blur = optics.blur
    half = math.ceil(item.diameter * 0.56 + 2 * blur) + 2
    left, top = math.floor(item.centre[0]) - half, math.floor(item.centre[1]) - half
    shape, pattern, contour = _layers(item, left, top, 2 * half + 1)
    base = COLOURS[item.colour]
    colour = Image.new("RGB", shape.size, base)
    if item.pattern != "plain":
        ink = _DARK_INK if item.colour in _DARK_INKED else _LIGHT_INK
        colour.paste(ink, mask=_soften(pattern, blur))
    rim = tuple(round(channel * _CONTOUR_SHADE) for channel in base)
    colour.paste(rim, mask=_soften(contour, blur))
    cast = shape.reduce(4).filter(ImageFilter.BoxBlur(max(0.5, item.diameter * 0.0125)))
    shadow = cast.point(optics.shadow).resize(shape.size, Image.Resampling.BILINEAR)

    reach = max(1, shape.width // 24)  # light falls in from the upper left
    image.paste((0, 0, 0), (left + reach, top + reach), shadow)
    lit = ImageChops.multiply(colour, _light_field(optics.light, image, left, top, shape.width))
    image.paste(lit, (left, top), _soften(shape, blur))
    owner.paste(number, (left, top), shape.point([0] * 128 + [255] * 128))


def _layers(item: SceneObject, left: int, top: int, side: int) -> tuple[Image.Image, ...]:
    """Return shape, pattern and contour of an object, each the coverage of a square's pixels."""
    factor = 4 if item.diameter < 64 else 2  # edges of small objects matter more
    centre = (np.array(item.centre) - (left, top)) * factor
    diameter = item.diameter * factor
    corners = (outline(item.shape, item.angle) * diameter + centre).ravel().tolist()
    shape, pattern, contour = (Image.new("L", (side * factor, side * factor)) for _ in range(3))
    ImageDraw.Draw(shape).polygon(corners, fill=255)
    draw_pattern(ImageDraw.Draw(pattern), item.pattern, item.angle, centre, diameter)
    ImageDraw.Draw(contour).line(
        [*corners, *corners[:4]], fill=255, width=round(2 * _CONTOUR_WIDTH * diameter)
    )
    return tuple(layer.reduce(factor) for layer in (shape, pattern, contour))


def _soften(layer: Image.Image, blur: float) -> Image.Image:
    return layer.filter(ImageFilter.BoxBlur(blur)) if blur > _LEAST_BLUR else layer


def _light_field(light: Light, image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    """Return the scene's light on a square, a little brighter at its upper left."""
    along = np.array([0.0, side], np.float32)
    x = np.float32(1 / image.width) * (left + along)
    y = np.float32(1 / image.height) * (top + along)
    solid = np.array([[1.06, 1.0], [1.0, 0.94]], np.float32)  # so that it does not look flat
    factor = light.at(x[None, :], y[:, None]) * solid
    corners = np.clip(factor[..., None] * light.gain * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(corners).resize((side, side), Image.Resampling.BILINEAR)


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
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _visible_box(owner: Image.Image, number: int) -> tuple[int, int, int, int]:
    visible = owner.point([255 * (value == number) for value in range(256)])
    return visible.getbbox() or (0, 0, 0, 0)
