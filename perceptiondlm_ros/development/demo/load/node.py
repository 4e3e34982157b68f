"""The real node over a model that takes a set time, or over the packaged one.

A stopwatch stands at its callbacks, between its threads, at its passes, and at its publisher.
"""

from __future__ import annotations

import argparse
import functools
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.captioner import Caption, Captioner
from perceptiondlm_ros.development.demo.load.camera import stamp_in
from perceptiondlm_ros.development.demo.load.records import Record, Recorder
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.captioning.captioning import CaptionJob
from perceptiondlm_ros.ros.captioning.warm_up import load_captioner
from perceptiondlm_ros.ros.ending import run_node
from perceptiondlm_ros.ros.region_captioner import RegionCaptioner
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.ros.threads import Mailbox

_CAPTION = "a large red striped ball to the left of a small blue cube"


class SlowCaptioner:
    """Takes `seconds` for a pass and leaves the processor to others meanwhile, as a GPU does."""

    name = "slow"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def describe(
        self,
        image: NDArray[np.uint8],
        regions: Sequence[Any],
        prompt: str | None = None,
        **options: Any,
    ) -> list[Caption]:
        time.sleep(self._seconds)
        return [Caption(_CAPTION, 0.9, [], False) for _ in regions]

    def check_prompt(self, prompt: str) -> None:
        pass

    def close(self) -> None:
        pass


class TimedCaptioner:
    """Any captioner, with a stopwatch at its passes.

    ready: its `since` is when the present thread's captions were ready, until they are published.
    """

    def __init__(self, captioner: Captioner, record: Callable[[Record], None]) -> None:
        self._captioner = captioner
        self._record = record
        self.ready = threading.local()

    def describe(
        self, image: NDArray[np.uint8], regions: Sequence[Any], *args: Any, **options: Any
    ) -> list[Caption]:
        stamp = stamp_in(image)
        if stamp:  # else it is the warm-up
            self._record(Record("started", time.time_ns(), stamp))
        captions = self._captioner.describe(image, regions, *args, **options)
        if stamp:
            self._record(Record("ready", time.time_ns(), stamp))
            self.ready.since = time.perf_counter()
        return captions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._captioner, name)


class MeasuredNode(RegionCaptioner):
    """The node itself; whatever it creates is timed. seconds: None takes a real model."""

    def __init__(self, seconds: float | None, record: Callable[[Record], None]) -> None:
        self._record = record
        self._seconds = seconds
        self._timed_captioner: TimedCaptioner | None = None
        super().__init__(load=self._load_timed)

    def _load_timed(self, settings: Settings) -> Any:
        slow = self._seconds is not None
        captioner: Any = SlowCaptioner(self._seconds or 0.0) if slow else load_captioner(settings)
        self._timed_captioner = TimedCaptioner(captioner, self._record)
        return self._timed_captioner

    def create_subscription(  # type: ignore[override]
        self, kind: Any, topic: str, callback: Any, *args: Any, **options: Any
    ) -> Any:
        timed = self._timed(topic, callback)
        return super().create_subscription(kind, topic, timed, *args, **options)

    def create_timer(  # type: ignore[override]
        self, period: float, callback: Any, *args: Any, **options: Any
    ) -> Any:
        return super().create_timer(period, self._timed("timer", callback), *args, **options)

    def create_lifecycle_publisher(  # type: ignore[override]
        self, kind: Any, topic: str, *args: Any, **options: Any
    ) -> Any:
        publisher = super().create_lifecycle_publisher(kind, topic, *args, **options)
        if topic.endswith("descriptions"):
            timed = self._after_captions(publisher.publish)
            publisher.publish = timed  # type: ignore[method-assign]
        return publisher

    def _timed(self, name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(callback)  # rclpy looks at its arguments
        def timed(*args: Any) -> None:
            started = time.perf_counter()
            callback(*args)
            took = time.perf_counter() - started
            self._record(Record("callback", time.time_ns(), 0, name, took))

        return timed

    def _after_captions(self, publish: Callable[[Any], None]) -> Callable[[Any], None]:
        def timed(message: Any) -> None:
            publish(message)
            ready = self._timed_captioner.ready if self._timed_captioner else None
            since = getattr(ready, "since", None)
            if ready and since is not None:  # in the thread of the pass, once for each
                ready.since = None
                took = time.perf_counter() - since
                stamp = nanoseconds(message.header.stamp)
                self._record(Record("published", time.time_ns(), stamp, "", took))

        return timed


def time_handing_over(record: Callable[[Record], None]) -> None:
    """Put a stopwatch at the queue of the thread with the model, in this process only."""
    put = Mailbox.put

    def timed(self: Mailbox[Any], item: Any) -> Any:
        if isinstance(item, CaptionJob):
            stamp = nanoseconds(item.frame.frame.image.header.stamp)
            record(Record("handed", time.time_ns(), stamp))
        return put(self, item)

    Mailbox.put = timed  # type: ignore[method-assign]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pass-seconds", type=float)
    parser.add_argument("--records", type=Path, required=True)
    options, ros = parser.parse_known_args(arguments)
    recorder = Recorder(options.records)
    time_handing_over(recorder)
    try:
        return run_node(
            lambda: MeasuredNode(options.pass_seconds, recorder),
            ros,
            begin=MeasuredNode.autostart,
            end=MeasuredNode.close,
        )
    finally:
        recorder.close()


if __name__ == "__main__":
    sys.exit(main())
