"""Captions on request, beside the stream."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from log_support import Log
from patience import PATIENCE
from rclpy.parameter import Parameter
from ros_robot import SUCCESS, Robot
from ros_support import FakeCaptioner, detection, detections, header, image, image_of, settings
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.ros.captioning.describing import DescribeRequest
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.srv import DescribeRegions

SECOND = 10**9


class Asked:
    """A request without a node, served until it is answered. turns: how many it took."""

    def __init__(self, items: list[Detection2D] | None = None) -> None:
        self.message = request(items)
        self.captioner = FakeCaptioner()
        self.monitor = Monitor(Log())
        self.turns = 0

    def answer(self, **values: object) -> Any:
        """The response under parameters, whose names have a dot for each double underscore."""
        answers: list[Any] = []
        given = settings({name.replace("__", "."): value for name, value in values.items()})
        served = DescribeRequest(
            self.message, given, self.monitor, lambda: 9 * SECOND, answers.append
        )
        self.turns = 1
        while not served.serve(self.captioner):
            self.turns += 1
        (answer,) = answers
        return answer


def request(items: list[Detection2D] | None = None) -> Any:
    return DescribeRegions.Request(
        image=image(7 * SECOND), detections=detections(7 * SECOND, items)
    )


def test_regions_are_described_under_the_images_header() -> None:
    items = [
        detection(0, 0, 9, 9, "a", "cup", 0.9),
        detection(90, 0, 99, 9, "outside"),
        detection(5, 5, 20, 20, "b", "bowl"),
    ]
    asked = Asked(items)
    answer = asked.answer(prompt="What is it?")
    assert answer.success and answer.message == ""
    message = answer.descriptions
    assert message.header == header(7 * SECOND) and message.model == "fake"
    assert [(r.id, r.index, r.label, r.caption) for r in message.regions] == [
        ("a", 0, "cup", "box 0 0 9 9"),
        ("b", 2, "bowl", "box 5 5 20 20"),
    ]
    assert message.dropped == 1 and message.latency.sec == 2
    assert (
        asked.captioner.prompts == ["What is it?"] and asked.monitor.counters.requests_served == 1
    )


def test_many_regions_take_several_turns() -> None:
    asked = Asked([detection(n, 0, n + 9, 9, str(n)) for n in range(5)])
    answer = asked.answer(reuse__budget=2)
    assert [region.id for region in answer.descriptions.regions] == ["0", "1", "2", "3", "4"]
    assert asked.turns == len(asked.captioner.prompts) == 3


def test_normalised_boxes_are_refused_with_the_parameter_that_makes_them_right() -> None:
    answer = Asked([detection(0.1, 0.2, 0.4, 0.8)]).answer()
    assert not answer.success and "detections.image_width:=1" in answer.message
    assert answer.descriptions.dropped == 1


def test_a_nearly_black_image_is_captioned_with_a_doubt() -> None:
    asked = Asked()
    asked.message.image = image_of(np.full((48, 64), 1000, np.uint16), "mono16")
    answer = asked.answer()
    assert answer.success and len(answer.descriptions.regions) == 1
    assert "set image.significant_bits:=10" in answer.message


def masks(*values: tuple[int, tuple[int, int, int, int]], kind: type = np.uint16) -> Image:
    """An instance-id image with a rectangle (x0, y0, x1, y1) for each value."""
    ids = np.zeros((48, 64), kind)
    for value, (x0, y0, x1, y1) in values:
        ids[y0:y1, x0:x1] = value
    return image_of(ids, f"mono{8 * ids.itemsize}")


def test_masks_alone_are_regions_and_no_regions_need_no_pass() -> None:
    asked = Asked([])
    answer = asked.answer()
    assert answer.success and not answer.descriptions.regions
    assert not asked.captioner.prompts
    asked.message.masks = masks((3, (8, 8, 24, 24)), (300, (30, 8, 44, 24)))
    answer = asked.answer()
    assert answer.success, answer.message
    assert [(r.index, r.caption) for r in answer.descriptions.regions] == [
        (2, "mask 8 8 24 24"),
        (299, "mask 30 8 44 24"),
    ]


def test_masks_beside_detections_are_theirs() -> None:
    asked = Asked([detection(8, 8, 24, 24, "a"), detection(30, 8, 44, 24, "b")])
    asked.message.masks = masks((2, (32, 10, 40, 20)), kind=np.uint8)
    assert [(r.id, r.caption) for r in asked.answer().descriptions.regions] == [
        ("a", "box 8 8 24 24"),
        ("b", "mask 32 10 40 20"),
    ]
    asked.message.masks.width = 7
    answer = asked.answer()
    assert not answer.success and "masks" in answer.message


def test_what_can_not_be_used_is_said() -> None:
    asked = Asked()
    asked.message.image.encoding = "yuv9"
    answer = asked.answer()
    assert not answer.success and "yuv9" in answer.message
    asked = Asked()
    asked.captioner.error = RuntimeError("out of memory")
    answer = asked.answer()
    assert not answer.success and "RuntimeError: out of memory" in answer.message
    failure = asked.monitor.status.snapshot().failure
    assert failure and "out of memory" in failure.reason
    asked.captioner.error = None
    assert asked.answer().success


# ---- the service ----


def describe(robot: Robot) -> Any:
    return robot.call(DescribeRegions, "describe", request())


def test_it_is_served_while_the_node_is_active_whether_its_stream_is_enabled_or_not(
    robot: Robot,
) -> None:
    answer = describe(robot)
    assert not answer.success and "not active" in answer.message
    assert answer.descriptions.dropped == 1
    assert robot.node.trigger_configure() == SUCCESS
    assert not describe(robot).success
    assert robot.node.trigger_activate() == SUCCESS
    for enabled, prompt in ((True, "What is it?"), (False, "What colour has it?")):
        robot.node.set_parameters(
            [Parameter("enabled", value=enabled), Parameter("prompt", value=prompt)]
        )
        assert describe(robot).success
        assert robot.captioner.prompts[-1] == prompt
    assert robot.node.trigger_deactivate() == SUCCESS
    assert not describe(robot).success
    assert robot.node.counters.requests_refused == 3
    assert not robot.received, "a request is no part of the stream"


def test_the_answer_does_not_wait_for_something_else_to_wake_the_executor(robot: Robot) -> None:
    robot.node.set_parameters([Parameter("enabled", value=False)])
    robot.activate()
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


def test_callbacks_go_on_while_requests_are_served_and_those_beyond_the_queue_are_refused(
    robot: Robot,
) -> None:
    robot.start()
    robot.captioner.started.clear()
    robot.captioner.gate.clear()
    first = robot.ask(DescribeRegions, "describe", request())
    robot.until(robot.captioner.started.is_set, "the request's pass")
    for n in range(1, 4):
        robot.frame(n * SECOND)
        robot.until(lambda n=n: robot.node.counters.matched_exact == n, f"frame {n}")
    assert not first.done()
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
    assert first.result().success and sum(future.result().success for future in futures) == 8
    robot.until(lambda: bool(robot.received), "the stream")


def test_a_deactivation_answers_what_waits(robot: Robot) -> None:
    robot.start()
    robot.hold(SECOND)
    future = robot.ask(DescribeRegions, "describe", request())
    queue = robot.node._captioning.queue  # type: ignore[union-attr]
    robot.until(lambda: bool(queue._requests), "a request waiting")
    assert robot.node.trigger_deactivate() == SUCCESS
    answer = robot.spinner.result(future, "a refusal")
    assert not answer.success and "deactivated" in answer.message
