"""What machines read reaches who listens, and who comes later."""

from __future__ import annotations

import pytest
from output_support import CAPTION, SECOND, region, result, stage
from rclpy.qos import DurabilityPolicy, QoSProfile

from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.message_outputs import Descriptions, captioned_detections

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
