"""What machines read reaches who listens and who comes later, and JSON keeps to its schema."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from output_support import CAPTION, SECOND, region, result, stage
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import header, stamp
from vision_msgs.msg import BoundingBox2D

from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.message_outputs import (
    VERSION,
    Descriptions,
    captioned_detections,
    to_json,
)

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_a_late_joiner_gets_the_last_result_and_only_that() -> None:
    with stage(lambda node, monitor: Descriptions(node)) as at:
        early = at.listen(RegionDescriptionArray, "descriptions")
        at.until(lambda: at.output.publisher.get_subscription_count() == 1, "the early one")
        for number in (1, 2, 3):
            at.publish(result([region()], number * SECOND, sequence=number))
        at.until(lambda: len(early) == 3, "all three: it is volatile, and hears as ever")
        late = at.listen(RegionDescriptionArray, "descriptions", LATCHED)
        at.until(lambda: bool(late), "the last one")
        at.publish(result([region()], 4 * SECOND, sequence=4))
        at.until(lambda: len(late) == 2, "the next one")
        assert [message.header.stamp.sec for message in late] == [3, 4]


def test_the_caption_is_the_class_of_a_detection_and_all_else_is_verbatim() -> None:
    message = result([region(name="7"), region((0, 0, 9, 5), "", caption="")]).message
    array = captioned_detections(message)
    assert array.header == message.header
    assert [item.id for item in array.detections] == ["7", ""]
    assert [item.bbox for item in array.detections] == [item.bbox for item in message.regions]
    assert all(item.header == message.header for item in array.detections)
    (first,) = array.detections[0].results
    assert first.hypothesis.class_id == CAPTION
    assert first.hypothesis.score == pytest.approx(0.75)
    assert not captioned_detections(result().message).detections


SCHEMA = json.loads(
    (Path(__file__).parents[4] / "config" / "descriptions.schema.json").read_text("utf-8")
)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def one() -> dict[str, Any]:
    reused = region(source=RegionDescription.REUSED, made=3 * SECOND // 2)
    message = result([region(made=2 * SECOND), reused], 2 * SECOND).message
    value: dict[str, Any] = json.loads(to_json(message))
    return value


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == VERSION


def test_every_field_of_the_messages_is_there() -> None:
    value = one()
    described = {"caption_stamp", *RegionDescription.get_fields_and_field_types()} - {"bbox"}
    assert described | {"box", "age"} == set(value["regions"][0])
    array = set(RegionDescriptionArray.get_fields_and_field_types()) - {"header"}
    assert array | {"version", "stamp", "frame_id"} == set(value)


def test_values_are_those_of_the_message() -> None:
    fresh, reused = one()["regions"]
    assert fresh["caption"] == CAPTION and fresh["confidence"] == 0.75
    assert fresh["box"] == {"x": 140, "y": 90, "width": 80, "height": 60, "theta": 0}
    assert (fresh["source"], fresh["age"]) == ("fresh", 0)
    assert (reused["source"], reused["age"]) == ("reused", 0.5)
    assert one()["stamp"] == {"sec": 2, "nanosec": 0}


@pytest.mark.parametrize("lost", ["version", "regions", "latency"])
def test_the_schema_misses_what_is_lost(lost: str) -> None:
    value = one()
    del value[lost]
    assert not VALIDATOR.is_valid(value)


def test_the_schema_refuses_what_is_unknown() -> None:
    value = one()
    value["regions"][0]["surprise"] = 1
    assert not VALIDATOR.is_valid(value)


doubles = st.floats(allow_nan=True, allow_infinity=True)
names = st.text(max_size=20)
times = st.integers(0, 2**31 * SECOND - 1)


@st.composite
def boxes(draw: Any) -> BoundingBox2D:
    box = BoundingBox2D(size_x=draw(doubles), size_y=draw(doubles))
    box.center.position.x, box.center.position.y = draw(doubles), draw(doubles)
    box.center.theta = draw(doubles)
    return box


regions = st.builds(
    RegionDescription,
    id=names,
    index=st.integers(0, 2**32 - 1),
    bbox=boxes(),
    label=names,
    score=st.just(math.nan) | st.floats(-1, 1, width=32),
    caption=names,
    confidence=st.floats(0, 1, width=32),
    truncated=st.booleans(),
    source=st.integers(0, 2),
    caption_stamp=times.map(stamp),
)


@given(st.lists(regions, max_size=3), times)
def test_any_message_makes_json_of_the_schema(
    items: list[RegionDescription], nanoseconds: int
) -> None:
    message = RegionDescriptionArray(header=header(nanoseconds), regions=items, model="m\n")
    text = to_json(message)
    assert "\n" not in text
    VALIDATOR.validate(json.loads(text, parse_constant=lambda name: pytest.fail(name)))
