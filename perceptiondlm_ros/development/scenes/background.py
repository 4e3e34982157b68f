"""Out-of-focus backgrounds: drawn small, then enlarged, which is both quick and soft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Small = NDArray[np.float32]
"""[h, w] or [h, w, 3], brightness around 0 or colour from 0 to 255."""

_SHORT_SIDE: Final = 96
"""Height or width at which a background is drawn, whichever is the shorter."""


@dataclass(frozen=True)
class Light:
    """The light of a scene: `gain` a channel, and the change of brightness across the image."""

    gain: NDArray[np.float32]
    slope: NDArray[np.float32]
    shadow: float

    def at(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the brightness factor at places given as fractions of the image, 0 to 1."""
        factor: NDArray[np.float32] = 1 + self.slope[0] * (x - 0.5) + self.slope[1] * (y - 0.5)
        return factor


def sample_light(rng: np.random.Generator) -> Light:
    """Draw a light that is neither so dim nor so tinted that a colour would change its name."""
    brightness = rng.uniform(0.86, 1.06)
    tint = rng.uniform(-0.04, 0.04)
    gain = brightness * np.array([1 + tint, 1.0, 1 - tint])
    slope = rng.uniform(-0.16, 0.16, 2)
    return Light(gain.astype(np.float32), slope.astype(np.float32), float(rng.uniform(0.2, 0.45)))


def draw_background(width: int, height: int, light: Light, rng: np.random.Generator) -> Image.Image:
    """Return a lit, textured background in RGB."""
    scale = _SHORT_SIDE / min(width, height)
    w, h = max(8, round(width * scale)), max(8, round(height * scale))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    textures = (_plaster, _wood, _tiles, _cloth, _table)
    relief = textures[rng.integers(len(textures))](x, y, rng)
    blotches = _clouds(w, h, 4, rng) * 10
    shaded = (_muted_colour(rng) + (relief + blotches)[..., None]) * light.gain
    shaded *= light.at(x / w, y / h)[..., None]
    shaded *= 1 - 0.18 * ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2)[..., None]
    small = Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BILINEAR)


def _muted_colour(rng: np.random.Generator) -> Small:
    """A greyish colour of middle brightness, so that every object's colour stands out."""
    colour: Small = (rng.uniform(95, 175) + rng.uniform(-16, 16, 3)).astype(np.float32)
    return colour


def _clouds(w: int, h: int, cells: int, rng: np.random.Generator) -> Small:
    """Smooth random brightness, about -1 to 1, with `cells` bumps along the shorter side."""
    size = max(2, round(cells * w / min(w, h))), max(2, round(cells * h / min(w, h)))
    coarse = Image.fromarray(rng.uniform(-1, 1, size[::-1]).astype(np.float32))
    return np.asarray(coarse.resize((w, h), Image.Resampling.BICUBIC))


def _plaster(x: Small, y: Small, rng: np.random.Generator) -> Small:
    h, w = x.shape
    return _clouds(w, h, 12, rng) * 6 + _clouds(w, h, 40, rng) * 5


def _wood(x: Small, y: Small, rng: np.random.Generator) -> Small:
    h, w = x.shape
    grain = np.sin(y * rng.uniform(0.5, 0.9) + _clouds(w, h, 3, rng) * 5) * 6
    plank = rng.integers(18, 34)
    gaps = -22 * ((y + rng.integers(plank)) % plank < 1)
    relief: Small = (grain + gaps).astype(np.float32)
    return relief


def _tiles(x: Small, y: Small, rng: np.random.Generator) -> Small:
    side = rng.integers(16, 30)
    u, v = x + rng.integers(side), y + rng.integers(side)
    shades = rng.uniform(-8, 8, (16, 16))
    joints = -20 * ((u % side < 1) | (v % side < 1))
    relief: Small = shades[(v // side).astype(int) % 16, (u // side).astype(int) % 16] + joints
    return relief.astype(np.float32)


def _cloth(x: Small, y: Small, rng: np.random.Generator) -> Small:
    pitch = rng.uniform(1.0, 1.6)
    folds = np.sin(x * 0.06 + y * rng.uniform(-0.05, 0.05) + rng.uniform(0, 6)) * 8
    relief: Small = (np.sin(x * pitch) * 5 + np.sin(y * pitch) * 5 + folds).astype(np.float32)
    return relief


def _table(x: Small, y: Small, rng: np.random.Generator) -> Small:
    """A wall that meets a table."""
    h, w = x.shape
    edge = h * rng.uniform(0.3, 0.6) + (x - w / 2) * rng.uniform(-0.05, 0.05)
    step = np.clip(y - edge, -1, 1) * rng.choice([-16.0, 16.0])
    relief: Small = (step + _clouds(w, h, 24, rng) * 5).astype(np.float32)
    return relief
