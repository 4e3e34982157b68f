"""Captions as messages: what came is echoed, what the model says is made printable."""

from __future__ import annotations

import math

from ros_support import FakeCaption, detection, header

from perceptiondlm_ros.messages.region_selection import RegionSettings, select_regions
from perceptiondlm_ros.ros.captioning.prepared_frame import description


def test_a_description_echoes_the_detection_and_its_caption_is_one_printable_line() -> None:
    item = detection(-5, 2, 5, 8, "track 7", "cup", 0.75)
    item.bbox.center.theta = 0.1
    (region,) = select_regions([item], 100, 50, RegionSettings()).kept
    caption = FakeCaption("a cup\n\x1b[31m on\ta table ", 0.5, truncated=True)
    sent = description(region, caption, header(1_500_000_000))
    assert (sent.id, sent.index, sent.label, sent.score) == ("track 7", 0, "cup", 0.75)
    assert sent.bbox == item.bbox
    assert sent.caption == "a cup \ufffd[31m on a table"
    assert (sent.confidence, sent.truncated, sent.source) == (0.5, True, sent.FRESH)
    assert (sent.caption_stamp.sec, sent.caption_stamp.nanosec) == (1, 500_000_000)


def test_any_score_fits_the_message() -> None:
    for score in (1e300, -1e300, math.inf, math.nan):
        (region,) = select_regions(
            [detection(0, 0, 9, 9, score=score)], 100, 50, RegionSettings()
        ).kept
        sent = description(region, FakeCaption("x"), header(0)).score
        assert sent == sent or math.isnan(score)
