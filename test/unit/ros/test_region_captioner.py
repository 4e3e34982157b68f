"""The node in this process, with a captioner that needs no model: lifecycle, loss, parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from lifecycle_msgs.msg import State
from patience import PATIENCE
from rclpy.parameter import Parameter
from ros_robot import FAILURE, SUCCESS, Robot, running_robot
from ros_support import FakeCaptioner, detections, header, image

from perceptiondlm_ros.errors import BackendError, CheckpointError
from perceptiondlm_ros.ros.captioning.warm_up import load_captioner
from perceptiondlm_ros.ros.settings import Settings


@pytest.fixture
def robot() -> Iterator[Robot]:
    with running_robot() as robot:
        yield robot


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


def test_callbacks_go_on_while_a_pass_runs(robot: Robot) -> None:
    robot.start()
    robot.hold(1_000_000_000)
    (result,) = robot.node.set_parameters([Parameter("prompt", value="What?")])
    assert result.successful
    robot.captioner.gate.set()
    robot.frame(2_000_000_000)
    robot.until(lambda: len(robot.received) == 2, "both results")
    assert robot.captioner.prompts[-2:] == [None, "What?"]


def test_the_model_is_kept_by_deactivate_and_freed_by_cleanup(robot: Robot) -> None:
    robot.start()
    assert robot.node.trigger_deactivate() == SUCCESS
    assert not robot.captioner.closed.is_set()
    robot.until_unsubscribed()
    assert robot.node.trigger_activate() == SUCCESS
    assert len(robot.settings) == 1, "activate must not load again"
    robot.until_subscribed()
    robot.frame(1_000_000_000)
    robot.until(lambda: bool(robot.received), "descriptions after reactivation")
    assert robot.node.trigger_deactivate() == SUCCESS
    assert not robot.captioner.closed.is_set()
    assert robot.node.trigger_cleanup() == SUCCESS
    assert robot.node._captioning is None
    assert robot.captioner.closed.is_set()
    assert robot.state == State.PRIMARY_STATE_UNCONFIGURED
    robot.received.clear()
    robot.start()
    robot.frame(2_000_000_000)
    robot.until(lambda: bool(robot.received), "descriptions after a second configure")


def test_a_pass_that_ends_after_deactivation_is_not_published(robot: Robot) -> None:
    robot.start()
    robot.hold(1_000_000_000)
    robot.frame(2_000_000_000)
    robot.until(lambda: robot.node.counters.matched_exact == 2, "the second frame")
    assert robot.node.trigger_deactivate() == SUCCESS
    robot.captioner.gate.set()
    robot.until(lambda: robot.node.counters.frames_discarded == 1, "the pass to end")
    assert robot.node.counters.withdrawn == 1
    assert not robot.received
    assert len(robot.losses) == 1 and "1 detections withdrawn" in robot.losses[0]
    assert robot.node.trigger_cleanup() == SUCCESS
    assert len(robot.losses) == 2 and "1 frames not published" in robot.losses[1]
    assert robot.node.trigger_shutdown() == SUCCESS
    assert len(robot.losses) == 2, "nothing new"


def test_a_pass_of_an_earlier_activation_is_not_published_in_the_next(robot: Robot) -> None:
    robot.start()
    robot.hold(1_000_000_000)
    assert robot.node.trigger_deactivate() == SUCCESS
    robot.until_unsubscribed()
    assert robot.node.trigger_activate() == SUCCESS
    robot.until_subscribed()
    robot.frame(2_000_000_000)
    robot.until(lambda: robot.node.counters.matched_exact == 2, "the second frame")
    robot.captioner.gate.set()
    robot.until(lambda: bool(robot.received), "descriptions")
    assert [message.header.stamp.sec for message in robot.received] == [2]
    assert robot.node.counters.frames_discarded == 1
    assert robot.node.counters.frames_captioned == 1


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


@pytest.mark.parametrize("error", [CheckpointError("no config.json in /nowhere"), MemoryError()])
def test_a_failed_load_leaves_the_node_unconfigured(robot: Robot, error: Exception) -> None:
    def fail(settings: Settings) -> Any:
        raise error

    robot.load = fail
    assert robot.node.trigger_configure() == FAILURE
    assert robot.state == State.PRIMARY_STATE_UNCONFIGURED
    assert robot.log.errors == [f"configure failed: {type(error).__name__}: {error}".strip()]
    robot.load = lambda settings: robot.captioner
    assert robot.node.trigger_configure() == SUCCESS


def test_a_failed_warm_up_is_a_failed_configure(robot: Robot) -> None:
    robot.captioner.error = RuntimeError("no kernel image")
    assert robot.node.trigger_configure() == FAILURE
    assert robot.node._captioning is None
    assert robot.captioner.closed.is_set()


def test_shutdown_from_active_frees_the_model(robot: Robot) -> None:
    robot.start()
    assert robot.node.trigger_shutdown() == SUCCESS
    assert robot.state == State.PRIMARY_STATE_FINALIZED
    assert robot.node._captioning is None


def test_a_failing_backend_does_not_stop_the_node(robot: Robot) -> None:
    robot.start()
    robot.captioner.error = RuntimeError("out of memory")
    robot.frame(1_000_000_000)
    robot.until(lambda: len(robot.received) == 1, "a message that counts the loss")
    robot.captioner.error = None
    robot.frame(2_000_000_000)
    robot.until(lambda: len(robot.received) == 2, "the next frame")
    assert [message.dropped for message in robot.received] == [1, 0]
    counters = robot.node.counters
    assert (counters.frames_failed, counters.frames_captioned) == (1, 1)
    assert (counters.regions_dropped, counters.regions_captioned) == (1, 1)
    failure = robot.node.status.snapshot().failure
    assert failure and "out of memory" in failure.reason


def test_detections_without_image_are_told_once_and_counted(robot: Robot) -> None:
    robot.start()
    for n in range(3):
        robot.found.publish(detections(1_000_000_000 + n))
    robot.until(lambda: robot.node.counters.unmatched == 3, "given up")
    assert len(robot.warnings) == 1
    assert "no image" in robot.warnings[0] and "/image" in robot.warnings[0]


def test_the_gap_is_told_when_no_image_is_near(robot: Robot) -> None:
    robot.start()
    robot.images.publish(image(1_000_000_000))
    robot.until(lambda: robot.node.counters.images == 1, "image")
    robot.found.publish(detections(1_310_000_000))
    robot.until(lambda: robot.node.counters.unmatched == 1, "given up")
    assert "0.310 s away, above matching.tolerance 0.100 s" in robot.warnings[0]
    assert robot.node.counters.last_gap == pytest.approx(0.31)


def test_a_tolerance_set_while_running_holds_for_the_next_frame(robot: Robot) -> None:
    robot.start()
    (result,) = robot.node.set_parameters([Parameter("matching.tolerance", value=0.5)])
    assert result.successful
    robot.images.publish(image(1_000_000_000))
    robot.until(lambda: robot.node.counters.images == 1, "image")
    robot.found.publish(detections(1_310_000_000))
    robot.until(lambda: bool(robot.received), "matched within the new tolerance")
    assert robot.node.counters.matched_nearest == 1


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


def test_autostart_configures_and_activates(robot: Robot) -> None:
    robot.node.autostart()
    assert robot.state == State.PRIMARY_STATE_ACTIVE


def test_autostart_stays_unconfigured_after_a_failed_load(robot: Robot) -> None:
    robot.captioner.error = RuntimeError("broken")
    robot.node.autostart()
    assert robot.state == State.PRIMARY_STATE_UNCONFIGURED


def test_a_missing_package_is_named_with_the_python_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "perceptiondlm_ros.captioner", None)
    with pytest.raises(BackendError, match=f"{sys.executable}, which runs this node"):
        load_captioner(Settings())
