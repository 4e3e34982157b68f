"""Captions as class ids of the detections."""

from __future__ import annotations

import pytest
from output_support import CAPTION, region, result

from perceptiondlm_ros.ros.outputs.detections import captioned_detections


def test_the_caption_is_the_class_and_all_else_is_verbatim() -> None:
    message = result([region(name="7"), region((0, 0, 9, 5), "", caption="")]).message
    array = captioned_detections(message)
    assert array.header == message.header
    assert [item.id for item in array.detections] == ["7", ""]
    assert [item.bbox for item in array.detections] == [item.bbox for item in message.regions]
    assert all(item.header == message.header for item in array.detections)
    (first,) = array.detections[0].results
    assert first.hypothesis.class_id == CAPTION
    assert first.hypothesis.score == pytest.approx(0.75)


def test_no_regions_are_no_detections() -> None:
    assert not captioned_detections(result().message).detections
