"""The threads that turn frames into descriptions.

One looks at every frame, and publishes at once what is known of its regions by now. Where something
is to be captioned, it hands the frame to the other thread, which has the model: what is known is
never held back by a pass that runs. Made anew at each `configure`, so that a pass that outlives its
model's cleanup shares nothing with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perceptiondlm_ros.ros.frames import Describes, Frame, Result
from perceptiondlm_ros.ros.mailbox import Desk, Mailbox
from perceptiondlm_ros.ros.monitor import Monitor
from perceptiondlm_ros.ros.observing import Observation, Observer, compose
from perceptiondlm_ros.ros.outputs import Outputs
from perceptiondlm_ros.ros.reuse import Plan, Reuse
from perceptiondlm_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.node import Node

    from perceptiondlm_ros.captioner import Caption

_MOST_REQUESTS = 8  # that may wait; more are refused at once


@dataclass(frozen=True)
class Pending:
    """A frame with regions to caption. published: whether what was known of it went out."""

    observation: Observation
    published: bool


Request = Callable[[Describes], None]
"""Something that needs the model once."""


class Captioning:
    """Captions the frames that are put into `mailbox`, and publishes them, until stopped.

    desk: where the thread with the model takes its work from, requests included.
    """

    def __init__(
        self, node: Node, captioner: Describes, outputs: Outputs, monitor: Monitor
    ) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox()
        self.desk: Desk[Pending, Request] = Desk(_MOST_REQUESTS)
        self._captioner = captioner
        self._outputs = outputs
        self._monitor = monitor
        self._reuse = Reuse()
        self._observer = Observer(node, self._reuse, monitor)
        self._looking = Worker(self.mailbox, self._look, self._report, _nothing, name="looking")
        self._passing = Worker(self.desk, self._work, self._report, captioner.close)

    def withdraw(self) -> None:
        """Forget the frame that waits for the model: the stream ends."""
        self._end_unpublished(self.desk.exchange(None), "withdrawn")

    def stop(self, timeout: float) -> bool:
        """End the threads, the model is freed when its last pass is over; see `Worker.stop`."""
        self._looking.stop(0)
        return self._passing.stop(timeout)

    # ---- the thread that looks ----

    def _look(self, frame: Frame) -> None:
        observation = self._observer.observe(frame)
        if observation is None:
            self._monitor.count(frames_late=1)
            return
        self._tell_dropped(observation)
        plan = self._reuse.plan(observation.scene)
        if observation.error or not plan.wanted:
            self._publish(compose(observation, self._captioner.name, {}, plan.held))
            return
        published = bool(plan.held) and self._publish_known(observation, plan)
        replaced = self.desk.exchange(Pending(observation, published))
        self._end_unpublished(replaced, "replaced")

    def _publish_known(self, observation: Observation, plan: Plan) -> bool:
        """Publish what needs no pass; the frame is counted later, by what becomes of it."""
        result = compose(observation, self._captioner.name, {}, plan.held)
        reused = len(result.message.regions)
        published = self._outputs.publish(result)
        self._monitor.count(regions_reused=reused if published else 0)
        return published

    def _end_unpublished(self, pending: Pending | None, fate: str) -> None:
        """Count a frame that gets no pass; one whose known captions were published is not lost."""
        if pending is not None:
            self._monitor.count(**{"frames_reused" if pending.published else fate: 1})

    def _tell_dropped(self, observation: Observation) -> None:
        if observation.dropped:
            self._monitor.count_dropped(observation.dropped)
            total = len(observation.frame.detections.detections)
            reasons = ", ".join(f"{n} {reason}" for reason, n in observation.dropped.items())
            self._monitor.warn(
                "regions", f"{observation.dropped.total()} of {total} detections dropped: {reasons}"
            )

    # ---- the thread that has the model ----

    def _work(self, item: Pending | Request) -> None:
        if isinstance(item, Pending):
            self._caption(item)
        else:
            item(self._captioner)

    def _caption(self, pending: Pending) -> None:
        observation = pending.observation
        if observation.frame.activation != self._outputs.activation:
            self._monitor.count(frames_discarded=1)
            return
        # The pass before may have captioned some of these regions on an earlier frame.
        plan = self._reuse.plan(observation.scene)
        captions, error = self._describe(observation, plan) if plan.wanted else ({}, "")
        self._reuse.keep(observation.scene, captions.items())
        if error:
            self._monitor.count_dropped({"in a failed pass": len(plan.wanted)})
        plan = self._reuse.plan(observation.scene)
        if not error or not pending.published:
            name = self._captioner.name
            result = compose(observation, name, captions, plan.held, error=error)
            self._publish(result, fresh=len(captions), known=pending.published)

    def _describe(self, observation: Observation, plan: Plan) -> tuple[dict[int, Caption], str]:
        """Captions of the wanted regions, by place; none, and why, where the pass failed."""
        assert observation.pixels is not None  # else nothing is wanted
        shapes = [observation.regions[place].box for place in plan.wanted]
        try:
            with self._monitor.status.passing():
                captions = self._captioner.describe(
                    observation.pixels, shapes, observation.prompt or None
                )
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            line = f"captioning failed: {type(error).__name__}: {error}"
            self._monitor.failed("inference", line)
            return {}, line
        return dict(zip(plan.wanted, captions, strict=True)), ""

    # ---- both ----

    def _publish(self, result: Result, fresh: int = 0, known: bool = False) -> None:
        pass

    def _report(self, error: Exception) -> None:
        line = f"{type(error).__name__}: {error}"
        self._monitor.status.failed(line)
        self._monitor.failed("worker", f"worker failed: {line}")


def _nothing() -> None:
    pass
