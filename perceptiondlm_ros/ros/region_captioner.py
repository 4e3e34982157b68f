"""The lifecycle node: takes images and detections, publishes captions of the detected regions.

Here is only how its parts hang together and what the lifecycle does to them. Callbacks match and
hand over; worker threads caption and publish.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rclpy.logging
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.captioning.captioning import Captioning
from perceptiondlm_ros.ros.captioning.describing import DescribeService
from perceptiondlm_ros.ros.captioning.warm_up import library_log, load_and_warm_up, load_captioner
from perceptiondlm_ros.ros.ending import interruptible, leave_if_told, run_node
from perceptiondlm_ros.ros.health.diagnostics import Diagnostics
from perceptiondlm_ros.ros.health.faults import failed_transition
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.ros.inputs.frames import Inputs
from perceptiondlm_ros.ros.outputs.all_outputs import make_outputs
from perceptiondlm_ros.ros.qos import check_overrides
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.runtime.compute_threads import sleep_while_waiting

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Captioner

_STOP_TIMEOUT = 10.0  # seconds that a running pass may take to end when the node is cleaned up


class RegionCaptioner(LifecycleNode):
    """See the package's README for topics and parameters.

    load: makes the captioner at `configure`; another one is given in tests.
    """

    diagnostics: Diagnostics | None = None  # a node that could not be made is destroyed as well

    def __init__(
        self, load: Callable[[Settings], Captioner] = load_captioner, **node_options: Any
    ) -> None:
        super().__init__("region_captioner", **node_options)
        self._active = False
        self._captioning: Captioning | None = None
        parameters.declare(self)
        self.settings = parameters.read(self)
        self.monitor = Monitor(self.get_logger())
        self.counters, self.status = self.monitor.counters, self.monitor.status
        self._load = load
        self.inputs = Inputs(self, lambda: self.settings, self.monitor)
        self.outputs = make_outputs(self, lambda: self.settings, self.monitor)
        check_overrides(self, self.get_logger().warning)
        self._describing = DescribeService(self, self.monitor, lambda: self.settings)
        self._enabling = self.create_service(SetBool, "~/enable", self._on_enable)
        self.add_on_set_parameters_callback(self._check_parameters)
        topics = self.inputs.images, self.inputs.detections, self.inputs.masks
        self.diagnostics = Diagnostics(self, self.monitor, topics, lambda: self.settings)

    # ---- lifecycle: rclpy swallows what these raise, so each failure is told here ----

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so; a failure leaves the node waiting."""
        if not self.settings.autostart:
            self.get_logger().info("waiting to be configured (autostart is false)")
        elif self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("configure", self._configure, Activity.UNCONFIGURED)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("activate", lambda: self._activate(state), Activity.INACTIVE)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("deactivate", lambda: self._deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("cleanup", self._clean_up)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("shutdown", self.close, Activity.FINALIZED)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition("error handling", self._recover, Activity.FINALIZED)

    def close(self) -> None:
        """Stop taking frames and free the model; for every way in which the node may end."""
        try:
            self._stop_taking()
        finally:
            self._free()
        self.status.enter(Activity.FINALIZED)

    def destroy_node(self) -> None:
        if self.diagnostics:
            self.diagnostics.stop()
        super().destroy_node()

    def _transition(
        self, name: str, act: Callable[[], None], otherwise: Activity | None = None
    ) -> TransitionCallbackReturn:
        """otherwise: where a failure leaves the node; None: nobody knows, so everything is freed"""
        try:
            act()
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            self.status.enter(otherwise or self.status.snapshot().activity)
            self.monitor.report(failed_transition(name, error))
            known = otherwise is not None
            return TransitionCallbackReturn.FAILURE if known else TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        settings, started = self.settings, time.monotonic()
        self.get_logger().info(f"loading {settings.checkpoint or 'the packaged checkpoint'}")
        with library_log(self.monitor), interruptible():
            leave_if_told()
            captioner = load_and_warm_up(self._load, settings, self.status)
        took = time.monotonic() - started
        model = f"{captioner.name} in {captioner.description}"
        self._captioning = Captioning(captioner, self.outputs, self.monitor, lambda: self.settings)
        self.get_logger().info(f"{model} is loaded and warmed up after {took:.1f} s")
        self.status.loaded(model)
        self.status.enter(Activity.INACTIVE, captioner.name)

    def _activate(self, state: LifecycleState) -> None:
        if self._captioning is None:
            raise RuntimeError("there is no model, expected a configured node")
        try:
            super().on_activate(state)
            self._active = True
            self._describing.open(self._captioning)
            self._start_or_stop_stream()
        except BaseException:
            self._stop_taking()
            super().on_deactivate(state)
            raise

    def _deactivate(self, state: LifecycleState) -> None:
        self._stop_taking()
        super().on_deactivate(state)
        self.status.enter(Activity.INACTIVE)
        self.monitor.tell_losses(at_the_end=True)

    def _clean_up(self) -> None:
        self._free()
        self.status.enter(Activity.UNCONFIGURED)

    def _recover(self) -> None:
        """After a transition that failed halfway: back to `unconfigured`, its reason still told."""
        failure = self.status.snapshot().failure
        self.close()
        self.status.enter(Activity.UNCONFIGURED)
        if failure:
            self.status.failed(failure)

    # ---- taking frames ----

    def _start_or_stop_stream(self) -> None:
        """Take frames, or don't, as the parameter `enabled` says; only an active node does."""
        if not self._active or self._captioning is None:
            return
        if not self.settings.enabled:
            self._stop_stream()
            self.status.enter(Activity.DISABLED)
        elif not self.outputs.activation:
            self._start_stream(self._captioning)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if not self._active:
            response.message = "the node is not active, expected an active one; activate it first"
            return response
        (result,) = self.set_parameters([Parameter("enabled", value=bool(request.data))])
        response.success, response.message = result.successful, result.reason
        return response

    def _start_stream(self, captioning: Captioning) -> None:
        self.inputs.open(captioning.mailbox, self.outputs.open())
        self.status.enter(Activity.STREAMING)
        topics = f"{self.inputs.detections.topic} on {self.inputs.images.topic}"
        self.get_logger().info(f"captioning the detections of {topics}")

    def _stop_stream(self) -> None:
        self.outputs.close()
        self.inputs.close()
        if self._captioning:
            self._captioning.withdraw_frame()

    def _stop_taking(self) -> None:
        self._active = False
        self._describing.close()
        self._stop_stream()

    def _free(self) -> None:
        """End the worker, which frees the model when its last pass is over."""
        captioning, self._captioning = self._captioning, None
        with interruptible():
            ended = captioning is None or captioning.stop(_STOP_TIMEOUT)
        if not ended:
            self.get_logger().warning(
                f"the running pass takes longer than {_STOP_TIMEOUT:.0f} s; "
                "its memory is freed when it ends"
            )
        self.status.loaded("")
        self.monitor.tell_losses(at_the_end=True)

    # ---- parameters: rclpy's two ways to set them, and what follows ----

    def set_parameters(self, parameter_list: list[Parameter[Any]]) -> list[SetParametersResult]:
        try:
            return super().set_parameters(parameter_list)
        finally:
            self._apply_parameters()

    def set_parameters_atomically(
        self, parameter_list: list[Parameter[Any]]
    ) -> SetParametersResult:
        """As ever, but a wrong type is refused with how the value is written."""
        result = super().set_parameters_atomically(parameter_list)
        if not result.successful:
            told = (parameters.type_problem(p.name, p.value) for p in parameter_list)
            result.reason = "; ".join(filter(None, (result.reason, *told)))
        self._apply_parameters()
        return result

    def _apply_parameters(self) -> None:
        self.settings = parameters.read(self)
        self._start_or_stop_stream()

    def _check_parameters(self, changes: list[Parameter[Any]]) -> SetParametersResult:
        model = self._captioning
        return parameters.check(changes, model.check_prompt if model else None)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to end; 1 if a parameter has an impossible value."""
    sleep_while_waiting()
    return run_node(_make, args, begin=RegionCaptioner.autostart, end=RegionCaptioner.close)


def _make() -> RegionCaptioner | None:
    try:
        return RegionCaptioner()
    except (ParameterException, ValueError) as error:
        rclpy.logging.get_logger("region_captioner").fatal(f"can't start: {error}")
        return None


if __name__ == "__main__":
    sys.exit(main())
