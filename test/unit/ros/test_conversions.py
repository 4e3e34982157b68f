"""Messages to arrays and regions, and back: nothing that arrives may break them."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_support import FakeCaption, detection, header
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.processing.boundary import region_masks
from perceptiondlm_ros.ros.captioning import annotated_image
from perceptiondlm_ros.ros.conversions import (
    box_corners,
    description,
    detections_to_regions,
    image_to_rgb,
    rgb_to_image,
)

RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]], np.uint8)
GREY = np.repeat(RGB[:, :, :1], 3, axis=2)
ALPHA = np.full((2, 2, 1), 255, np.uint8)
ENCODED = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], axis=2), RGB),
    "bgra8": (np.concatenate([RGB[:, :, ::-1], ALPHA], axis=2), RGB),
    "mono8": (RGB[:, :, :1], GREY),
}


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width, channels = pixels.shape
    rows = np.zeros((height, width * channels + padding), np.uint8)
    rows[:, : width * channels] = pixels.reshape(height, -1)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array.array("B", rows.tobytes()),
    )


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings_and_row_padding(encoding: str, padding: int) -> None:
    sent, expected = ENCODED[encoding]
    result = image_to_rgb(message(sent, encoding, padding))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_the_last_rows_padding_may_be_missing() -> None:
    sent = message(RGB, "rgb8", padding=5)
    sent.data = sent.data[:-5]
    np.testing.assert_array_equal(image_to_rgb(sent), RGB)


def test_the_result_is_an_own_copy() -> None:
    sent = message(RGB, "rgb8")
    result = image_to_rgb(sent)
    sent.data[0] = 255
    assert result[0, 0, 0] == 10


def test_other_encodings_are_named_with_the_known_ones() -> None:
    sent = message(RGB, "rgb8")
    sent.encoding = "32FC1"
    with pytest.raises(InputError, match=r"got '32FC1', expected one of rgb8, bgr8, rgba8"):
        image_to_rgb(sent)


@pytest.mark.parametrize(
    "change",
    [{"step": 5}, {"height": 3}, {"width": 0}, {"height": 0}, {"data": array.array("B")}],
)
def test_data_that_do_not_fit_their_size_are_refused(change: dict[str, object]) -> None:
    sent = message(RGB, "rgb8")
    for name, value in change.items():
        setattr(sent, name, value)
    with pytest.raises(InputError, match="image data: got"):
        image_to_rgb(sent)


def test_round_trip_keeps_pixels_and_header() -> None:
    sent = rgb_to_image(RGB, header(123))
    assert (sent.encoding, sent.step, sent.header) == ("rgb8", 6, header(123))
    np.testing.assert_array_equal(image_to_rgb(sent), RGB)


@settings(max_examples=200)
@given(
    height=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    width=st.integers(0, 2**32 - 1) | st.integers(0, 9),
    step=st.integers(0, 2**32 - 1) | st.integers(0, 40),
    encoding=st.sampled_from(list(ENCODED)) | st.text(max_size=8),
    data=st.binary(max_size=300),
)
def test_any_image_message_is_converted_or_refused(
    height: int, width: int, step: int, encoding: str, data: bytes
) -> None:
    sent = Image(
        height=height, width=width, step=step, encoding=encoding, data=array.array("B", data)
    )
    channels = {"mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}.get(encoding, 0)
    row = width * channels
    if row and height and step >= row and len(data) >= step * (height - 1) + row:
        assert image_to_rgb(sent).shape == (height, width, 3)
    else:
        with pytest.raises(InputError, match=r"got .*expected .*; "):
            image_to_rgb(sent)


def test_boxes_are_clipped_to_the_image_and_keep_their_place() -> None:
    regions = detections_to_regions(
        [detection(-5, 2, 5, 8, "a", "cup", 0.9), detection(90, 40, 200, 90, "b")], 100, 50, 9
    )
    assert [r.box for r in regions.kept] == [(0, 2, 5, 8), (90, 40, 100, 50)]
    assert [(r.index, r.label, r.score) for r in regions.kept] == [(0, "cup", 0.9), (1, "", 0.5)]
    assert not regions.dropped


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((math.nan, 0, 5, 5), "with NaN or infinite numbers"),
        ((0, 0, math.inf, 5), "with NaN or infinite numbers"),
        ((5, 5, 5, 9), "of no or negative size"),
        ((5, 5, 2, 9), "of no or negative size"),
        ((100, 0, 120, 10), "outside the 100x50 image"),
        ((-20, -20, -1, -1), "outside the 100x50 image"),
    ],
)
def test_boxes_that_cannot_be_captioned_are_dropped_with_the_reason(
    box: tuple[float, float, float, float], reason: str
) -> None:
    regions = detections_to_regions([detection(*box), detection(1, 1, 9, 9)], 100, 50, 9)
    assert [region.index for region in regions.kept] == [1]
    assert dict(regions.dropped) == {reason: 1}


def test_a_rotated_box_becomes_its_upright_hull() -> None:
    rotated = detection(40, 20, 60, 30)
    rotated.bbox.center.theta = math.pi / 2
    assert box_corners(rotated.bbox) == pytest.approx((45, 15, 55, 35))
    rotated.bbox.center.theta = math.pi / 4
    half = 15 / math.sqrt(2)
    assert box_corners(rotated.bbox) == pytest.approx((50 - half, 25 - half, 50 + half, 25 + half))


def test_above_the_limit_the_best_scores_are_kept_in_order() -> None:
    items = [
        detection(0, 0, 9, 9, str(n), score=s) for n, s in enumerate([0.1, 0.9, math.nan, 0.5])
    ]
    regions = detections_to_regions(items, 100, 50, 2)
    assert [region.index for region in regions.kept] == [1, 3]
    assert dict(regions.dropped) == {"above the limit of 2 regions": 2}


def test_the_best_hypothesis_is_echoed() -> None:
    item = detection(0, 0, 9, 9)
    item.results = []
    for name, score in (("cat", 0.2), ("dog", 0.7), ("cow", math.nan)):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = name, score
        item.results.append(result)
    (region,) = detections_to_regions([item], 100, 50, 9).kept
    assert (region.label, region.score) == ("dog", 0.7)
    item.results = []
    (region,) = detections_to_regions([item], 100, 50, 9).kept
    assert (region.label, region.score) == ("", 0.0)


def test_a_description_echoes_the_detection() -> None:
    item = detection(-5, 2, 5, 8, "track 7", "cup", 0.75)
    item.bbox.center.theta = 0.1
    (region,) = detections_to_regions([item], 100, 50, 9).kept
    sent = description(region, FakeCaption("a cup", 0.5, truncated=True), header(1_500_000_000))
    assert (sent.id, sent.index, sent.label, sent.score) == ("track 7", 0, "cup", 0.75)
    assert sent.bbox == item.bbox
    assert (sent.caption, sent.confidence, sent.truncated) == ("a cup", 0.5, True)
    assert sent.source == sent.FRESH
    assert (sent.caption_stamp.sec, sent.caption_stamp.nanosec) == (1, 500_000_000)


def test_a_caption_is_one_printable_line() -> None:
    (region,) = detections_to_regions([detection(0, 0, 9, 9)], 100, 50, 9).kept
    sent = description(region, FakeCaption("a cup\n\x1b[31m on\ta table "), header(0))
    assert sent.caption == "a cup \ufffd[31m on a table"


numbers = st.floats() | st.floats(-200, 200)


@st.composite
def any_detection(draw: st.DrawFn) -> Detection2D:
    item = Detection2D(id=draw(st.text(max_size=5)))
    item.bbox.center.position.x, item.bbox.center.position.y = draw(numbers), draw(numbers)
    item.bbox.center.theta = draw(numbers)
    item.bbox.size_x, item.bbox.size_y = draw(numbers), draw(numbers)
    for score in draw(st.lists(numbers, max_size=2)):
        result = ObjectHypothesisWithPose()
        result.hypothesis.score = score
        item.results.append(result)
    return item


@settings(max_examples=100)
@given(items=st.lists(any_detection(), max_size=6), most=st.integers(1, 3))
def test_any_detections_are_kept_inside_the_image_or_counted(
    items: list[Detection2D], most: int
) -> None:
    regions = detections_to_regions(items, 64, 48, most)
    assert len(regions.kept) + regions.dropped.total() == len(items)
    assert len(regions.kept) <= most
    for region in regions.kept:
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48
    assert len(region_masks([region.box for region in regions.kept], 48, 64)) == len(regions.kept)
    described = [description(region, FakeCaption("x"), header(0)) for region in regions.kept]
    annotated_image(np.zeros((48, 64, 3), np.uint8), RegionDescriptionArray(regions=described))
