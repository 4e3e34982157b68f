"""Listens to the demo, as a process of its own: prints captions beside the truth, keeps a record.

It also waits for the node and says what for, and ends the demo when it has seen enough.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from PIL import Image as Pillow
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.demo_bag import DemoBag
from perceptiondlm_ros.development.demo.demo_output import DemoOutput, judge
from perceptiondlm_ros.development.demo.processes import add_common_options
from perceptiondlm_ros.development.demo.world import World, add_world, world_of
from perceptiondlm_ros.messages.images import image_to_rgb
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescriptionArray

_PICTURE_NS: Final = 2_000_000_000
"""Least time between annotated pictures that are kept."""

_FIRST_CAPTION_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.2


class DemoRecorder(Node):
    """See the module. `ended` is done when the demo is over; its result says why, "" if as meant.

    seconds: how long to listen from the first captions on.
    """

    def __init__(self, world: World, seconds: float, folder: Path, bag: DemoBag) -> None:
        super().__init__("recorder")
        self.ended: Future[str] = Future()
        self.output = DemoOutput()
        self._world, self._seconds, self._folder, self._bag = world, seconds, folder, bag
        self._started = time.monotonic()
        self._active: float | None = None  # times of a monotonic clock, as _started
        self._first: float | None = None
        self._next_picture_ns = 0
        self._stopped = False
        self._listened = 0.0
        for kind, topic, callback in (
            (Image, "image", functools.partial(self._keep, "image")),
            (Detection2DArray, "detections", functools.partial(self._keep, "detections")),
            (RegionDescriptionArray, "region_captioner/descriptions", self._on_captions),
            (Image, "region_captioner/annotated_image", self._on_picture),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ):
            self.create_subscription(kind, topic, callback, 10)
        self.output.wait_for("waiting for the node to load its checkpoint")
        self.create_timer(_LOOK_S, self._look)

    def stop(self, *_: object) -> None:
        """End soon with what came so far; as a signal handler it may come at any time."""
        self._stopped = True

    def conclude(self) -> None:
        """Print the last lines, once the bag is closed."""
        output = self.output
        if self._bag.lost:
            output.line(f"{self._bag.lost} captioned frames are not in the bag: too late")
        if self.ended.done() and self.ended.result():
            output.line(str(self.ended.result()))
        if self._first is not None:
            output.summary(self._listened)
            output.line(f"pictures, and all captioned frames as a bag: {self._folder}")
        output.line(f"{output.right} of {output.captions} captions right")

    def _look(self) -> None:
        now = time.monotonic()
        if self._stopped:
            self._end("stopped")
        elif self._first is not None and now - self._first >= self._seconds:
            self._end("")
        elif self._first is None and now - (self._active or now) > _FIRST_CAPTION_LIMIT_S:
            self._end(f"no caption came within {_FIRST_CAPTION_LIMIT_S:.0f} s")

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            activity = {value.key: value.value for value in status.values}.get("activity")
            if activity == "active" and self._active is None:
                self._active = time.monotonic()
                self.output.line(f"the node is active after {self._active - self._started:.1f} s")
                if self._first is None:
                    self.output.wait_for("waiting for the first captions")
            elif activity == "unconfigured" and status.level == DiagnosticStatus.ERROR:
                self._end(f"the node could not start: {status.message}")

    def _on_captions(self, message: RegionDescriptionArray) -> None:
        if self.ended.done():
            return
        self._first = self._first or time.monotonic()
        stamp = nanoseconds(message.header.stamp)
        age = message.latency.sec + message.latency.nanosec / 1e9
        verdicts = judge(message.regions, self._world.truth(stamp))
        self.output.frame(self._since_start(stamp), verdicts, message.dropped, age)
        self._keep("descriptions", message)

    def _on_picture(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        if stamp < self._next_picture_ns or self.ended.done():
            return
        self._next_picture_ns = stamp + _PICTURE_NS
        name = f"annotated_{self._since_start(stamp):05.1f}s.png"
        Pillow.fromarray(image_to_rgb(message)).save(self._folder / name)

    def _since_start(self, stamp_ns: int) -> float:
        return (stamp_ns - self._world.start_ns) / 1e9

    def _keep(self, part: str, message: Any) -> None:
        self._bag.add(part, nanoseconds(message.header.stamp), message)

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self._listened = time.monotonic() - (self._first or time.monotonic())
            self.ended.set_result(reason)


def main(arguments: list[str] | None = None) -> int:
    """Record until enough is seen or told to end; the status that `DemoOutput.status` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_world(parser, start_required=True)
    add_common_options(parser, "demo_output", "pictures and bag", seconds=20.0)
    options = parser.parse_args(arguments)
    # A signal must not fall into the middle of writing, so none raises here or stops the spinning.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with DemoBag(options.output / "bag") as bag:
        recorder = DemoRecorder(world_of(options), options.seconds, options.output, bag)
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, recorder.stop)
        rclpy.spin_until_future_complete(recorder, recorder.ended)
        recorder.destroy_node()
    rclpy.try_shutdown()
    recorder.conclude()
    return recorder.output.status


if __name__ == "__main__":
    sys.exit(main())
