"""Listens to the demo, as a process of its own: prints captions beside the truth, keeps a record.

It also waits for the node and says what for, and ends the demo when it has seen enough.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from PIL import Image as Pillow
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.bag import Bag
from perceptiondlm_ros.development.demo.console import Console
from perceptiondlm_ros.development.demo.joiner import Joiner
from perceptiondlm_ros.development.demo.options import add_seconds, add_world, world_of
from perceptiondlm_ros.development.demo.report import Report
from perceptiondlm_ros.development.demo.scoring import FrameVerdict, Tally, judge
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.messages.images import image_to_rgb
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescriptionArray

_PICTURE_NS: Final = 2_000_000_000
"""Least time between annotated pictures that are kept."""

_KEPT: Final = 64
"""Frames remembered until their captions come: 6 s of the camera."""

_FIRST_CAPTION_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.2

_ASK_AGAIN_S: Final = 5.0
"""DDS drops an answer where the node does not know this client yet."""


class Recorder(Node):
    """See the module. `ended` is done when the demo is over; its result says why, "" if as meant.

    seconds: how long to listen from the first captions on.
    """

    def __init__(self, world: World, seconds: float, output: Path, bag: Bag) -> None:
        super().__init__("recorder")
        self.ended: Future[str] = Future()
        self.tally = Tally()
        self.joiner = Joiner(("image", "detections", "descriptions"), "descriptions", _KEPT)
        self.listened = 0.0  # seconds since the first captions
        self._world = world
        self._seconds = seconds
        self._output = output
        self._bag = bag
        self._console = Console()
        self._started = time.monotonic()
        self._active: float | None = None  # times of a monotonic clock, as _started
        self._first: float | None = None
        self._next_picture_ns = 0
        self._in_bag = 0  # stamp of the last frame that was written
        self._stopped = False
        self._listen(Image, "image", lambda message: self._join("image", message))
        self._listen(
            Detection2DArray, "detections", lambda message: self._join("detections", message)
        )
        self._listen(RegionDescriptionArray, "region_captioner/descriptions", self._on_captions)
        self._listen(Image, "region_captioner/annotated_image", self._on_picture)
        self._state: Any = self.create_client(GetState, "region_captioner/get_state")
        self._answer: Future[Any] | None = None
        self._asked = 0.0
        self.create_timer(_LOOK_S, self._look)

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        self.create_subscription(kind, topic, callback, QoSProfile(depth=10))

    def stop(self, *_: object) -> None:
        """End soon with what came so far; as a signal handler it may come at any time."""
        self._stopped = True

    def _look(self) -> None:
        now = time.monotonic()
        if self._stopped:
            self._end("stopped")
        if self._first is not None:
            self.listened = now - self._first
            if self.listened >= self._seconds:
                self._end("")
        elif self._active is not None:
            waited = now - self._active
            self._console.wait("waiting for the first captions", waited)
            if waited > _FIRST_CAPTION_LIMIT_S:
                self._end(f"no caption came within {_FIRST_CAPTION_LIMIT_S:.0f} s")
        else:
            self._console.wait("waiting for the node to load its checkpoint", now - self._started)
            self._ask_state()

    def _ask_state(self) -> None:
        """The node answers as soon as it spins, which is when it has loaded, or has failed to."""
        if self._answer is not None and self._answer.done():
            response: Any = self._answer.result()
            state, self._answer = response.current_state, None
            if state.id == State.PRIMARY_STATE_ACTIVE:
                self._active = time.monotonic()
                took = self._active - self._started
                self._console.line(f"the node is active after {took:.1f} s")
            elif state.id in (State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_FINALIZED):
                self._end(f"the node could not start: it is {state.label}")
        elif self._answer is not None and time.monotonic() - self._asked < _ASK_AGAIN_S:
            return
        elif self._state.service_is_ready():
            self._answer = self._state.call_async(GetState.Request())
            self._asked = time.monotonic()

    def _on_captions(self, message: RegionDescriptionArray) -> None:
        if self.ended.done():
            return
        self._first = self._first or time.monotonic()
        stamp = nanoseconds(message.header.stamp)
        age = message.latency.sec + message.latency.nanosec / 1e9
        verdicts = judge(message.regions, self._world.truth(stamp))
        frame = FrameVerdict(verdicts, message.dropped, age)
        self.tally.add(frame)
        report = Report(self._console.colours, self._console.width)
        for line in report.block((stamp - self._world.start_ns) / 1e9, frame):
            self._console.line(line)
        self._join("descriptions", message)

    def _on_picture(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        if stamp < self._next_picture_ns or self.ended.done():
            return
        self._next_picture_ns = stamp + _PICTURE_NS
        name = f"annotated_{(stamp - self._world.start_ns) / 1e9:05.1f}s.png"
        Pillow.fromarray(image_to_rgb(message)).save(self._output / name)

    def _join(self, kind: str, message: Any) -> None:
        stamp = nanoseconds(message.header.stamp)
        if kind == "descriptions" and stamp == self._in_bag:
            self._bag.write_again(message)
            return
        frame = self.joiner.add(kind, stamp, message)
        if frame:
            self._bag.write(**frame)
            self._in_bag = stamp

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    def conclude(self) -> None:
        """Print the last lines."""
        self.joiner.close()
        if self.joiner.lost:
            self._console.line(f"{self.joiner.lost} captioned frames are not in the bag: too late")
        if self.ended.done() and self.ended.result():
            self._console.line(str(self.ended.result()))
        if self.tally.frames:
            self._console.line(Report().summary(self.tally, self.listened))
            self._console.line(f"pictures, and all captioned frames as a bag: {self._output}")
        self._console.line(str(self.tally))


def main(arguments: list[str] | None = None) -> int:
    """Record until enough is seen or told to end; the status that `Tally.status` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_world(parser, start_required=True)
    add_seconds(parser)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    # A signal must not fall into the middle of writing, so none raises here or stops the spinning.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with Bag(options.output / "bag") as bag:
        recorder = Recorder(world_of(options), options.seconds, options.output, bag)
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, recorder.stop)
        rclpy.spin_until_future_complete(recorder, recorder.ended)
        recorder.destroy_node()
    rclpy.try_shutdown()
    recorder.conclude()
    return recorder.tally.status


if __name__ == "__main__":
    sys.exit(main())
