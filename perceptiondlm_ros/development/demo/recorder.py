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
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from PIL import Image as Pillow
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.development.demo.demo_bag import DemoBag, FrameJoiner
from perceptiondlm_ros.development.demo.demo_output import DemoOutput
from perceptiondlm_ros.development.demo.scoring import FrameVerdict, Tally, judge
from perceptiondlm_ros.development.demo.world import (
    World,
    add_seconds,
    add_world,
    world_of,
)
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


class DemoRecorder(Node):
    """See the module. `ended` is done when the demo is over; its result says why, "" if as meant.

    seconds: how long to listen from the first captions on.
    """

    def __init__(self, world: World, seconds: float, output: Path, bag: DemoBag) -> None:
        super().__init__("recorder")
        self.ended: Future[str] = Future()
        self.tally = Tally()
        self._world, self._seconds, self._folder, self._bag = world, seconds, output, bag
        self._joiner = FrameJoiner(_KEPT)
        self._output = DemoOutput()
        self._listened = 0.0  # seconds since the first captions
        self._started = time.monotonic()
        self._active: float | None = None  # times of a monotonic clock, as _started
        self._first: float | None = None
        self._asked: float | None = None
        self._next_picture_ns = 0
        self._in_bag = 0  # stamp of the last frame that was written
        self._stopped = False
        for kind, topic, callback in (
            (Image, "image", functools.partial(self._join, "image")),
            (Detection2DArray, "detections", functools.partial(self._join, "detections")),
            (RegionDescriptionArray, "region_captioner/descriptions", self._on_captions),
            (Image, "region_captioner/annotated_image", self._on_picture),
        ):
            self.create_subscription(kind, topic, callback, 10)
        self._state: Any = self.create_client(GetState, "region_captioner/get_state")
        self._output.wait_for("waiting for the node to load its checkpoint")
        self.create_timer(_LOOK_S, self._look)

    def stop(self, *_: object) -> None:
        """End soon with what came so far; as a signal handler it may come at any time."""
        self._stopped = True

    def conclude(self) -> None:
        """Print the last lines."""
        self._joiner.close()
        if self._joiner.lost:
            self._output.line(f"{self._joiner.lost} captioned frames are not in the bag: too late")
        if self.ended.done() and self.ended.result():
            self._output.line(str(self.ended.result()))
        if self.tally.frames:
            self._output.summary(self.tally, self._listened)
            self._output.line(f"pictures, and all captioned frames as a bag: {self._folder}")
        self._output.line(f"{self.tally.right} of {self.tally.captions} captions right")

    def _look(self) -> None:
        now = time.monotonic()
        if self._stopped:
            self._end("stopped")
        if self._first is not None:
            self._listened = now - self._first
            if self._listened >= self._seconds:
                self._end("")
        elif self._active is None:
            self._ask_state(now)
        elif now - self._active > _FIRST_CAPTION_LIMIT_S:
            self._end(f"no caption came within {_FIRST_CAPTION_LIMIT_S:.0f} s")

    def _ask_state(self, now: float) -> None:
        """The node answers as soon as it spins, which is when it has loaded, or has failed to."""
        waits = self._asked is not None and now - self._asked < _ASK_AGAIN_S
        if not waits and self._state.service_is_ready():
            self._asked = now
            self._state.call_async(GetState.Request()).add_done_callback(self._on_state)

    def _on_state(self, answer: Any) -> None:
        state = answer.result().current_state
        self._asked = None
        if state.id == State.PRIMARY_STATE_ACTIVE and self._active is None:
            self._active = time.monotonic()
            self._output.line(f"the node is active after {self._active - self._started:.1f} s")
            if self._first is None:
                self._output.wait_for("waiting for the first captions")
        elif state.id in (State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_FINALIZED):
            self._end(f"the node could not start: it is {state.label}")

    def _on_captions(self, message: RegionDescriptionArray) -> None:
        if self.ended.done():
            return
        self._first = self._first or time.monotonic()
        stamp = nanoseconds(message.header.stamp)
        age = message.latency.sec + message.latency.nanosec / 1e9
        verdicts = judge(message.regions, self._world.truth(stamp))
        self.tally.frames.append(FrameVerdict(verdicts, message.dropped, age))
        self._output.frame(self._since_start(stamp), self.tally.frames[-1])
        self._join("descriptions", message)

    def _on_picture(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        if stamp < self._next_picture_ns or self.ended.done():
            return
        self._next_picture_ns = stamp + _PICTURE_NS
        name = f"annotated_{self._since_start(stamp):05.1f}s.png"
        Pillow.fromarray(image_to_rgb(message)).save(self._folder / name)

    def _since_start(self, stamp_ns: int) -> float:
        return (stamp_ns - self._world.start_ns) / 1e9

    def _join(self, part: str, message: Any) -> None:
        stamp = nanoseconds(message.header.stamp)
        if part == "descriptions" and stamp == self._in_bag:
            self._bag.write(descriptions=message)
        elif frame := self._joiner.add(part, stamp, message):
            self._bag.write(**frame)
            self._in_bag = stamp

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


def main(arguments: list[str] | None = None) -> int:
    """Record until enough is seen or told to end; the status that `Tally.status` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_world(parser, start_required=True)
    add_seconds(parser)
    parser.add_argument("--output", type=Path, required=True)
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
    return recorder.tally.status


if __name__ == "__main__":
    sys.exit(main())
