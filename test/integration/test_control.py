"""The node's services and live parameters in a process of its own, with a real model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ros_support import detection, detections, header, image
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.srv import DescribeRegions

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000
FRESH, REUSED = RegionDescription.FRESH, RegionDescription.REUSED


def call(robot: Robot, kind: Any, name: str, request: Any) -> Any:
    client = robot.peer.create_client(kind, f"region_captioner/{name}")
    return robot.call(client, request)


def source(robot: Robot, stamp: int) -> int:
    """Of the only region of a frame that is sent now."""
    robot.received.clear()
    robot.images.publish(image(stamp, width=160, height=120))
    robot.found.publish(detections(stamp, [detection(10, 10, 60, 60, "7", "cup")]))
    wanted = header(stamp).stamp

    def sources() -> list[int]:
        heard = [message for message in robot.received if message.header.stamp == wanted]
        return [int(region.source) for message in heard for region in message.regions]

    robot.until(lambda: bool(sources()), f"frame {stamp}")
    return sources()[0]


def test_describe_works_while_the_stream_is_off_and_the_stream_comes_back(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    assert call(robot, SetBool, "enable", SetBool.Request(data=False)).success
    robot.until(lambda: robot.images.get_subscription_count() == 0, "no more subscription")
    ids = np.zeros((120, 160), np.uint8)
    ids[10:60, 10:60], ids[20:110, 80:150] = 1, 5
    masks = Image(height=120, width=160, step=160, encoding="mono8", data=ids.tobytes())
    asked = DescribeRegions.Request(image=image(SECOND, width=160, height=120), masks=masks)
    answer = call(robot, DescribeRegions, "describe", asked)
    assert answer.success, answer.message
    assert [region.index for region in answer.descriptions.regions] == [0, 4]
    assert answer.descriptions.model == tiny_checkpoint.name
    assert call(robot, SetBool, "enable", SetBool.Request(data=True)).success
    robot.until_active()
    assert source(robot, 5 * SECOND) == FRESH


def test_a_prompt_is_refused_with_the_reason_or_captions_everything_anew(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    stamps = iter(range(5 * SECOND, 9 * SECOND, SECOND // 5))
    assert [source(robot, next(stamps)) for _ in range(3)] == [FRESH, REUSED, REUSED]
    refused = robot.set("prompt", "What is <|mdm_mask|>?")
    assert not refused.successful and "special token" in refused.reason
    assert source(robot, next(stamps)) == REUSED
    assert robot.set("prompt", "What is it?").successful
    assert [source(robot, next(stamps)) for _ in range(2)] == [FRESH, REUSED]
    assert robot.set("reuse.max_age", 0.1).successful
    assert source(robot, next(stamps)) == FRESH
    assert not robot.set("reuse.max_age", -1.0).successful


def test_a_clock_that_is_set_back_forgets_what_was_known(
    robot: Robot, tiny_checkpoint: Path
) -> None:
    robot.start(checkpoint=tiny_checkpoint)
    robot.until_active()
    for begin in (100 * SECOND, 3 * SECOND, 50 * SECOND):
        sources = [source(robot, begin + n * SECOND // 10) for n in range(3)]
        assert sources == [FRESH, REUSED, REUSED]
