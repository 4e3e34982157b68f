"""When something is taken to look the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.ros.captioning.tracks import CELLS, appearance, brightness, difference


def picture(seed: int = 0, height: int = 120, width: int = 160) -> np.ndarray:
    """Large blocks of colour with noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 200, (6, 8, 3)).repeat(20, axis=0).repeat(20, axis=1)
    noisy = blocks + rng.normal(0, 4, blocks.shape)
    return noisy[:height, :width].clip(0, 255).astype(np.uint8)


def looks(pixels: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    return appearance(pixels, box, brightness(pixels))


BOX = (20.0, 20.0, 100.0, 100.0)


def test_noise_and_a_pixel_more_or_less_change_little() -> None:
    first = looks(picture(), BOX)
    noisy = np.random.default_rng(1).normal(picture(), 6).clip(0, 255).astype(np.uint8)
    assert difference(first, looks(noisy, BOX)) < 0.02
    assert difference(first, looks(picture(), (21.0, 19.5, 101.0, 99.5))) < 0.06


def test_an_exposure_that_follows_the_light_changes_little() -> None:
    first = looks(picture(), BOX)
    darker = (picture() * 0.6).astype(np.uint8)
    assert difference(first, looks(darker, BOX)) < 0.02


def test_something_else_looks_different() -> None:
    first = looks(picture(), BOX)
    assert difference(first, looks(picture(1), BOX)) > 0.3
    changed = picture()
    changed[30:90, 30:90] = (200, 30, 30)
    assert difference(first, looks(changed, BOX)) > 0.2


def test_black_is_no_division_by_zero() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    assert difference(looks(black, (0, 0, 9, 9)), looks(black, (9, 9, 40, 40))) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 2)])
def test_any_image_will_do(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 90, np.uint8)
    assert looks(pixels, (0, 0, size[1], size[0])).shape == (CELLS, CELLS, 3)


@given(st.tuples(*[st.floats(-1e9, 1e9)] * 4))
def test_any_box_will_do(box: tuple[float, float, float, float]) -> None:
    assert np.isfinite(looks(picture(), box)).all()
