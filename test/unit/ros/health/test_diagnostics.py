"""What operators read on /diagnostics over real DDS: each reason for which the node is silent."""

from __future__ import annotations

import array
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from log_support import Log
from patience import PATIENCE
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import FakeCaptioner, Spinner, detection, detections, image, ros_context
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.ros.region_captioner import RegionCaptioner

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Robot:
    """The node, with a camera, a detector and an operator that each have a process's context."""

    def __init__(self, context: Any, other: Any, **parameters: object) -> None:
        self.captioner = FakeCaptioner()
        self.load: Callable[..., Any] = lambda settings: self.captioner
        self.node = RegionCaptioner(
            load=lambda settings: self.load(settings),
            context=context,
            namespace="/front",
            parameter_overrides=[
                Parameter(name, value=value) for name, value in parameters.items()
            ],
        )
        self.peer = Node("camera", context=other)
        self.told: list[DiagnosticArray] = []
        self.peer.create_subscription(DiagnosticArray, "/diagnostics", self.told.append, 10)
        self.spinner = Spinner(context, self.node)
        self.ear = Spinner(other, self.peer)
        self._stamp = 1_000_000_000
        self.images: Any = None
        self.found: Any = None

    def publish(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> Any:
        return self.peer.create_publisher(kind, f"/front/{topic}", qos)

    def activate(self) -> None:
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def see(self) -> None:
        self.images = self.publish(Image, "image")
        self.found = self.publish(Detection2DArray, "detections")

    def frame(self, gap_ns: int = 0, **changes: Any) -> None:
        """An image and detections, stamped apart."""
        self._stamp += 1_000_000_000
        self.images.publish(image(self._stamp))
        self.found.publish(detections(self._stamp + gap_ns, **changes))

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
        spin: bool = True,
        told: Callable[[], bool] = lambda: True,
    ) -> None:
        """Until a new status of this level has the reason in it, and `told` holds."""
        self.told.clear()

        def heard() -> bool:
            if spin:
                self.spinner.executor.spin_once(timeout_sec=0.02)
            if not self.told:
                return False
            return bool(self.status.level == level and reason in self.status.message and told())

        try:
            self.ear.until(heard, reason, again=again)
        except AssertionError as error:
            got = {(s.level, s.message) for array in self.told for s in array.status}
            raise AssertionError(f"{error}, got {sorted(got)}") from None


@pytest.fixture
def make() -> Iterator[Callable[..., Robot]]:
    with ros_context() as context, ros_context(context.get_domain_id()) as other:
        made: list[Robot] = []

        def robot(**parameters: object) -> Robot:
            made.append(Robot(context, other, **parameters))
            return made[-1]

        yield robot
        for each in made:
            each.captioner.gate.set()
            each.node.close()
            each.node.destroy_node()
            each.peer.destroy_node()


@pytest.fixture
def robot(make: Callable[..., Robot]) -> Robot:
    return make()


def test_it_waits_for_transitions_and_for_inputs_one_after_the_other(robot: Robot) -> None:
    robot.hear(WARN, "unconfigured: the node waits for the transition configure")
    assert robot.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    robot.hear(WARN, "inactive")
    assert robot.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    robot.hear(WARN, "waiting for images: nobody publishes on /front/image")
    images = robot.publish(Image, "image")
    robot.hear(WARN, "waiting for images: 1 publisher has sent nothing on /front/image")
    robot.hear(
        WARN,
        "waiting for detections: nobody publishes on /front/detections",
        again=lambda: images.publish(image(5)),
    )
    assert robot.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    robot.hear(WARN, "inactive")
    assert robot.node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    robot.hear(STALE, "shut down")


