"""The node in a test's own process, with a camera, a detector and a listener beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from log_support import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_support import FakeCaptioner, Peer, Spinner, detections, image, ros_context

from perceptiondlm_ros.ros.region_captioner import RegionCaptioner
from perceptiondlm_ros.ros.settings import Settings

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ERROR = TransitionCallbackReturn.ERROR


class Robot(Peer):
    """load: makes the captioner, a fake one unless it is replaced."""

    def __init__(self, context: Any, namespace: str = "", **node_options: Any) -> None:
        self.captioner = FakeCaptioner()
        self.load: Callable[[Settings], Any] = lambda settings: self.captioner
        self.settings: list[Settings] = []
        self.node = RegionCaptioner(
            load=self._load, context=context, namespace=namespace, **node_options
        )
        self.log = Log()
        self.node.monitor._logger = self.log
        assert self.node.diagnostics
        self.node.diagnostics._announcer._write = lambda level, line: None
        self.warnings, self.losses = self.log.warnings, self.log.infos
        super().__init__(context, namespace)
        self.spinner = Spinner(context, self.node, self.peer)
        self.until = self.spinner.until

    def _load(self, settings: Settings) -> Any:
        self.settings.append(settings)
        return self.load(settings)

    def activate(self) -> None:
        assert self.node.trigger_configure() == self.node.trigger_activate() == SUCCESS

    def start(self) -> None:
        self.activate()
        self.until_subscribed()
        self.until(self.hears, "listener matched")

    def until_subscribed(self) -> None:
        self.until(self.is_taken, "image and detections subscribed")

    def until_unsubscribed(self) -> None:
        publishers = (self.images, self.found)
        self.until(
            lambda: not any(publisher.get_subscription_count() for publisher in publishers),
            "image and detections unsubscribed",
        )

    def frame(self, nanoseconds: int, value: int = 90) -> None:
        self.images.publish(image(nanoseconds, value))
        self.found.publish(detections(nanoseconds))

    def hold(self, nanoseconds: int) -> None:
        """Send a frame whose pass goes on until the gate is set."""
        self.captioner.started.clear()
        self.captioner.gate.clear()
        self.frame(nanoseconds)
        self.until(self.captioner.started.is_set, "the pass")

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Ask a service of the node and wait for its answer."""
        return self.spinner.result(self.ask(kind, name, request), f"an answer of {name}")

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        """Ask a service of the node; the future of its answer."""
        client = self.peer.create_client(kind, f"region_captioner/{name}")
        self.until(client.service_is_ready, f"the service {name}")
        return client.call_async(request)

    @property
    def state(self) -> int:
        return int(self.node._state_machine.current_state[0])


@contextmanager
def running_robot(**node_options: Any) -> Iterator[Robot]:
    with ros_context() as context:
        robot = Robot(context, **node_options)
        try:
            yield robot
        finally:
            robot.captioner.gate.set()
            robot.node.close()
            robot.node.destroy_node()
            robot.peer.destroy_node()
