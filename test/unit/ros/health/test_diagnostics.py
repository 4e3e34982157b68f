"""What operators read on /diagnostics over real DDS, in every state of the node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from patience import PATIENCE
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_robot import SUCCESS, Robot
from ros_support import Spinner, detection, detections, image, ros_context
from sensor_msgs.msg import Image

from perceptiondlm_ros.ros.health.status import Activity

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Operator(Robot):
    """A robot, its announcements in the log, and somebody who reads its diagnostics."""

    def __init__(self, context: Any, **parameters: object) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        super().__init__(context, "front", parameter_overrides=overrides)
        assert self.node.diagnostics
        self.diagnostics = self.node.diagnostics
        self.diagnostics._announcer._write = self.node.monitor.tell
        self.told: list[DiagnosticArray] = []
        self.peer.create_subscription(DiagnosticArray, "/diagnostics", self.told.append, 10)
        self._stamps = count(10**9, 10**9)

    def see(self, *more: Any) -> None:
        """A frame with a cup, and more."""
        stamp = next(self._stamps)
        self.images.publish(image(stamp))
        self.found.publish(detections(stamp, [detection(8, 8, 24, 24, "1", "cup"), *more]))

    @property
    def status(self) -> Any:
        (status,) = self.told[-1].status
        return status

    def values(self) -> dict[str, str]:
        return {value.key: value.value for value in self.status.values}

    def hear(
        self,
        level: bytes,
        reason: str,
        again: Callable[[], object] | None = None,
        told: Callable[[], bool] = lambda: True,
    ) -> None:
        """Until a new status of this level has the reason in it, and `told` holds."""
        self.told.clear()

        def heard() -> bool:
            as_wanted = self.told and self.status.level == level and reason in self.status.message
            return bool(as_wanted and told())

        try:
            self.until(heard, reason, again=again)
        except AssertionError as error:
            got = {(s.level, s.message) for array in self.told for s in array.status}
            raise AssertionError(f"{error}, got {sorted(got)}") from None


@pytest.fixture
def make() -> Iterator[Callable[..., Operator]]:
    with ros_context() as context:
        made: list[Operator] = []

        def operator(**parameters: object) -> Operator:
            made.append(Operator(context, **parameters))
            return made[-1]

        yield operator
        for each in made:
            each.captioner.gate.set()
            each.node.close()
            each.node.destroy_node()
            each.peer.destroy_node()


@pytest.fixture
def operator(make: Callable[..., Operator]) -> Operator:
    return make()


def test_each_state_is_told_from_the_first_to_the_last(operator: Operator) -> None:
    operator.peer.destroy_publisher(operator.images)
    operator.hear(WARN, "unconfigured: the node waits for the transition configure")
    assert operator.node.trigger_configure() == SUCCESS
    operator.hear(WARN, "inactive")
    assert operator.node.trigger_activate() == SUCCESS
    operator.hear(WARN, "waiting for images: nobody publishes on /front/image")
    images = operator.peer.create_publisher(Image, "image", 10)
    operator.hear(WARN, "waiting for images: 1 publisher has sent nothing on /front/image")
    operator.hear(
        WARN,
        "waiting for detections: 1 publisher has sent nothing on /front/detections",
        again=lambda: images.publish(image(5)),
    )
    assert operator.node.trigger_deactivate() == SUCCESS
    operator.hear(WARN, "inactive")
    assert operator.node.trigger_shutdown() == SUCCESS
    operator.hear(STALE, "shut down")
    operator.diagnostics.stop()
    assert not operator.diagnostics._thread.is_alive(), "a destroyed node says nothing more"


def test_a_stream_has_rates_latencies_and_losses_by_cause_and_what_stops_is_stale(
    operator: Operator,
) -> None:
    operator.node.set_parameters([Parameter("diagnostics.stale_after", value=1.5)])
    operator.activate()
    outside = detection(2000, 0, 2100, 50)
    rates = [f"{what} rate [Hz]" for what in ("image", "detections", "published frames")]
    operator.hear(
        OK,
        "frames a second",
        again=lambda: operator.see(outside),
        told=lambda: all(0.5 < float(operator.values()[rate]) < 30 for rate in rates),
    )
    assert operator.status.name == "front/region_captioner: captioning"
    assert operator.status.hardware_id
    values = operator.values()
    assert values["image topic"] == "/front/image" and values["image publishers"] == "1"
    assert 0 <= float(values["pass p50 [s]"]) <= float(values["pass p95 [s]"]) < 20
    assert float(values["latency p95 [s]"]) > 1e6, "the stamps are of 1970"
    assert 0 <= float(values["age of the last descriptions [s]"]) < 20
    assert int(values["lost: regions without a caption"]) > 0
    assert int(values["dropped regions: outside the 64x48 image"]) > 0
    assert values["lost: messages without a stamp"] == "0"
    assert operator.told[-1].header.stamp.sec > 1_000_000_000
    operator.peer.destroy_publisher(operator.images)
    operator.hear(STALE, "no images on /front/image for")
    operator.hear(STALE, ", its publisher is gone")
    operator.images = operator.peer.create_publisher(Image, "image", 10)
    operator.hear(OK, "captioning", again=operator.see)


def test_an_incompatible_publisher_is_named_with_the_policy_and_what_to_do(
    make: Callable[..., Operator],
) -> None:
    name = "qos_overrides./front/image.subscription.reliability"
    operator = make(**{name: "reliable"})
    operator.peer.destroy_publisher(operator.images)
    operator.activate()
    images = operator.peer.create_publisher(Image, "image", BEST_EFFORT)
    operator.hear(
        ERROR,
        "QoS of /front/image incompatible (reliability): /front/peer has best effort publisher",
        again=lambda: images.publish(image(5)),
    )
    assert f"set {name} to auto" in operator.status.message
    for _ in range(2):
        operator.hear(ERROR, "QoS of /front/image incompatible")
    lines = [line for line in operator.log.errors if "QoS of" in line]
    assert len(lines) == 1, "told once, not every second"
    operator.images = operator.peer.create_publisher(Image, "image", 10)
    operator.hear(WARN, "QoS of /front/image incompatible", again=operator.see)


def test_it_goes_on_telling_while_a_transition_keeps_the_executor_busy(operator: Operator) -> None:
    gate = threading.Event()

    def slow(settings: Any) -> Any:
        operator.node.status.enter(Activity.BUILDING, "tiny")
        assert gate.wait(PATIENCE)
        return operator.captioner

    operator.load = slow
    executor = threading.Thread(target=operator.node.trigger_configure)
    operator.until = Spinner(operator.node.context, operator.peer).until  # spins not the node
    executor.start()
    try:
        operator.hear(
            WARN,
            "building the engine for ",
            told=lambda: (
                float(operator.values()["activity for [s]"]) >= 2 and len(operator.told) > 1
            ),
        )
        assert operator.status.message.endswith(" s (tiny)")
        assert operator.values()["model"] == ""
    finally:
        gate.set()
        executor.join(PATIENCE)
    model = "fake in nothing on cpu"
    operator.hear(WARN, "inactive", told=lambda: operator.values()["model"] == model)
    operator.node.trigger_cleanup()
    operator.hear(WARN, "unconfigured", told=lambda: operator.values()["model"] == "")


def test_it_comes_each_second_of_real_time_while_simulated_time_stands_still(
    make: Callable[..., Operator],
) -> None:
    operator = make(use_sim_time=True)
    operator.hear(WARN, "unconfigured", told=lambda: len(operator.told) > 2)
    assert all(array.header.stamp.sec == 0 for array in operator.told)


def test_it_goes_on_after_an_error_of_its_own(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, failed = operator.diagnostics._watch.look, []

    def sometimes() -> Any:
        if len(failed) < 3:
            failed.append(1)
            raise RuntimeError("graph is gone")
        return look()

    monkeypatch.setattr(operator.diagnostics._watch, "look", sometimes)
    operator.until(lambda: len(failed) == 3, "errors")
    operator.hear(WARN, "unconfigured")
    assert operator.log.errors == ["diagnostics failed: RuntimeError: graph is gone"]