def test_it_is_well_with_rates_latencies_and_losses_by_cause(robot: Robot) -> None:
    robot.activate()
    robot.see()
    outside = detection(2000, 0, 2100, 50)
    items = [detection(8, 8, 24, 24, "1", "cup"), outside]
    rates = [f"{what} rate [Hz]" for what in ("image", "detections", "published frames")]
    robot.hear(
        OK,
        "frames a second",
        again=lambda: robot.frame(items=items),
        told=lambda: all(0.5 < float(robot.values()[rate]) < 30 for rate in rates),
    )
    (status,) = robot.told[-1].status
    assert status.name == "front/region_captioner: captioning" and status.hardware_id
    values = robot.values()
    assert values["image topic"] == "/front/image" and values["image publishers"] == "1"
    assert 0 <= float(values["pass p50 [s]"]) <= float(values["pass p95 [s]"]) < 20
    assert float(values["latency p95 [s]"]) > 1e6, "the stamps are of 1970"
    assert 0 <= float(values["age of the last descriptions [s]"]) < 20
    assert int(values["lost: regions without a caption"]) > 0
    assert int(values["dropped regions: outside the 64x48 image"]) > 0
    assert values["lost: messages without a stamp"] == "0"
    assert float(values["memory of the process [MB]"]) > 10
    assert robot.told[-1].header.stamp.sec > 1_000_000_000


def test_what_stops_is_stale_and_its_publisher_missed(robot: Robot) -> None:
    robot.node.set_parameters([Parameter("diagnostics.stale_after", value=1.5)])
    robot.activate()
    robot.see()
    robot.hear(OK, "captioning", again=robot.frame)
    robot.peer.destroy_publisher(robot.images)
    robot.hear(STALE, "no images on /front/image for")
    robot.hear(STALE, ", its publisher is gone")
    robot.images = robot.publish(Image, "image")
    robot.hear(OK, "captioning", again=robot.frame)
    assert float(robot.values()["age of the last descriptions [s]"]) < 20


def test_the_gap_of_stamps_is_told_against_the_tolerance(robot: Robot) -> None:
    robot.activate()
    robot.see()
    robot.hear(
        ERROR,
        "stamp gap 0.31 s above 0.10 s (matching.tolerance)",
        again=lambda: robot.frame(310_000_000),
    )
    assert robot.values()["last stamp gap [s]"] == "0.310"
    (result,) = robot.node.set_parameters([Parameter("matching.tolerance", value=0.5)])
    assert result.successful
    robot.hear(OK, "captioning", again=lambda: robot.frame(310_000_000))


def test_a_disabled_node_says_so_and_is_well(robot: Robot) -> None:
    robot.activate()
    client = robot.peer.create_client(SetBool, "/front/region_captioner/enable")
    robot.ear.until(client.service_is_ready, "the service")
    future = client.call_async(SetBool.Request(data=False))
    robot.hear(OK, "disabled by ~/enable", told=future.done)
    client.call_async(SetBool.Request(data=True))
    robot.hear(WARN, "waiting for images")


def test_an_incompatible_publisher_is_named_with_the_policy_and_what_to_do(
    make: Callable[..., Robot], capfd: pytest.CaptureFixture[str]
) -> None:
    name = "qos_overrides./front/image.subscription.reliability"
    robot = make(**{name: "reliable"})
    robot.activate()
    images = robot.publish(Image, "image", BEST_EFFORT)
    robot.hear(
        ERROR,
        "QoS of /front/image incompatible (reliability): /camera has best effort publisher",
        again=lambda: images.publish(image(5)),
    )
    assert f"set {name} to auto" in robot.status.message
    for _ in range(2):
        robot.hear(ERROR, "QoS of /front/image incompatible")
    lines = [line for line in capfd.readouterr().err.splitlines() if "QoS of" in line]
    assert len(lines) == 1, "told once, not every second"
    robot.see()
    robot.hear(WARN, "QoS of /front/image incompatible", again=robot.frame)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no kernel\nimage"), "captioning fails: RuntimeError: no kernel image"),
        (MemoryError("of 8 GB"), "out of memory: MemoryError: of 8 GB; free memory"),
    ],
)
def test_failing_inference_is_told_until_it_goes_well_again(
    robot: Robot, error: Exception, reason: str
) -> None:
    robot.activate()
    robot.see()
    robot.captioner.error = error
    robot.hear(ERROR, reason, again=robot.frame)
    assert int(robot.values()["failures in a row"]) > 0
    robot.captioner.error = None
    robot.hear(OK, "captioning", again=robot.frame)
    assert robot.values()["failures in a row"] == "0"
    assert type(error).__name__ in robot.values()["last error"]


