"""The node in this process, with a captioner that needs no model: frames, losses, parameters."""

from __future__ import annotations

import sys

import pytest
from patience import PATIENCE
from rclpy.parameter import Parameter
from ros_robot import SUCCESS, Robot
from ros_support import FakeCaptioner, header

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.ros.captioning.warm_up import load_captioner
from perceptiondlm_ros.ros.settings import Settings


def test_a_frame_is_captioned_under_its_own_header(robot: Robot) -> None:
    robot.start()
    robot.frame(1_500_000_000)
    robot.until(lambda: bool(robot.received), "descriptions")
    (message,) = robot.received
    assert message.header == header(1_500_000_000)
    assert message.regions[0].caption == "box 8 8 24 24"
    assert message.regions[0].caption_stamp == message.header.stamp
    assert message.latency.sec > 1_000_000  # from 1970 to now
    assert robot.node.counters.frames_captioned == 1
    published = dict(robot.peer.get_publisher_names_and_types_by_node("region_captioner", "/"))
    for topic in ("detections", "descriptions/json"):
        assert f"/region_captioner/{topic}" not in published, "it has to be asked for"


def test_the_newest_frame_wins_while_a_pass_runs(robot: Robot) -> None:
    robot.node.set_parameters([Parameter("reuse.enabled", value=False)])
    robot.start()
    robot.captioner.started.clear()
    robot.captioner.gate.clear()
    robot.frame(1_000_000_000, 1)
    robot.until(robot.captioner.started.is_set, "the first pass")
    for n in range(2, 6):
        robot.frame(n * 1_000_000_000, n)
        robot.until(lambda n=n: robot.node.counters.matched_exact == n, f"match {n}")
    counters = robot.node.counters
    robot.until(lambda: counters.replaced + counters.frames_skipped == 3, "three replaced")
    robot.captioner.gate.set()
    robot.until(lambda: len(robot.received) == 2, "two results")
    assert robot.captioner.first_pixels[-2:] == [1, 5]
    robot.until(lambda: bool(robot.losses), "a line while active")
    assert "replaced by newer" in robot.losses[0]


def test_a_pass_that_ends_after_its_activation_is_not_published_and_every_loss_is_told(
    robot: Robot,
) -> None:
    robot.start()
    robot.hold(1_000_000_000)
    robot.frame(2_000_000_000)
    robot.until(lambda: robot.node.counters.matched_exact == 2, "the second frame")
    assert robot.node.trigger_deactivate() == SUCCESS
    assert robot.node.counters.withdrawn == 1
    assert len(robot.losses) == 1 and "1 detections withdrawn" in robot.losses[0]
    robot.until_unsubscribed()
    assert robot.node.trigger_activate() == SUCCESS
    robot.until_subscribed()
    robot.frame(3_000_000_000)
    robot.until(lambda: robot.node.counters.matched_exact == 3, "the third frame")
    robot.captioner.gate.set()
    robot.until(lambda: bool(robot.received), "descriptions")
    assert [message.header.stamp.sec for message in robot.received] == [3]
    counters = robot.node.counters
    assert (counters.frames_discarded, counters.frames_captioned) == (1, 1)
    assert robot.node.trigger_deactivate() == robot.node.trigger_cleanup() == SUCCESS
    assert len(robot.losses) == 2 and "1 frames not published" in robot.losses[1]
    assert robot.node.trigger_shutdown() == SUCCESS
    assert len(robot.losses) == 2, "nothing new"


def test_a_worker_that_outlives_its_cleanup_shares_nothing_with_the_next(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perceptiondlm_ros.ros.region_captioner._STOP_TIMEOUT", 0.01)
    robot.start()
    robot.hold(1_000_000_000)
    old, robot.captioner = robot.captioner, FakeCaptioner()
    try:
        assert robot.node.trigger_deactivate() == SUCCESS
        robot.until_unsubscribed()
        assert robot.node.trigger_cleanup() == SUCCESS
        assert not old.closed.is_set(), "a pass still runs on it"
        robot.start()
        for seconds in (2, 3):
            robot.frame(seconds * 1_000_000_000)
            robot.until(lambda n=seconds: len(robot.received) == n - 1, f"frame {seconds}")
            old.gate.set()
            assert old.closed.wait(PATIENCE), "freed when its pass has ended"
    finally:
        old.gate.set()
    assert [message.header.stamp.sec for message in robot.received] == [2, 3]
    assert len(old.first_pixels) == 2, "warm-up and the frame that it had"
    assert not robot.captioner.closed.is_set()
    assert robot.node.counters.frames_discarded == 1


def test_model_parameters_are_refused_until_cleanup(robot: Robot) -> None:
    new = Parameter("steps", value=4)
    assert robot.node.trigger_configure() == SUCCESS
    (result,) = robot.node.set_parameters([new])
    assert not result.successful and "cleanup" in result.reason
    assert robot.node.trigger_cleanup() == SUCCESS
    (result,) = robot.node.set_parameters([new])
    assert result.successful
    assert robot.node.trigger_configure() == SUCCESS
    assert [settings.steps for settings in robot.settings] == [0, 4]


def test_a_prompt_that_the_model_can_not_take_is_refused_with_the_reason(robot: Robot) -> None:
    bad, good = (Parameter("prompt", value=text) for text in ("What?<|eot|>", "What?"))
    (result,) = robot.node.set_parameters([bad])
    assert result.successful, "no model yet that could judge"
    robot.node.set_parameters([good])
    robot.start()
    assert robot.captioner.prompts == ["What?"], "warmed up with the prompt that it has"
    (result,) = robot.node.set_parameters([bad])
    assert not result.successful and "special token" in result.reason
    assert robot.node.get_parameter("prompt").value == "What?"
    (result,) = robot.node.set_parameters([Parameter("prompt", value="")])
    assert result.successful


def test_a_missing_package_is_named_with_the_python_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "perceptiondlm_ros.captioner", None)
    with pytest.raises(BackendError, match=f"{sys.executable}, which runs this node"):
        load_captioner(Settings())
