import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from perceptiondlm_ros.development.scenes.sample import MAX_ANGLE
from perceptiondlm_ros.development.scenes.shapes import draw_pattern, outline
from perceptiondlm_ros.development.scenes.vocabulary import PATTERNS, SHAPES


@given(st.sampled_from(SHAPES), st.floats(-MAX_ANGLE, MAX_ANGLE))
def test_an_outline_is_centred_and_its_longer_side_is_one(shape: str, angle: float) -> None:
    points = outline(shape, angle)
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose(low + high, 0, atol=1e-9)
    assert (high - low).max() == pytest.approx(1)


def filled(shape: str, angle: float) -> np.ndarray:
    image = Image.new("L", (64, 64))
    points = outline(shape, angle) * 56 + 32
    ImageDraw.Draw(image).polygon(points.ravel().tolist(), fill=1)
    return np.asarray(image).astype(bool)


def test_no_two_shapes_look_alike_at_any_allowed_angle() -> None:
    angles = (-MAX_ANGLE, 0.0, MAX_ANGLE)
    for index, first in enumerate(SHAPES):
        for second in SHAPES[index + 1 :]:
            for a in angles:
                for b in angles:
                    one, two = filled(first, a), filled(second, b)
                    overlap = (one & two).sum() / (one | two).sum()
                    assert overlap < 0.82, (first, second, a, b)


def test_a_positive_angle_turns_clockwise() -> None:
    tip = outline("triangle", 0.1)[0]
    assert tip[0] > outline("triangle", 0.0)[0][0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_both_colours_of_a_pattern_show_on_every_shape(shape: str, pattern: str) -> None:
    for angle in (-MAX_ANGLE, 0.0, MAX_ANGLE):
        image = Image.new("L", (64, 64))
        draw_pattern(ImageDraw.Draw(image), pattern, angle, np.array([32.0, 32.0]), 56.0)
        share = (np.asarray(image) > 0)[filled(shape, angle)].mean()
        if pattern == "plain":
            assert share == 0
        else:
            assert 0.12 < share < 0.7