def test_images_of_the_lowest_bits_are_told_until_the_parameter_is_set(robot: Robot) -> None:
    robot.node.monitor._logger = log = Log()
    robot.activate()
    robot.see()

    def dark() -> None:
        robot._stamp += 1_000_000_000
        message = image(robot._stamp)
        message.encoding, message.step = "mono16", 2 * message.width
        message.data = array.array("H", [4000] * (message.width * message.height)).tobytes()
        robot.images.publish(message)
        robot.found.publish(detections(robot._stamp))

    advice = "set image.significant_bits:=12"
    robot.hear(WARN, advice, again=dark)
    robot.hear(WARN, advice, again=dark)
    assert len([line for line in log.warnings if advice in line]) == 1, "once, not each frame"
    dimmed = robot.captioner.first_pixels[-1]
    robot.node.set_parameters([Parameter("image.significant_bits", value=12)])
    bright = round(4000 * 255 / 4095)
    robot.hear(
        OK,
        "frames a second",
        again=dark,
        told=lambda: robot.captioner.first_pixels[-1] == bright,
    )
    assert dimmed == round(4000 / 257)


@pytest.mark.parametrize(
    ("activity", "reason"),
    [
        (Activity.LOADING, "loading the checkpoint for "),
        (Activity.BUILDING, "building the engine for "),
    ],
)
def test_it_goes_on_telling_while_a_transition_keeps_the_executor_busy(
    robot: Robot, activity: Activity, reason: str
) -> None:
    gate = threading.Event()

    def slow(settings: Any) -> Any:
        robot.node.status.enter(activity, "tiny")
        assert gate.wait(PATIENCE)
        return robot.captioner

    robot.load = slow
    executor = threading.Thread(target=robot.node.trigger_configure)
    executor.start()
    try:
        robot.hear(
            WARN,
            reason,
            spin=False,
            told=lambda: float(robot.values()["activity for [s]"]) >= 2 and len(robot.told) > 1,
        )
        assert robot.status.message.endswith(" s (tiny)")
    finally:
        gate.set()
        executor.join(PATIENCE)
    robot.hear(WARN, "inactive")


def test_it_comes_each_second_of_real_time_while_simulated_time_stands_still(
    make: Callable[..., Robot],
) -> None:
    robot = make(use_sim_time=True)
    robot.hear(WARN, "unconfigured", told=lambda: len(robot.told) > 2)
    assert all(array.header.stamp.sec == 0 for array in robot.told)


def test_it_goes_on_after_an_error_of_its_own(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    robot.node.monitor.warn("something", "before, of which rclpy remembers the severity")
    watch = robot.node.diagnostics._watch
    look, failed = watch.look, []

    def sometimes() -> Any:
        if len(failed) < 3:
            failed.append(1)
            raise RuntimeError("graph is gone")
        return look()

    monkeypatch.setattr(watch, "look", sometimes)
    robot.ear.until(lambda: len(failed) == 3, "errors")
    robot.hear(WARN, "unconfigured")
    said = capfd.readouterr().err
    assert said.count("diagnostics failed: RuntimeError: graph is gone") == 1


def test_a_destroyed_node_says_nothing_more(make: Callable[..., Robot]) -> None:
    robot = make()
    robot.hear(WARN, "unconfigured")
    robot.node.diagnostics.stop()
    assert not robot.node.diagnostics._thread.is_alive()
