"""The real node over a model that takes a set time, or over the packaged one.

Its callbacks, its passes, its publisher, and what goes from thread to thread are timed.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.development.demo.load.load_camera import stamp_in
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.captioning.captioning import CaptionJob
from perceptiondlm_ros.ros.captioning.warm_up import load_captioner
from perceptiondlm_ros.ros.ending import run_node
from perceptiondlm_ros.ros.region_captioner import RegionCaptioner
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.ros.threads import Mailbox

_CAPTION = "a large red striped ball to the left of a small blue cube"


def slow_captioner(seconds: float) -> Any:
    """Takes so long for a pass and leaves the processor to others meanwhile, as a GPU does."""

    def describe(_: NDArray[np.uint8], regions: Sequence[Any], *__: Any, **___: Any) -> Any:
        time.sleep(seconds)
        return [Caption(_CAPTION, 0.9, [], False) for _ in regions]

    return SimpleNamespace(
        name="slow",
        description="nothing",
        describe=describe,
        check_prompt=lambda prompt: None,
        close=lambda: None,
    )


Record = Callable[..., None]
"""Writes what happened: see `load_report.TimedEvent`, whose time is that of the call."""


def write_events(path: Path) -> Record:
    """Write each event to a file as it happens: kept in memory it would look like a leak of the
    node. From any thread, as each line is one call of the system."""
    file = path.open("wb", buffering=0)

    def record(event: str, stamp_ns: int = 0, name: str = "", seconds: float = 0.0) -> None:
        fields = [event, time.time_ns(), stamp_ns, name, seconds]
        file.write(json.dumps(fields).encode() + b"\n")

    return record


class MeasuredNode(RegionCaptioner):
    """The node itself; whatever it creates is timed. seconds: None takes a real model."""

    def __init__(self, seconds: float | None, record: Record) -> None:
        self._record = record
        self._seconds = seconds
        super().__init__(load=self._load_timed)

    def _load_timed(self, settings: Settings) -> Any:
        seconds = self._seconds
        captioner: Any = load_captioner(settings) if seconds is None else slow_captioner(seconds)
        describe = captioner.describe

        def timed(image: NDArray[np.uint8], *args: Any, **options: Any) -> Any:
            stamp = stamp_in(image)
            if not stamp:  # it is the warm-up
                return describe(image, *args, **options)
            self._record("started", stamp)
            captions = describe(image, *args, **options)
            self._record("ready", stamp)
            return captions

        captioner.describe = timed
        return captioner

    def create_subscription(  # type: ignore[override]
        self, kind: Any, topic: str, callback: Any, *args: Any, **options: Any
    ) -> Any:
        """As the node's, timed."""
        timed = self._timed(topic, callback)
        return super().create_subscription(kind, topic, timed, *args, **options)

    def create_timer(  # type: ignore[override]
        self, period: float, callback: Any, *args: Any, **options: Any
    ) -> Any:
        """As the node's, timed."""
        return super().create_timer(period, self._timed("timer", callback), *args, **options)

    def create_lifecycle_publisher(  # type: ignore[override]
        self, kind: Any, topic: str, *args: Any, **options: Any
    ) -> Any:
        """As the node's; that of descriptions is watched."""
        publisher = super().create_lifecycle_publisher(kind, topic, *args, **options)
        publish = publisher.publish

        def watched(message: Any) -> None:
            publish(message)
            self._record("published", nanoseconds(message.header.stamp))

        if topic.endswith("descriptions"):
            publisher.publish = watched  # type: ignore[method-assign]
        return publisher

    def _timed(self, name: str, callback: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(callback)  # rclpy looks at its arguments
        def timed(*args: Any) -> None:
            started = time.perf_counter()
            callback(*args)
            took = time.perf_counter() - started
            self._record("callback", 0, name, took)

        return timed


def time_handing_over(record: Record) -> None:
    """Put a stopwatch at the queue of the thread with the model, in this process only."""
    put = Mailbox.put

    def timed(self: Mailbox[Any], item: Any) -> Any:
        if isinstance(item, CaptionJob):
            stamp = nanoseconds(item.frame.matched.image.header.stamp)
            record("handed", stamp)
        return put(self, item)

    Mailbox.put = timed  # type: ignore[method-assign]


def main(arguments: list[str] | None = None) -> int:
    """Run the node until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pass-seconds", type=float)
    parser.add_argument("--records", type=Path, required=True)
    options, ros = parser.parse_known_args(arguments)
    record = write_events(options.records)
    time_handing_over(record)
    return run_node(
        lambda: MeasuredNode(options.pass_seconds, record),
        ros,
        begin=MeasuredNode.autostart,
        end=MeasuredNode.close,
    )


if __name__ == "__main__":
    sys.exit(main())
