"""Pixels to places in the optical frame, there and back by OpenCV's own projection."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, RegionOfInterest

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.ros.outputs.calibration import calibrated_camera

MATRIX = [500.0, 0, 320, 0, 510, 240, 0, 0, 1]


def info(**fields: object) -> CameraInfo:
    given = {
        "width": 640,
        "height": 480,
        "k": MATRIX,
        "p": [500.0, 0, 320, 0, 0, 510, 240, 0, 0, 0, 1, 0],
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        **fields,
    }
    return CameraInfo(**given)


def place(camera: CameraInfo, pixel: tuple[float, float], rectified: bool = False) -> list[float]:
    found = calibrated_camera(camera, 640, 480, rectified).points(
        np.array([pixel]), np.array([2.0])
    )
    return [float(value) for value in found[0]]


def test_the_principal_point_is_straight_ahead_x_right_y_down() -> None:
    assert place(info(), (320, 240)) == [0, 0, 2]
    assert place(info(), (370, 291)) == pytest.approx([0.2, 0.2, 2])


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [-0.28, 0.07, 0.0003, 0.0002, 0.0]),
        ("rational_polynomial", [0.4, -0.2, 0.001, -0.001, 0.01, 0.7, -0.1, 0.05]),
        ("equidistant", [0.05, -0.01, 0.003, -0.001]),
    ],
)
def test_distortion_is_taken_out(model: str, coefficients: list[float]) -> None:
    camera = info(distortion_model=model, d=coefficients)
    there = np.array([[0.3, -0.4, 2.0], [-0.7, 0.5, 2.0], [0.0, 0.0, 2.0]])
    matrix = np.array(MATRIX).reshape(3, 3)
    nothing = np.zeros(3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixels, _ = project(there[:, None], nothing, nothing, matrix, np.array(coefficients))
    found = calibrated_camera(camera, 640, 480, False).points(pixels[:, 0], there[:, 2])
    assert np.abs(found - there).max() < 0.005
    assert np.abs(found - there).max() < np.abs(place_all(pixels[:, 0]) - there).max() / 4


def place_all(pixels: np.ndarray) -> np.ndarray:
    return calibrated_camera(info(), 640, 480, False).points(pixels, np.full(len(pixels), 2.0))


def test_a_rectified_image_is_seen_through_p() -> None:
    shifted = [400.0, 0, 300, 0, 0, 400, 250, 0, 0, 0, 1, 0]
    camera = info(p=shifted, d=[0.5, 0.5, 0.5, 0.5, 0.5])
    assert place(camera, (300, 250), rectified=True) == [0, 0, 2]


def test_the_second_camera_of_a_pair_stands_beside_the_first() -> None:
    beside = [500.0, 0, 320, -50, 0, 510, 240, 0, 0, 0, 1, 0]  # 0.1 m to the right
    assert place(info(p=beside), (320, 240), rectified=True) == pytest.approx([0.1, 0, 2])


def test_a_binned_part_of_the_sensor() -> None:
    """Every pixel is one of the sensor's again: what a pixel shows does not move."""
    whole = place_all(np.array([(200.5, 100.5)]))[0]
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240)
    camera = calibrated_camera(info(roi=roi, binning_x=2, binning_y=2), 160, 120, False)
    found = camera.points(np.array([(50.0, 30.0)]), np.array([2.0]))[0]
    assert found == pytest.approx(whole)


def test_binning_of_one_side_only() -> None:
    whole = place_all(np.array([(200.5, 100.0)]))[0]
    camera = calibrated_camera(info(binning_x=2), 320, 480, False)
    found = camera.points(np.array([(100.0, 100.0)]), np.array([2.0]))[0]
    assert found == pytest.approx(whole)


def test_a_rectified_part_of_the_sensor() -> None:
    """P speaks of the whole sensor, as K does."""
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240)
    camera = calibrated_camera(
        info(roi=roi, p=[400.0, 0, 300, 0, 0, 400, 250, 0, 0, 0, 1, 0]), 320, 240, True
    )
    assert list(camera.points(np.array([(200.0, 210.0)]), np.array([2.0]))[0]) == [0, 0, 2]


def test_skewed_pixels() -> None:
    skew = 4.0
    camera = info(k=[500.0, skew, 320, 0, 510, 240, 0, 0, 1])
    there = (0.2, 0.4, 2.0)
    pixel = (320 + 500 * 0.1 + skew * 0.2, 240 + 510 * 0.2)
    assert place(camera, pixel) == pytest.approx(there)


def test_a_pixel_at_a_right_angle_to_the_axis_shows_nothing_in_front() -> None:
    absurd = info(k=[0.001, 0, 320, 0, 0.001, 240, 0, 0, 1])
    assert np.isnan(place(absurd, (600, 240))).all() and place(absurd, (320, 240)) == [0, 0, 2]


def test_no_pixels_no_places() -> None:
    assert calibrated_camera(info(d=[0.1] * 5), 640, 480, False).points(
        np.zeros((0, 2)), np.zeros(0)
    ).shape == (0, 3)


def test_an_image_made_smaller_on_the_way() -> None:
    camera = calibrated_camera(info(), 320, 240, False)
    found = camera.points(np.array([(159.75, 119.75)]), np.array([2.0]))[0]
    assert found == pytest.approx([0, 0, 2])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"k": [0.0] * 9}, "focal lengths in K are 0 and 0, expected positive ones; calibrate"),
        ({"k": [float("nan")] * 9}, "focal lengths in K are nan"),
        ({"width": 480, "height": 480}, "is for 480x480 pixels, expected the shape of the 640x480"),
        ({"distortion_model": "mine", "d": [1.0]}, "1 coefficients of the distortion model 'mine'"),
        ({"d": [float("inf")]}, "D is not finite"),
        (
            {"binning_x": 2, "binning_y": 2},
            "640x480 pixels of the sensor binned by 2x2, but it has",
        ),
        (
            {"roi": RegionOfInterest(x_offset=9, width=320, height=240)},
            "says that the image is 320x240 pixels of the sensor, but it has 640x480",
        ),
    ],
)
def test_a_camera_that_cannot_be_used_is_refused(fields: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        calibrated_camera(info(**fields), 640, 480, False)


def test_p_is_refused_by_its_own_name() -> None:
    with pytest.raises(InputError, match="focal lengths in P"):
        calibrated_camera(info(p=[0.0] * 12), 640, 480, True)


def test_a_driver_that_does_not_tell_the_size() -> None:
    assert place(info(width=0, height=0), (320, 240)) == [0, 0, 2]


numbers = st.floats(allow_nan=True, allow_infinity=True)
sizes = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 320, 240])


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "width": st.integers(0, 2**32 - 1),
            "height": st.integers(0, 2**32 - 1),
            "k": st.lists(numbers, min_size=9, max_size=9),
            "p": st.lists(numbers, min_size=12, max_size=12),
            "d": st.lists(numbers, max_size=15),
            "distortion_model": st.sampled_from(["plumb_bob", "equidistant", "", "x", "fisheye"]),
            "binning_x": sizes,
            "binning_y": sizes,
            "roi": st.builds(
                RegionOfInterest, x_offset=sizes, y_offset=sizes, width=sizes, height=sizes
            ),
        },
    ),
    rectified=st.booleans(),
)
def test_any_camera_info_is_used_or_refused(fields: dict, rectified: bool) -> None:
    try:
        camera = calibrated_camera(info(**fields), 640, 480, rectified)
        found = camera.points(np.array([(3.0, 4.0)]), np.array([2.0]))
    except InputError:
        return
    assert np.isfinite(found).all() or np.isnan(found).all()
