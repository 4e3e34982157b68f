"""Distortion models there and back: OpenCV's projections say where a direction is seen."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.ros.outputs.calibration import WIDEST, calibrated_camera, lens_of

WIDTH, HEIGHT = 640, 480
NOWHERE = np.zeros(3)
FISHEYES = ("equidistant", "fisheye")
BROWN = ("plumb_bob", "rational_polynomial", "thin_prism")
T265 = [-0.0093, 0.0462, -0.0434, 0.0080]


def matrix(focal: float) -> np.ndarray:
    return np.array([[focal, 0, 318.5], [0, 1.01 * focal, 242.25], [0, 0, 1]])


def seen(model: str, d: list[float], focal: float, places: np.ndarray) -> np.ndarray:
    """Where places [N, 3] are seen, by OpenCV: [N, 2]."""
    project = cv2.fisheye.projectPoints if model in FISHEYES else cv2.projectPoints
    given = np.array(d, np.float64)
    pixels, _ = project(places[:, None], NOWHERE, NOWHERE, matrix(focal), given)
    return np.asarray(pixels)[:, 0]


def found(model: str, d: list[float], focal: float, pixels: Any, depth: float = 2.0) -> np.ndarray:
    """Places [N, 3] of pixels [N, 2]."""
    info = CameraInfo(
        width=WIDTH, height=HEIGHT, distortion_model=model, d=d, k=matrix(focal).ravel()
    )
    given = np.array(pixels, np.float64)
    return calibrated_camera(info, WIDTH, HEIGHT, False).points(given, np.full(len(given), depth))


def at(degrees: float, turn: float = 0.3) -> np.ndarray:
    """A place [1, 3] so far from the axis, 2 m ahead."""
    away = 2 * np.tan(np.radians(degrees))
    return np.array([[away * np.cos(turn), away * np.sin(turn), 2.0]])


def assert_there_and_back(model: str, d: list[float], focal: float, pixels: Any) -> None:
    places = found(model, d, focal, pixels)
    there = np.isfinite(places).all(axis=1)
    assert np.isnan(places[~there]).all(), "a place or none"
    if not there.any():
        return
    assert (places[there, 2] == 2).all(), "in front"
    back = seen(model, d, focal, places[there])
    assert np.abs(back - np.array(pixels)[there]).max() < 1


focals = st.floats(40, 1500)
pixels = st.lists(
    st.tuples(st.floats(-1, WIDTH, width=32), st.floats(-1, HEIGHT, width=32)),
    min_size=1,
    max_size=8,
)
small = st.floats(-0.05, 0.05)


@given(
    st.sampled_from(FISHEYES), st.lists(st.floats(-2, 2), min_size=4, max_size=4), focals, pixels
)
def test_what_a_fisheye_finds_is_seen_there(
    model: str, d: list[float], focal: float, given: Any
) -> None:
    assert_there_and_back(model, d, focal, given)


@given(
    k=st.tuples(st.floats(-2, 2), st.floats(-2, 2), small, small, st.floats(-2, 2)),
    rational=st.lists(st.floats(-2, 2), min_size=3, max_size=3) | st.just([]),
    rest=st.lists(small, min_size=6, max_size=6) | st.just([]),
    focal=focals,
    given=pixels,
)
def test_what_any_other_lens_finds_is_seen_there(
    k: tuple[float, ...], rational: list[float], rest: list[float], focal: float, given: Any
) -> None:
    d = [*k, *rational, *(rest if rational else [])]
    assert_there_and_back("rational_polynomial", d, focal, given)


@given(
    st.lists(st.floats(0, 0.2), min_size=4, max_size=4),
    st.floats(0, WIDEST - 0.01),
    st.floats(0, 6.3),
)
def test_a_fisheye_finds_every_direction_in_front(
    d: list[float], degrees: float, turn: float
) -> None:
    there = at(degrees, turn)
    place = found("equidistant", d, 190.0, seen("equidistant", d, 190.0, there))
    assert np.abs(place - there).max() < 1e-3 * np.linalg.norm(there)


@given(
    st.tuples(st.floats(-0.2, 0.5), st.floats(0, 0.3), *[st.floats(-0.005, 0.005)] * 2),
    st.floats(0, 40),
    st.floats(0, 6.3),
)
def test_another_lens_finds_every_direction_that_it_was_calibrated_for(
    d: tuple[float, ...], degrees: float, turn: float
) -> None:
    there = at(degrees, turn)
    place = found("plumb_bob", list(d), 500.0, seen("plumb_bob", list(d), 500.0, there))
    assert np.abs(place - there).max() < 1e-4


@pytest.mark.parametrize("d", [[0.0] * 4, [1e-6, 0, 0, 0], [0.05, -0.01, 0.005, -0.002]])
def test_a_lens_of_more_than_180_degrees_finds_what_is_in_front_only(d: list[float]) -> None:
    focal = 180.0
    for degrees in (*range(89), 88.9, 89.3, 90, 95, 110):
        angle = np.radians(degrees)
        radius = angle * np.polyval([*d[::-1], 1], angle**2)
        pixel = [318.5 + focal * radius, 242.25]
        ((x, y, z),) = found("equidistant", d, focal, [pixel])
        if degrees > WIDEST:
            assert np.isnan([x, y, z]).all(), f"nothing is in front at {degrees} degrees"
        else:
            assert np.degrees(np.arctan2(x, z)) == pytest.approx(degrees, abs=0.01)


def test_pixels_beyond_what_the_coefficients_tell_show_nothing() -> None:
    """The polynomial turns back: the same pixel is reached twice, or from the other side."""
    barrel = [-0.3, 0.0, 0.0, 0.0]  # grows up to a radius of 1.054, which is seen at 0.703
    inside, outside = [318.5 + 300 * 0.69, 242.25], [318.5 + 300 * 0.72, 242.25]
    places = found("plumb_bob", barrel, 300.0, [inside, outside])
    assert places[0, 0] == pytest.approx(2 * 0.936, abs=0.001) and np.isnan(places[1]).all()
    assert np.isnan(found("equidistant", T265, 180.0, [(318.5 + 180 * 1.7, 242.25)])).all()


def test_a_fisheye_without_distortion_is_no_pinhole() -> None:
    for d in ([], [0.0] * 4, [0.0] * 5):
        ((x, _, z),) = found("equidistant", d, 200.0, [(318.5 + 200, 242.25)])
        assert np.arctan2(x, z) == pytest.approx(1), "one focal length is one radian"


PIXELS = [(100.0, 80.0), (318.5, 242.25), (500.0, 400.0)]
FULL = [-0.3, 0.1, 0.001, -0.002, -0.01, 0.02, 0.03, 0.01, 0.001, 0.002, 0.001, 0.001, 0.01, 0.02]


@pytest.mark.parametrize(
    ("model", "count"),
    [(model, count) for model in BROWN for count in (0, 4, 5, 8, 12, 14)]
    + [(model, count) for model in FISHEYES for count in (0, 4)],
)
def test_zeros_at_the_end_are_as_good_as_none(model: str, count: int) -> None:
    d = FULL[:count]
    expected = found(model, d, 500.0, PIXELS)
    assert np.isfinite(expected).all()
    for zeros in range(1, 15):
        assert np.array_equal(found(model, [*d, *[0.0] * zeros], 500.0, PIXELS), expected)


@pytest.mark.parametrize("model", ["", "none", "plumb_bob"])
@pytest.mark.parametrize("count", [0, 1, 3, 5, 9, 20])
def test_zeros_alone_are_no_distortion_whatever_the_model_is_called(model: str, count: int) -> None:
    ((x, y, z),) = found(model, [0.0] * count, 500.0, [(818.5, 242.25)])
    assert (x, y, z) == pytest.approx((2, 0, 2))


@pytest.mark.parametrize(
    ("model", "d", "says"),
    [
        (
            "plumb_bob",
            [0.1],
            "got 1 coefficients of the distortion model 'plumb_bob', expected 4, 5",
        ),
        ("plumb_bob", [0.1, 0.1, 0.0], "got 3 coefficients"),
        ("plumb_bob", [0.1] * 6, "got 6 coefficients"),
        ("plumb_bob", [0.1] * 15, "got 15 coefficients"),
        ("equidistant", [0.1] * 3, "got 3 coefficients of the distortion model 'equidistant'"),
        ("equidistant", [0.1] * 5, "expected 4 \\(zeros may follow\\)"),
        ("", [0.1] * 5, "got 5 coefficients of the distortion model '', expected one of plumb_bob"),
        ("mine", [0.1], "1 coefficients of the distortion model 'mine'.*rectify the image"),
        ("plumb_bob", [0.0, float("nan")], "D is not finite"),
        ("equidistant", [float("inf")] * 4, "D is not finite"),
        ("", [float("nan")], "D is not finite"),
    ],
)
def test_coefficients_of_another_model_are_refused(model: str, d: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        lens_of(model, np.array(d))
