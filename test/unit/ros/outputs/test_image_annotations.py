"""Foxglove's annotations, made with messages that are as strict as the real ones."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from foxglove_stand_in import MESSAGES, PointsAnnotation
from output_support import CAPTION, region, result
from ros_support import stamp

from perceptiondlm_ros.drawing.colours import track_colour
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs.image_annotations import foxglove_messages, image_annotations


def annotations(*regions: RegionDescription, **more: Any) -> Any:
    return image_annotations(MESSAGES, result(regions, **more), 320, 240)  # type: ignore[arg-type]


def test_a_box_is_a_loop_in_the_colour_of_its_track() -> None:
    message = annotations(region((100, 60, 180, 120)))
    (loop,) = message.points
    assert loop.type == PointsAnnotation.LINE_LOOP
    assert [(p.x, p.y) for p in loop.points] == [(100, 60), (180, 60), (180, 120), (100, 120)]
    outline = loop.outline_color
    expected = [value / 255 for value in track_colour("7", "cup", 0)]
    assert [outline.r, outline.g, outline.b, outline.a] == pytest.approx([*expected, 1])
    assert loop.fill_color.a == 0
    assert loop.timestamp == stamp(1_000_000_000)


def test_a_mask_is_its_filled_contours() -> None:
    mask = np.zeros((240, 320), bool)
    mask[60:120, 100:180] = True
    mask[200:210, 10:20] = True
    message = annotations(region(), masks=(mask,))
    assert len(message.points) == 2
    for loop in message.points:
        assert loop.fill_color.a > 0
    xs = sorted({point.x for loop in message.points for point in loop.points})
    assert xs == [10.5, 19.5, 100.5, 179.5], "centres of the outermost pixels"


def test_every_line_of_the_caption_is_a_text_the_last_one_just_above_the_box() -> None:
    message = annotations(region((100, 100, 180, 160)))
    heading, *caption = message.texts
    assert heading.text == "7 · cup · 75 %"
    assert " ".join(text.text for text in caption) == CAPTION
    heights = [text.position.y for text in message.texts]
    assert heights == sorted(heights) and 90 < heights[-1] < 100
    assert np.diff(heights).min() >= message.texts[0].font_size


def test_text_of_a_box_at_the_upper_edge_stays_inside() -> None:
    message = annotations(region((100, 0, 180, 60)))
    assert message.texts[0].position.y >= message.texts[0].font_size


def test_a_region_that_waits_for_its_caption_has_an_outline_only() -> None:
    message = annotations(waiting=[region()])
    assert (len(message.points), message.texts) == (1, [])


def test_nothing_seen_clears_what_was_shown() -> None:
    message = annotations()
    assert (message.points, message.texts) == ([], [])


def test_it_is_there_only_where_foxglove_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "foxglove_msgs", None)
    monkeypatch.setitem(sys.modules, "foxglove_msgs.msg", None)
    assert foxglove_messages() is None
    there = ModuleType("foxglove_msgs.msg")
    monkeypatch.setitem(sys.modules, "foxglove_msgs", ModuleType("foxglove_msgs"))
    monkeypatch.setitem(sys.modules, "foxglove_msgs.msg", there)
    assert foxglove_messages() is there
