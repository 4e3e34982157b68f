"""Boxes: rotated ones as hulls and masks, and those on a detector's own image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_support import detection
from vision_msgs.msg import BoundingBox2D

from perceptiondlm_ros.messages.boxes import (
    FITS,
    box_corners,
    check_box,
    fit_image,
    is_rotated,
    rotated_mask,
)


def box(x0: float, y0: float, x1: float, y1: float, theta: float = 0.0) -> BoundingBox2D:
    result = detection(x0, y0, x1, y1).bbox
    result.center.theta = theta
    return result


def test_a_rotated_box_has_an_upright_hull() -> None:
    assert box_corners(box(40, 20, 60, 30, math.pi / 2)) == pytest.approx((45, 15, 55, 35))
    half = 15 / math.sqrt(2)
    turned = box_corners(box(40, 20, 60, 30, math.pi / 4))
    assert turned == pytest.approx((50 - half, 25 - half, 50 + half, 25 + half))


@pytest.mark.parametrize(
    ("theta", "rotated"),
    [(0, False), (math.pi / 2, False), (-math.pi, False), (0.01, False), (0.1, True), (2, True)],
)
def test_only_what_leaves_corners_free_is_rotated(theta: float, rotated: bool) -> None:
    assert is_rotated(box(0, 0, 9, 9, float(theta))) == rotated


@given(
    centre=st.tuples(st.floats(-20, 84), st.floats(-20, 68)),
    size=st.tuples(st.floats(1, 90), st.floats(1, 90)),
    theta=st.floats(-10, 10),
)
def test_the_mask_of_a_rotated_box_is_as_large_as_its_part_in_the_image(
    centre: tuple[float, float], size: tuple[float, float], theta: float
) -> None:
    rotated = box(0, 0, *size, theta)
    rotated.center.position.x, rotated.center.position.y = centre
    reason, _ = check_box(rotated, 64, 48)
    if reason:
        return
    mask = rotated_mask(rotated, 64, 48)
    assert mask.shape == (48, 64)
    # Each pixel by itself, by the vectors along both sides.
    y, x = np.mgrid[:48, :64] + 0.5
    along = np.array([math.cos(theta), math.sin(theta)])
    offsets = np.stack([x - centre[0], y - centre[1]], axis=-1)
    inside = (np.abs(offsets @ along) <= size[0] / 2) & (
        np.abs(offsets @ [-along[1], along[0]]) <= size[1] / 2
    )
    assert np.count_nonzero(mask != inside) <= 2  # pixels on the very edge


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        ("stretch", (640, 640), (80, 160 * 640 / 720, 160, 320 * 640 / 720)),
        ("letterbox", (640, 640), (80, 220, 160, 300)),
        ("corner", (640, 640), (80, 80, 160, 160)),
        ("stretch", (320, 0), (40, 40, 80, 80)),
        ("letterbox", (0, 360), (80, 80, 160, 160)),
        ("corner", (0, 0), (160, 160, 320, 320)),
        # One side of 1 says that both go from 0 to 1.
        *(
            ("stretch", seen, (160 / 1280, 160 / 720, 320 / 1280, 320 / 720))
            for seen in ((1, 0), (0, 1), (1, 1))
        ),
    ],
)
def test_boxes_on_the_detectors_image_are_found_on_the_cameras(
    kind: str, seen: tuple[int, int], expected: tuple[float, ...]
) -> None:
    """The camera's image has 1280x720 pixels, the box in it is (160, 160, 320, 320)."""
    fit = fit_image(kind, *seen, 1280, 720)
    assert box_corners(fit.to_image(box(*expected))) == pytest.approx((160, 160, 320, 320))


@given(kind=st.sampled_from(FITS), theta=st.floats(-3, 3), side=st.integers(100, 999))
def test_rotation_stays_where_both_sides_are_scaled_alike(
    kind: str, theta: float, side: int
) -> None:
    fit = fit_image(kind, side, side, 480, 480)
    given_box = box(10, 20, 50, 40, theta)
    found = fit.to_image(given_box)
    scale = 480 / side
    assert found.center.theta == pytest.approx(theta, abs=1e-9)
    assert (found.size_x, found.size_y) == pytest.approx((40 * scale, 20 * scale))


def test_a_quarter_turn_swaps_how_the_sides_are_stretched() -> None:
    fit = fit_image("stretch", 100, 200, 200, 200)  # twice as wide on the image
    turned = fit.to_image(box(40, 80, 60, 120, math.pi / 2))
    assert box_corners(turned) == pytest.approx((60, 90, 140, 110))


numbers = st.floats() | st.floats(-200, 200) | st.sampled_from([1.7e308, -1e308, 5e-324])


@given(
    values=st.tuples(numbers, numbers, numbers, numbers, numbers),
    kind=st.sampled_from(FITS),
    seen=st.tuples(st.integers(0, 700), st.integers(0, 700)),
)
def test_any_box_is_refused_with_a_reason_or_lies_in_the_image(
    values: tuple[float, ...], kind: str, seen: tuple[int, int]
) -> None:
    any_box = BoundingBox2D(size_x=values[2], size_y=values[3])
    any_box.center.position.x, any_box.center.position.y = values[:2]
    any_box.center.theta = values[4]
    moved = fit_image(kind, *seen, 64, 48).to_image(any_box)
    reason, (x0, y0, x1, y1) = check_box(moved, 64, 48)
    if not reason:
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48
        assert is_rotated(moved) in (True, False)
        assert rotated_mask(moved, 64, 48).shape == (48, 64)
