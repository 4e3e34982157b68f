"""Pixels to places in the optical frame, there and back by OpenCV's own projection."""

from __future__ import annotations

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


def place(
    pixel: tuple[float, float],
    size: tuple[int, int] = (640, 480),
    rectified: bool = False,
    **fields: object,
) -> list[float]:
    """What a pixel of an image of this size shows two metres ahead."""
    camera = calibrated_camera(info(**fields), *size, rectified)
    (found,) = camera.points(np.array([pixel], float), np.array([2.0])).tolist()
    return list(found)


P = [400.0, 0, 300, 0, 0, 400, 250, 0, 0, 0, 1, 0]
BESIDE = [500.0, 0, 320, -50, 0, 510, 240, 0, 0, 0, 1, 0]  # 0.1 m to the right
PART = {"x_offset": 100, "y_offset": 40, "width": 320, "height": 240}
SKEWED = [500.0, 4.0, 320, 0, 510, 240, 0, 0, 1]


@pytest.mark.parametrize(
    ("pixel", "given", "expected"),
    [
        ((320, 240), {}, (0, 0, 2)),
        ((370, 291), {}, (0.2, 0.2, 2)),
        ((300, 250), {"rectified": True, "p": P, "d": [0.5] * 5}, (0, 0, 2)),
        ((320, 240), {"rectified": True, "p": BESIDE}, (0.1, 0, 2)),
        ((320 + 500 * 0.1 + 4 * 0.2, 240 + 510 * 0.2), {"k": SKEWED}, (0.2, 0.4, 2)),
        ((320, 240), {"width": 0, "height": 0}, (0, 0, 2)),
    ],
    ids=["ahead", "x right, y down", "seen through P", "second camera", "skewed", "no size told"],
)
def test_a_pixel_is_a_place_ahead(
    pixel: tuple[float, float], given: dict, expected: tuple[float, float, float]
) -> None:
    assert place(pixel, **given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("whole", "pixel", "given"),
    [
        (
            (200.5, 100.5),
            (50, 30),
            {"size": (160, 120), "binning_x": 2, "binning_y": 2, "roi": RegionOfInterest(**PART)},
        ),
        ((200.5, 100), (100, 100), {"size": (320, 480), "binning_x": 2}),
        ((320, 240), (159.75, 119.75), {"size": (320, 240)}),
    ],
    ids=["binned part of the sensor", "one side binned", "made smaller on the way"],
)
def test_a_pixel_shows_the_same_in_a_smaller_image(
    whole: tuple[float, float], pixel: tuple[float, float], given: dict
) -> None:
    assert place(pixel, **given) == pytest.approx(place(whole))


def test_p_speaks_of_the_whole_sensor_as_k_does() -> None:
    found = place((200, 210), (320, 240), True, roi=RegionOfInterest(**PART), p=P)
    assert found == [0, 0, 2]


def test_a_pixel_at_a_right_angle_to_the_axis_shows_nothing_in_front() -> None:
    absurd = [0.001, 0, 320, 0, 0.001, 240, 0, 0, 1]
    assert np.isnan(place((600, 240), k=absurd)).all() and place((320, 240), k=absurd) == [0, 0, 2]


def test_no_pixels_no_places() -> None:
    camera = calibrated_camera(info(d=[0.1] * 5), 640, 480, False)
    assert camera.points(np.zeros((0, 2)), np.zeros(0)).shape == (0, 3)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"k": [0.0] * 9}, "focal lengths in K are 0 and 0, expected positive ones; calibrate"),
        ({"p": [0.0] * 12, "rectified": True}, "focal lengths in P"),
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
        place((0, 0), **fields)


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
