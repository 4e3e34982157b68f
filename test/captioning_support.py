"""Captioning with everything around it faked: what becomes of frames, without topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from log_support import Log
from ros_support import FakeCaptioner, detection, detections, image, settings, until_true
from vision_msgs.msg import Detection2D

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.captioning.captioning import Captioning
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.outputs.result import Result, ResultRegion

FRESH, REUSED = RegionDescription.FRESH, RegionDescription.REUSED
DRAFT = RegionDescription.DRAFT
SECOND = 1_000_000_000
TICK = SECOND // 10

CUP = detection(8, 8, 24, 24, "1", "cup")
SPOON = detection(8, 26, 24, 40, "3", "spoon")  # nearer to the cup than the bowl is
BOWL = detection(30, 8, 44, 24, "2", "bowl")


class FakeOutputs:
    """Takes results as Outputs does."""

    def __init__(self) -> None:
        self.activation = 1
        self.results: list[Result] = []
        self.cleared: list[int] = []
        self._last = 0

    def publish(self, result: Result) -> bool:
        if result.activation != self.activation or result.sequence < self._last:
            return False
        self._last = result.sequence
        self.results.append(result)
        return True

    def clear(self, sequence: int = 0) -> None:
        self.cleared.append(sequence)
        self._last = max(self._last, sequence)


class Harness:
    """Captioning with everything around it faked."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}  # of parameters
        self.captioner = FakeCaptioner()
        self.outputs: Any = FakeOutputs()
        log = Log()
        monitor = Monitor(log)
        self.counters, self.status, self.lines = monitor.counters, monitor.status, log.warnings
        self.captioning = Captioning(
            self.captioner, self.outputs, monitor, lambda: settings(self.values)
        )

    def put(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        self.captioning.mailbox.put(
            Frame(image(stamp, **options), detections(stamp, items), self.outputs.activation)
        )

    def finish(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> Result:
        """Put a frame and wait until nothing more will become of it; the last result."""
        before = self.ended
        self.put(stamp, items, **options)
        self.until(lambda: self.ended > before, f"the end of frame {stamp}")
        return self.outputs.results[-1]

    def hold(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        """Put a frame whose pass goes on until the gate is opened."""
        self.captioner.started.clear()
        self.captioner.gate.clear()
        self.put(stamp, items, **options)
        self.until(self.captioner.started.is_set, "a pass")

    def prepare(self, stamp: int, items: list[Detection2D] | None = None, **options: Any) -> None:
        """Put a frame and wait until it is prepared, while a pass runs."""
        queue = self.captioning.queue
        before, ended = queue._item, self.ended
        self.put(stamp, items, **options)
        self.until(
            lambda: queue._item is not before or self.ended > ended, "the frame to be prepared"
        )

    @property
    def ended(self) -> int:
        c = self.counters
        ended = c.frames_captioned + c.frames_reused + c.frames_failed + c.frames_discarded
        return ended + c.frames_late

    @staticmethod
    def until(happened: Callable[[], bool], what: str) -> None:
        until_true(happened, what)


def sources(result: Result) -> list[tuple[str, int]]:
    return [(region.id, region.source) for region in result.message.regions]


def waiting(result: Result) -> list[ResultRegion]:
    """The regions without a caption."""
    return [item for item in result.regions if item.description is None]
