"""Descriptions reach who listens, and who comes later."""

from __future__ import annotations

from output_support import SECOND, region, result, stage
from rclpy.qos import DurabilityPolicy, QoSProfile

from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.descriptions import Descriptions

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_a_late_joiner_gets_the_last_result_and_only_that() -> None:
    with stage(lambda node, warn: Descriptions(node), drawn=False) as at:
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
