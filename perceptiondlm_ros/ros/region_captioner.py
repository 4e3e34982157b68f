"""The lifecycle node: takes images and detections, publishes captions of the detected regions.

Callbacks only match and hand over; the worker thread captions and publishes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
import rclpy.logging
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.msg import RegionDescriptionArray
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.captioning import (
    Captioned,
    Describes,
    Frame,
    annotated_image,
    caption_frame,
    latency,
)
from perceptiondlm_ros.ros.counters import Counters, LossLog
from perceptiondlm_ros.ros.inputs import Inputs
from perceptiondlm_ros.ros.mailbox import Mailbox
from perceptiondlm_ros.ros.parameters import LoadSettings
from perceptiondlm_ros.ros.throttle import Throttle
from perceptiondlm_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.parameter import Parameter

_STOP_TIMEOUT = 10.0  # seconds that a running pass may take to end when the node is cleaned up


def load_captioner(settings: LoadSettings) -> Describes:
    """Load a Captioner; imported only here, so that a missing package is a failed `configure`."""
    try:
        from perceptiondlm_ros.captioner import Captioner
    except ImportError as error:
        raise BackendError(
            f"{error} in {sys.executable}, which runs this node; install it there"
        ) from error
    captioner: Describes = Captioner.load(
        settings.path,
        backend=settings.backend,
        device=settings.device,
        steps=settings.steps,
        caption_tokens=settings.caption_tokens,
        cache=settings.cache,
    )
    return captioner


class RegionCaptioner(LifecycleNode):
    """See the package's README for topics and parameters.

    load: makes the captioner at `configure`; another one is given in tests.
    """

    def __init__(
        self, load: Callable[[LoadSettings], Describes] = load_captioner, **node_options: Any
    ) -> None:
        super().__init__("region_captioner", **node_options)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.counters = Counters()
        self._load = load
        self._captioner: Describes | None = None
        self._worker: Worker[Frame] | None = None
        self._mailbox: Mailbox[Frame] = Mailbox()
        # Held while a worker counts and publishes, so that nothing ends an activation in between,
        # and while a worker that did not end in time may count beside its successor.
        self._publishing = threading.Lock()
        self._warn = Throttle(self.get_logger().warning)
        self._losses = LossLog(self.counters, self.get_logger().info)
        self._inputs = Inputs(self, self.counters, self._losses, self._warn)
        self._descriptions = self._publisher(RegionDescriptionArray, "~/descriptions", depth=10)
        self._annotated = self._publisher(Image, "~/annotated_image", depth=1)

    # ---- lifecycle: rclpy swallows what these raise, so each failure is told here ----

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a failure leaves the node waiting."""
        if not parameters.read(self, "autostart", bool):
            self.get_logger().info("waiting to be configured (autostart is false)")
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._transition("configure", self._configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._free()  # only now, as an exception keeps alive what was in use when it was raised
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", lambda: self._activate(state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("cleanup", self._free)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shutdown", self.close)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("error handling", self.close)

    def close(self) -> None:
        """Stop taking frames and free the model; for every way in which the node may end."""
        self._stop_taking()
        self._free()

    def _transition(self, name: str, act: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            kind = type(error).__name__
            self.get_logger().error(f"{name} failed: {kind}: {' '.join(str(error).split())}")
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        settings = parameters.load_settings(self)
        started = time.monotonic()
        self.get_logger().info(f"loading {settings.path or 'the packaged checkpoint'}")
        captioner = self._load(settings)
        self._captioner = captioner
        self._mailbox = Mailbox()  # an own one: a worker that did not end in time keeps the last
        self._worker = Worker(
            self._mailbox, partial(self._caption, captioner), self._report, captioner.close
        )
        # The first pass pays for allocations and kernel choice; better now than on a frame.
        captioner.describe(np.full((480, 640, 3), 127, np.uint8), [(160.0, 120.0, 480.0, 360.0)])
        took = time.monotonic() - started
        self.get_logger().info(f"{captioner.name} is loaded and warmed up after {took:.1f} s")

    def _activate(self, state: LifecycleState) -> None:
        super().on_activate(state)
        self._inputs.open(self._mailbox)
        topics = f"{self._inputs.detections.topic} on {self._inputs.images.topic}"
        self.get_logger().info(f"captioning the detections of {topics}")

    def _deactivate(self, state: LifecycleState) -> None:
        self._stop_taking()
        super().on_deactivate(state)
        self._losses.at_the_end()

    def _stop_taking(self) -> None:
        with self._publishing:
            self._inputs.close()

    def _free(self) -> None:
        """End the worker, which frees the model when its last pass is over."""
        worker, self._worker, self._captioner = self._worker, None, None
        if worker and not worker.stop(_STOP_TIMEOUT):
            self.get_logger().warning(
                f"the running pass takes longer than {_STOP_TIMEOUT:.0f} s; "
                "its memory is freed when it ends"
            )
        self._losses.at_the_end()

    def _check_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        return parameters.check(changes, loaded=self._captioner is not None)

    # ---- the worker's thread ----

    def _caption(self, captioner: Describes, frame: Frame) -> None:
        prompt = parameters.read(self, "prompt", str)
        most = parameters.read(self, "max_regions", int)
        result = caption_frame(captioner, frame, prompt, most, self._warn)
        with self._publishing:
            if frame.activation != self._inputs.activation:
                self.counters.frames_discarded += 1
                return
            self._count(result)
            result.message.latency = latency(
                result.message.header.stamp, self.get_clock().now().nanoseconds
            )
            self._descriptions.publish(result.message)
        if result.pixels is None or not self._annotated.get_subscription_count():
            return
        picture = annotated_image(result.pixels, result.message)
        with self._publishing:
            if frame.activation == self._inputs.activation:
                self._annotated.publish(picture)

    def _count(self, result: Captioned) -> None:
        self.counters.frames_failed += bool(result.error)
        self.counters.frames_captioned += not result.error
        self.counters.regions_captioned += len(result.message.regions)
        self.counters.regions_dropped += result.message.dropped
        self.counters.last_error = result.error or self.counters.last_error

    def _report(self, error: Exception) -> None:
        self.counters.last_error = f"{type(error).__name__}: {error}"
        self._warn("worker", f"worker failed: {self.counters.last_error}")

    def _publisher(self, kind: type, topic: str, depth: int) -> LifecyclePublisher[Any]:
        options = QoSOverridingOptions.with_default_policies()
        return self.create_lifecycle_publisher(
            kind, topic, QoSProfile(depth=depth), qos_overriding_options=options
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to end; 1 if a parameter has an impossible value."""
    rclpy.init(args=args)
    try:
        node = RegionCaptioner()
    except (ParameterException, ValueError) as error:
        rclpy.logging.get_logger("region_captioner").fatal(f"can't start: {error}")
        rclpy.try_shutdown()
        return 1
    try:
        node.autostart()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the usual way to end a node
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
