"""Captions on request, beside the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE
from rclpy.parameter import Parameter
from ros_robot import SUCCESS, Robot, running_robot
from ros_support import detection, detections, header, image
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.srv import DescribeRegions

SECOND = 10**9


@pytest.fixture
def robot() -> Iterator[Robot]:
    with running_robot() as robot:
        yield robot


def request(items: list[Detection2D] | None = None, stamp: int = 7 * SECOND) -> Any:
    return DescribeRegions.Request(image=image(stamp), detections=detections(stamp, items))


def describe(robot: Robot, items: list[Detection2D] | None = None) -> Any:
    return robot.call(DescribeRegions, "describe", request(items))


@pytest.mark.parametrize("enabled", [True, False])
def test_regions_are_described_whether_the_stream_is_enabled_or_not(
    robot: Robot, enabled: bool
) -> None:
    robot.node.set_parameters([Parameter("enabled", value=enabled)])
    assert robot.node.trigger_configure() == SUCCESS
    assert robot.node.trigger_activate() == SUCCESS
    items = [
        detection(0, 0, 9, 9, "a", "cup", 0.9),
        detection(90, 0, 99, 9, "outside"),
        detection(5, 5, 20, 20, "b", "bowl"),
    ]
    answer = describe(robot, items)
    assert answer.success and answer.message == ""
    message = answer.descriptions
    assert message.header == header(7 * SECOND) and message.model == "fake"
    assert [(r.id, r.index, r.label, r.caption) for r in message.regions] == [
        ("a", 0, "cup", "box 0 0 9 9"),
        ("b", 2, "bowl", "box 5 5 20 20"),
    ]
    assert message.dropped == 1 and message.latency.sec > 0
    assert not robot.received, "a request is no part of the stream"
    assert robot.node.counters.requests_served == 1


def test_normalised_boxes_are_refused_with_the_parameter_that_makes_them_right(
    robot: Robot,
) -> None:
    robot.start()
    answer = describe(robot, [detection(0.1, 0.2, 0.4, 0.8)])
    assert not answer.success and "detections.image_width:=1" in answer.message
    assert answer.descriptions.dropped == 1


def test_a_nearly_black_image_is_captioned_with_a_doubt(robot: Robot) -> None:
    robot.start()
    asked = request()
    asked.image.encoding, asked.image.step = "mono16", 2 * 64
    asked.image.data = np.full((48, 64), 1000, np.uint16).tobytes()
    answer = robot.call(DescribeRegions, "describe", asked)
    assert answer.success and len(answer.descriptions.regions) == 1
    assert "set image.significant_bits:=10" in answer.message


def test_a_request_uses_the_present_prompt(robot: Robot) -> None:
    robot.start()
    robot.node.set_parameters([Parameter("prompt", value="What is it?")])
    assert describe(robot).success
    assert robot.captioner.prompts[-1] == "What is it?"


def masks(*values: tuple[int, tuple[int, int, int, int]], encoding: str = "mono16") -> Image:
    """An instance-id image with a rectangle (x0, y0, x1, y1) for each value."""
    ids = np.zeros((48, 64), np.uint8 if encoding == "mono8" else np.uint16)
    for value, (x0, y0, x1, y1) in values:
        ids[y0:y1, x0:x1] = value
    return Image(height=48, width=64, step=64 * ids.itemsize, encoding=encoding, data=ids.tobytes())


def test_masks_alone_are_regions(robot: Robot) -> None:
    robot.start()
    asked = request([])
    asked.masks = masks((3, (8, 8, 24, 24)), (300, (30, 8, 44, 24)))
    answer = robot.call(DescribeRegions, "describe", asked)
    assert answer.success, answer.message
    assert [(r.index, r.caption) for r in answer.descriptions.regions] == [
        (2, "mask 8 8 24 24"),
        (299, "mask 30 8 44 24"),
    ]


def test_masks_beside_detections_are_theirs(robot: Robot) -> None:
    robot.start()
    asked = request([detection(8, 8, 24, 24, "a"), detection(30, 8, 44, 24, "b")])
    asked.masks = masks((2, (32, 10, 40, 20)), encoding="mono8")
    answer = robot.call(DescribeRegions, "describe", asked)
    assert [(r.id, r.caption) for r in answer.descriptions.regions] == [
        ("a", "box 8 8 24 24"),
        ("b", "mask 32 10 40 20"),
    ]
    asked.masks.width = 7
    answer = robot.call(DescribeRegions, "describe", asked)
    assert not answer.success and "masks" in answer.message


def test_no_regions_is_an_answer_without_a_pass(robot: Robot) -> None:
    robot.start()
    passes = len(robot.captioner.prompts)
    answer = describe(robot, [])
    assert answer.success and not answer.descriptions.regions
    assert len(robot.captioner.prompts) == passes


def test_it_is_refused_while_the_node_is_not_active(robot: Robot) -> None:
    answer = describe(robot)
    assert not answer.success and "not active" in answer.message
    assert answer.descriptions.dropped == 1
    assert robot.node.trigger_configure() == SUCCESS
    assert not describe(robot).success
    assert robot.node.trigger_activate() == SUCCESS
    assert describe(robot).success
    assert robot.node.trigger_deactivate() == SUCCESS
    assert not describe(robot).success
    assert robot.node.counters.requests_refused == 3


def test_what_can_not_be_used_is_said(robot: Robot) -> None:
    robot.start()
    asked = request()
    asked.image.encoding = "yuv9"
    answer = robot.call(DescribeRegions, "describe", asked)
    assert not answer.success and "yuv9" in answer.message
    robot.captioner.error = RuntimeError("out of memory")
    answer = describe(robot)
    assert not answer.success and "RuntimeError: out of memory" in answer.message
    failure = robot.node.status.snapshot().failure
    assert failure and "out of memory" in failure.reason
    robot.captioner.error = None
    assert describe(robot).success


def test_callbacks_go_on_while_a_request_is_served(robot: Robot) -> None:
    robot.start()
    robot.captioner.started.clear()
    robot.captioner.gate.clear()
    future = robot.ask(DescribeRegions, "describe", request())
    robot.until(robot.captioner.started.is_set, "the request's pass")
    for n in range(1, 4):
        robot.frame(n * SECOND)
        robot.until(lambda n=n: robot.node.counters.matched_exact == n, f"frame {n}")
    assert not future.done()
    robot.captioner.gate.set()
    assert robot.spinner.result(future, "the answer").success
    robot.until(lambda: bool(robot.received), "the stream")


def test_the_answer_does_not_wait_for_something_else_to_wake_the_executor(robot: Robot) -> None:
    robot.node.set_parameters([Parameter("enabled", value=False)])
    assert robot.node.trigger_configure() == SUCCESS
    assert robot.node.trigger_activate() == SUCCESS
    robot.node.diagnostics.stop()  # type: ignore[union-attr]
    robot.captioner.started.clear()
    robot.captioner.gate.clear()
    future = robot.ask(DescribeRegions, "describe", request())
    robot.until(robot.captioner.started.is_set, "the pass")
    robot.captioner.gate.set()
    deadline = time.monotonic() + PATIENCE
    while not future.done():
        assert time.monotonic() < deadline
        robot.spinner.executor.spin_once(timeout_sec=PATIENCE)


def test_neither_stream_nor_requests_starve(robot: Robot) -> None:
    """With more of both than can be served, each gets every second turn."""
    robot.node.set_parameters([Parameter("reuse.enabled", value=False)])
    robot.start()
    robot.hold(SECOND)
    future = [robot.ask(DescribeRegions, "describe", request()) for _ in range(4)]
    queue = robot.node._captioning.queue  # type: ignore[union-attr]
    robot.until(lambda: len(queue._requests) == 4, "requests waiting")
    order: list[str] = []
    describe = robot.captioner.describe
    stamps = iter(range(2, 1000))

    def watched(pixels: Any, *args: Any) -> Any:
        order.append("request" if pixels[0, 0, 0] == 90 else "frame")
        captions = describe(pixels, *args)
        put = robot.node.inputs._mailbox.put
        from perceptiondlm_ros.ros.inputs.inputs import Frame

        now = next(stamps) * SECOND
        put(Frame(image(now, 50), detections(now), robot.node.outputs.activation))
        deadline = time.monotonic() + PATIENCE
        while queue._item is None and robot.node.outputs.activation and time.monotonic() < deadline:
            time.sleep(0.001)
        return captions

    robot.captioner.describe = watched  # type: ignore[method-assign]
    robot.frame(2 * SECOND, 50)
    robot.until(lambda: queue._item is not None, "a frame waiting")
    robot.captioner.gate.set()
    robot.until(lambda: all(answer.done() for answer in future), "all answers")
    served = order[: order.index("request") + 7]
    assert served.count("request") == 4
    assert "request request" not in " ".join(served)


def test_a_large_request_lets_frames_through_between_its_turns(robot: Robot) -> None:
    robot.node.set_parameters(
        [Parameter("reuse.budget", value=2), Parameter("reuse.enabled", value=False)]
    )
    robot.start()
    robot.captioner.started.clear()
    robot.captioner.gate.clear()
    future = robot.ask(
        DescribeRegions, "describe", request([detection(n, 0, n + 9, 9, str(n)) for n in range(5)])
    )
    robot.until(robot.captioner.started.is_set, "the first turn")
    robot.frame(SECOND, 50)
    queue = robot.node._captioning.queue  # type: ignore[union-attr]
    robot.until(lambda: queue._item is not None, "a frame waiting")
    before = len(robot.captioner.first_pixels)
    robot.captioner.gate.set()
    answer = robot.spinner.result(future, "the answer")
    assert [region.id for region in answer.descriptions.regions] == ["0", "1", "2", "3", "4"]
    assert robot.captioner.first_pixels[before:] == [90, 50, 90, 90]


def test_more_requests_than_may_wait_are_refused_at_once(robot: Robot) -> None:
    robot.start()
    robot.hold(SECOND)
    queue = robot.node._captioning.queue  # type: ignore[union-attr]
    futures = []
    for n in range(1, 13):
        futures.append(robot.ask(DescribeRegions, "describe", request()))
        robot.until(
            lambda n=n: len(queue._requests) + sum(f.done() for f in futures) == n, f"request {n}"
        )
    assert sum(future.done() for future in futures) == 4
    assert all("too many" in f.result().message for f in futures if f.done())
    robot.captioner.gate.set()
    robot.until(lambda: all(future.done() for future in futures), "answers")
    assert sum(future.result().success for future in futures) == 8


def test_a_deactivation_answers_what_waits(robot: Robot) -> None:
    robot.start()
    robot.hold(SECOND)
    future = robot.ask(DescribeRegions, "describe", request())
    queue = robot.node._captioning.queue  # type: ignore[union-attr]
    robot.until(lambda: bool(queue._requests), "a request waiting")
    assert robot.node.trigger_deactivate() == SUCCESS
    answer = robot.spinner.result(future, "a refusal")
    assert not answer.success and "deactivated" in answer.message
