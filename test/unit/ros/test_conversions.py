"""Messages to arrays and regions, and back: nothing that arrives may break them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_support import FakeCaption, detection, header
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from perceptiondlm_ros.processing.boundary import region_masks
from perceptiondlm_ros.ros.conversions import (
    box_corners,
    description,
    detections_to_regions,
)


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
    for region in regions.kept:
        description(region, FakeCaption("x"), header(0))
