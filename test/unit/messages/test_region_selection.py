"""Which detections become regions: limits, filters, masks, and every reason told."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_messages import any_detection
from ros_support import detection, image_of
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

from perceptiondlm_ros.messages.boxes import FITS
from perceptiondlm_ros.messages.region_selection import (
    TINY_BOXES,
    RegionSettings,
    Selection,
    select_masks,
    select_regions,
)
from perceptiondlm_ros.processing.boundary import check_regions
from perceptiondlm_ros.ros.settings import DetectionsSettings, Settings

UNIT = st.floats(0, 1, width=32)


def selected(
    items: Sequence[Detection2D],
    masks: np.ndarray | None = None,
    size: tuple[int, int] = (100, 50),
    **settings: Any,
) -> Selection:
    """What becomes of detections on an image of this size; masks: ids of its pixels, uint8."""
    sent = None if masks is None else id_image(masks)
    return select_regions(items, *size, RegionSettings(**settings), sent)


def id_image(ids: np.ndarray) -> Image:
    return image_of(ids.astype(np.uint8), "mono8")


@st.composite
def normalised_boxes(draw: st.DrawFn) -> list[tuple[float, float, float, float]]:
    """Corners from 0 to 1, each box with an area."""
    corners = st.tuples(UNIT, UNIT, UNIT, UNIT).map(
        lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
    )
    wide = corners.filter(lambda c: c[2] - c[0] > 1e-3 and c[3] - c[1] > 1e-3)
    return draw(st.lists(wide, min_size=1, max_size=5))


@given(boxes=normalised_boxes(), size=st.tuples(st.integers(16, 4000), st.integers(16, 4000)))
def test_normalised_boxes_are_dropped_with_the_setting_that_makes_them_right(
    boxes: list[tuple[float, float, float, float]], size: tuple[int, int]
) -> None:
    sent = [detection(*box) for box in boxes]
    found = selected(sent, size=size)
    assert not found.kept and found.dropped == {TINY_BOXES: len(boxes)}
    for setting in ("detections.image_width:=1", "detections.image_height:=1"):
        assert setting in TINY_BOXES
    found = selected(sent, size=size, seen_width=1, seen_height=1)
    assert not found.dropped
    for region, box in zip(found.kept, boxes, strict=True):
        expected = [part * whole for part, whole in zip(box, size * 2, strict=True)]
        np.testing.assert_allclose(region.box, expected, atol=1e-3)


def test_one_box_of_some_pixels_tells_that_the_others_are_small_ones() -> None:
    small, large = detection(10, 10, 11, 11.5), detection(40, 20, 43, 22)
    assert len(selected([small, large]).kept) == 2
    useless = [detection(0, 0, math.inf, 9), detection(5, 5, 5, 9)]
    found = selected([small, *useless])
    assert found.dropped[TINY_BOXES] == 1 and found.dropped.total() == 3


def test_a_mask_counts_more_than_a_tiny_box() -> None:
    sent = [detection(0.1, 0.2, 0.3, 0.4), detection(0.5, 0.5, 0.7, 0.7)]
    pixels = np.zeros((50, 100), np.uint8)
    pixels[10:20, 30:60] = 1
    found = selected(sent, pixels)
    (region,) = found.kept
    assert region.box == (30, 10, 60, 20) and region.bbox.size_x == 30
    assert found.dropped == {TINY_BOXES: 1}


def test_boxes_are_clipped_to_the_image_and_keep_their_place() -> None:
    regions = selected([detection(-5, 2, 5, 8, "a", "cup", 0.9), detection(90, 40, 200, 90, "b")])
    assert [r.box for r in regions.kept] == [(0, 2, 5, 8), (90, 40, 100, 50)]
    assert [(r.index, r.label, r.score) for r in regions.kept] == [(0, "cup", 0.9), (1, "", 0.5)]
    assert not regions.dropped


def test_the_best_hypothesis_is_echoed() -> None:
    item = detection(0, 0, 9, 9)
    item.results = []
    for name, score in (("cat", 0.2), ("dog", 0.7), ("cow", math.nan)):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = name, score
        item.results.append(result)
    (region,) = selected([item]).kept
    assert (region.label, region.score) == ("dog", 0.7)
    item.results = []
    (region,) = selected([item]).kept
    assert (region.label, region.score) == ("", 0.0)


CUP, MUG, NAMELESS = (
    detection(0, 0, 9, 9, "1", "cup", 0.4),
    detection(0, 0, 9, 9, "2", "mug", 0.9),
    detection(0, 0, 9, 9, "3", "", math.nan),
)


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
    regions = selected([detection(*box), CUP])
    assert [region.index for region in regions.kept] == [1]
    assert dict(regions.dropped) == {reason: 1}


@pytest.mark.parametrize(
    ("settings", "kept", "dropped", "unwanted"),
    [
        ({"most": 2}, [0, 1], "above the limit of 2 regions", ""),
        ({"most": 1}, [1], "above the limit of 1 regions", ""),
        ({"min_score": 0.5}, [1], "", "with a score below 0.5"),
        ({"classes": {"cup", "bowl"}}, [0], "", "of classes that are not in detections.classes"),
        ({"excluded_classes": {"cup", ""}}, [1], "", "of classes in detections.excluded_classes"),
    ],
)
def test_the_best_are_kept_in_order_and_what_is_filtered_out_is_counted_apart(
    settings: dict[str, Any], kept: list[int], dropped: str, unwanted: str
) -> None:
    found = selected([CUP, MUG, NAMELESS], **settings)
    assert [region.index for region in found.kept] == kept
    lost = 3 - len(kept)
    assert dict(found.dropped) == ({dropped: lost} if dropped else {})
    assert dict(found.unwanted) == ({unwanted: lost} if unwanted else {})


def test_the_settings_are_the_nodes_parameters() -> None:
    wanted = DetectionsSettings(
        min_score=0.25,
        classes=" traffic light,cup,, ",
        excluded_classes="mug",
        image_width=640,
        image_height=320,
        image_fit="letterbox",
    )
    assert Settings().region_settings == RegionSettings()
    assert Settings(max_regions=3, detections=wanted).region_settings == RegionSettings(
        *(3, 0.25, frozenset({"traffic light", "cup"}), frozenset({"mug"})),
        *("letterbox", 640, 320),
    )


def test_a_rotated_box_is_captioned_by_its_own_pixels() -> None:
    turned = detection(30, 20, 70, 24)
    turned.bbox.center.theta = math.pi / 4
    upright = detection(30, 20, 70, 24)
    first, second = selected([turned, upright]).kept
    assert second.mask is None and second.shape == (30, 20, 70, 24)
    assert first.mask is not None and first.shape is first.mask
    assert 140 <= np.count_nonzero(first.mask) <= 180  # 40 x 4 pixels
    x0, y0, x1, y1 = first.box
    assert (x1 - x0, y1 - y0) == pytest.approx((31, 31), abs=1.5)
    assert first.bbox == turned.bbox


IDS = np.zeros((50, 100), np.uint8)
IDS[10:20, 30:50] = 1
IDS[12:15, 40:90] = 3


def test_masks_take_the_place_of_boxes_where_they_have_pixels() -> None:
    nowhere = detection(math.nan, 0, 9, 9)
    items = [detection(5, 5, 60, 40), detection(1, 1, 9, 9), nowhere, nowhere]
    found = selected(items, IDS)
    assert [region.index for region in found.kept] == [0, 1, 2]
    masked, boxed, only_masked = found.kept
    np.testing.assert_array_equal(masked.mask, IDS == 1)
    assert masked.box == (30, 10, 50, 20) and masked.bbox == items[0].bbox
    assert boxed.mask is None and boxed.box == (1, 1, 9, 9)
    np.testing.assert_array_equal(only_masked.mask, IDS == 3)
    bbox = only_masked.bbox
    assert (bbox.center.position.x, bbox.center.position.y) == (65, 13.5)
    assert (bbox.size_x, bbox.size_y) == (50, 3)
    assert dict(found.dropped) == {"with NaN or infinite numbers": 1}
    assert not found.masks_problem


def test_masks_that_cannot_be_read_leave_the_boxes_and_say_why() -> None:
    found = selected([CUP], IDS[:, :50])
    assert found.kept[0].mask is None
    assert "masks: got 50x50 pixels, expected the image's 100x50" in found.masks_problem


def test_masks_alone_are_regions_with_their_values_as_indices() -> None:
    found = select_masks(id_image(IDS), 100, 50, RegionSettings(), Detection2D())
    assert [region.index for region in found.kept] == [0, 2]
    np.testing.assert_array_equal(found.kept[1].mask, IDS == 3)
    assert found.kept[1].bbox.size_x == 50
    found = select_masks(id_image(IDS), 100, 50, RegionSettings(most=1), Detection2D())
    assert [region.index for region in found.kept] == [0]
    assert dict(found.dropped) == {"above the limit of 1 regions": 1}


def test_ten_thousand_impossible_boxes_with_masks_are_soon_done() -> None:
    items = [detection(math.nan, 0, 9, 9)] * 10_000
    ids = np.zeros((1080, 1920), np.uint8)
    started = time.thread_time()
    found = selected(items, ids, size=(1920, 1080))
    assert found.dropped.total() == 10_000
    assert time.thread_time() - started < 5, "a look at all pixels for each takes half a minute"


@settings(max_examples=100)
@given(
    items=st.lists(any_detection(), max_size=6),
    some=st.builds(
        RegionSettings,
        most=st.integers(1, 3),
        min_score=st.sampled_from([0.0, 0.5]),
        classes=st.sampled_from([frozenset(), frozenset({""})]),
        fit=st.sampled_from(FITS),
        seen_width=st.sampled_from([0, 32, 1000]),
    ),
    masked=st.booleans(),
)
def test_any_detections_are_kept_inside_the_image_or_counted(
    items: list[Detection2D], some: RegionSettings, masked: bool
) -> None:
    masks = id_image(np.arange(48 * 64).reshape(48, 64) // 900) if masked else None
    regions = select_regions(items, 64, 48, some, masks)
    counted = regions.dropped.total() + regions.unwanted.total()
    assert len(regions.kept) + counted == len(items)
    assert len(regions.kept) <= some.most
    assert not regions.masks_problem
    for region in regions.kept:
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48
    shapes = [region.shape for region in regions.kept]
    assert len(check_regions(shapes, 48, 64)) == len(shapes)
