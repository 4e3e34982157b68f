"""Depth images of every kind, and the distance of a region in them."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_support import image_of
from sensor_msgs.msg import Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.ros.inputs.camera_topics import depth_of, region_depth


def message(metres: np.ndarray, encoding: str = "16UC1", big: bool = False, pad: int = 0) -> Image:
    kind = np.dtype(np.float32 if encoding == "32FC1" else np.uint16).newbyteorder(
        ">" if big else "<"
    )
    values = metres if encoding == "32FC1" else np.round(metres * 1000)
    rows = values.astype(kind).view(np.uint8).reshape(len(metres), -1)
    sent = image_of(np.pad(rows, ((0, 0), (0, pad)), constant_values=255), encoding)
    sent.width, sent.is_bigendian = metres.shape[1], big
    return sent


def scene() -> np.ndarray:
    """A thing at 1.5 m in the middle of a wall at 4 m."""
    metres = np.full((48, 64), 4.0)
    metres[16:32, 16:32] = 1.5
    return metres


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "mono16"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("pad", [0, 3])
def test_every_kind_gives_the_same_metres(encoding: str, big: bool, pad: int) -> None:
    depth = depth_of(message(scene(), encoding, big, pad))
    assert np.allclose(depth.metres, scene())


def test_the_core_of_a_box_is_measured() -> None:
    depth = depth_of(message(scene()))
    assert region_depth(depth, (12, 12, 36, 36), None, 64, 48) == pytest.approx(1.5)


def test_a_mask_is_measured_where_it_is() -> None:
    mask = np.ones((48, 64), bool)
    mask[14:34, 14:34] = False
    depth = depth_of(message(scene()))
    assert region_depth(depth, (0, 0, 64, 48), mask, 64, 48) == pytest.approx(4.0)


def test_the_depth_image_may_have_another_size() -> None:
    depth = depth_of(message(scene()))
    assert region_depth(depth, (120, 120, 360, 360), None, 640, 480) == pytest.approx(1.5)
    mask = np.zeros((480, 640), bool)
    mask[200:300, 200:300] = True
    assert region_depth(depth, (0, 0, 640, 480), mask, 640, 480) == pytest.approx(1.5)


def test_a_large_depth_image_is_kept_coarse_and_measures_the_same() -> None:
    large = np.kron(scene(), np.ones((20, 20)))
    depth = depth_of(message(large))
    assert depth.metres.nbytes < 300_000
    assert region_depth(depth, (240, 240, 720, 720), None, 1280, 960) == pytest.approx(1.5)


@pytest.mark.parametrize("unknown", [0.0, np.nan, np.inf, -np.inf, -1.0])
def test_what_is_unknown_does_not_count(unknown: float) -> None:
    metres = scene()
    metres[20:27] = unknown
    encoding = "16UC1" if unknown == 0 else "32FC1"
    depth = depth_of(message(metres, encoding))
    assert region_depth(depth, (16, 16, 32, 32), None, 64, 48) == pytest.approx(1.5)


def test_a_region_without_depth_has_none() -> None:
    metres = scene()
    metres[16:32, 16:32] = 0
    depth = depth_of(message(metres))
    assert region_depth(depth, (16, 16, 32, 32), None, 64, 48) is None


@pytest.mark.parametrize("box", [(5.2, 5.2, 5.3, 5.3), (63.5, 47.5, 64, 48), (0, 0, 0.1, 48)])
def test_a_region_smaller_than_a_pixel_has_one(box: tuple[float, float, float, float]) -> None:
    assert region_depth(depth_of(message(scene())), box, None, 64, 48) == pytest.approx(4.0)


def test_a_depth_image_of_another_shape_is_not_registered() -> None:
    with pytest.raises(InputError, match="is 64x48, expected the shape of the 64x64 image"):
        region_depth(depth_of(message(scene())), (0, 0, 9, 9), None, 64, 64)


def test_another_encoding_is_refused() -> None:
    sent = message(scene())
    sent.encoding = "rgb8"
    with pytest.raises(InputError, match="'rgb8', expected 16UC1 in millimetres or 32FC1"):
        depth_of(sent)


sizes = st.integers(0, 40) | st.just(2**32 - 1)


@given(
    encoding=st.sampled_from(["16UC1", "32FC1", "mono16", ""]),
    height=sizes,
    width=sizes,
    step=sizes,
    data=st.binary(max_size=200),
    big=st.booleans(),
)
def test_any_message_is_read_or_refused(data: bytes, big: bool, **fields: Any) -> None:
    sent = Image(data=array.array("B", data), is_bigendian=big, **fields)
    try:
        depth = depth_of(sent)
    except InputError:
        return
    found = depth.metres[~np.isnan(depth.metres)]
    assert ((found > 0) & np.isfinite(found)).all()
    region_depth(depth, (0, 0, 1, 1), None, depth.width, depth.height)
