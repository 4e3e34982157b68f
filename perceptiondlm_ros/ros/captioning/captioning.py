"""The threads that turn frames into descriptions.

One looks at every frame, and publishes at once what is known of its regions by now. Where something
is to be captioned, it hands the frame to the other thread, which has the model: what is known is
never held back by a pass that runs. Made anew at each `configure`, so that a pass that outlives its
model's cleanup shares nothing with the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.captioning.loading import Describes
from perceptiondlm_ros.ros.captioning.observing import Observation, Observer, compose
from perceptiondlm_ros.ros.captioning.reuse import Plan, Reuse
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.mailbox import Desk, Mailbox
from perceptiondlm_ros.ros.outputs.outputs import Outputs
from perceptiondlm_ros.ros.outputs.results import Result
from perceptiondlm_ros.ros.worker import Worker

if TYPE_CHECKING:
    from rclpy.node import Node

    from perceptiondlm_ros.captioner import Caption

_MOST_REQUESTS = 8  # that may wait; more are refused at once
_TOO_MANY = "the requests that came meanwhile fill the queue, or the node ends; ask again"


@dataclass(frozen=True)
class Pending:
    """A frame with regions to caption.

    fate: the counter of what became of it, should it get no pass from now on; empty: it is lost.
    reused: captions of earlier frames in what was published of it so far.
    """

    observation: Observation
    fate: str = ""
    reused: int = 0


class Request(Protocol):
    """Something else that needs the model. It must not raise."""

    def serve(self, captioner: Describes) -> bool:
        """Take a turn; False if another one is needed."""
        ...

    def refuse(self, reason: str) -> None:
        """No (further) turn will come."""
        ...


class Captioning:
    """Captions the frames that are put into `mailbox`, and publishes them, until stopped.

    desk: where the thread with the model takes its work from, requests included.
    """

    def __init__(
        self, node: Node, captioner: Describes, outputs: Outputs, monitor: Monitor
    ) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox()
        self.desk: Desk[Pending, Request] = Desk(_MOST_REQUESTS)
        self._node = node
        self._captioner = captioner
        self._outputs = outputs
        self._monitor = monitor
        self._reuse = Reuse()
        self._observer = Observer(node, self._reuse, monitor, self._begin_anew)
        self._looking = Worker(self.mailbox, self._look, self._report, _nothing, name="looking")
        self._passing: Worker[Pending | Request] = Worker(
            self.desk, self._work, self._report, captioner.close
        )

    def check_prompt(self, prompt: str) -> None:
        """Raise InputError for a prompt that the model can't take."""
        if prompt:
            self._captioner.check_prompt(prompt)

    def withdraw_frame(self) -> None:
        """Forget the frame that waits for the model: its stream ends."""
        self._end(self.desk.exchange(None), "withdrawn")

    def refuse_requests(self, reason: str) -> None:
        """Answer the requests that wait."""
        for request in self.desk.withdraw():
            request.refuse(reason)

    def stop(self, timeout: float) -> bool:
        """End the threads, the model is freed when its last pass is over; see `Worker.stop`."""
        self.desk.close()
        self.refuse_requests("the model is being unloaded; configure and activate the node")
        self._looking.stop(0)
        ended = self._passing.stop(timeout)
        self.withdraw_frame()
        return ended

    # ---- the thread that looks ----

    def _look(self, frame: Frame) -> None:
        observation = self._observer.observe(frame)
        if observation is None:
            self._monitor.count(frames_late=1)
            return
        plan = self._reuse.plan(observation.scene)
        if observation.error or not plan.wanted:
            self._publish(self._compose(observation, plan, {}), "frames_reused")
            return
        pending = Pending(observation)
        if plan.held:
            known = self._compose(observation, plan, {})
            if self._outputs.publish(known):
                pending = Pending(observation, "frames_reused", _reused(known))
        self._end(self.desk.exchange(pending))

    def _begin_anew(self, sequence: int) -> None:
        """The clock was set back: nothing that came before this frame is to be seen any more."""
        self._end(self.desk.exchange(None))
        self._outputs.clear(sequence)

    def _end(self, pending: Pending | None, loss: str = "frames_skipped") -> None:
        """Count what became of a frame that gets no further pass."""
        if pending is not None:
            self._monitor.count(**{pending.fate or loss: 1}, regions_reused=pending.reused)

    # ---- the thread that has the model ----

    def _work(self, item: Pending | Request) -> None:
        if isinstance(item, Pending):
            self._caption(item)
        elif not item.serve(self._captioner) and not self.desk.ask(item):
            item.refuse(_TOO_MANY)

    def _caption(self, pending: Pending) -> None:
        observation = pending.observation
        if observation.frame.activation != self._outputs.activation:
            self._end(pending, "frames_discarded")
            return
        # The pass before may have captioned some of these regions on an earlier frame.
        plan = self._reuse.plan(observation.scene)
        captions, error = self._describe(observation, plan) if plan.wanted else ({}, "")
        self._reuse.keep(observation.scene, captions.items())
        self._monitor.count(regions_captioned=len(captions))
        fate = "frames_captioned" if captions else pending.fate or "frames_reused"
        left = bool(plan.waiting and captions)
        result = self._compose(observation, self._reuse.plan(observation.scene), captions, error)
        if left and self.desk.put_back(replace(pending, fate=fate, reused=_reused(result))):
            self._outputs.publish(result)
        else:
            self._publish(result, fate)

    def _describe(self, observation: Observation, plan: Plan) -> tuple[dict[int, Caption], str]:
        """Captions of the wanted regions, by place; none, and why, where the pass failed."""
        assert observation.pixels is not None  # else nothing is wanted
        shapes = [observation.regions[place].shape for place in plan.wanted]
        try:
            with self._monitor.status.passing():
                captions = self._captioner.describe(
                    observation.pixels,
                    shapes,
                    observation.prompt or None,
                    **self._drafting(observation, plan),
                )
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            line = f"captioning failed: {type(error).__name__}: {error}"
            self._monitor.failed("inference", line)
            self._monitor.count_dropped({"in a failed pass": len(plan.wanted)})
            return {}, line
        return dict(zip(plan.wanted, captions, strict=True)), ""

    def _drafting(self, observation: Observation, plan: Plan) -> dict[str, Any]:
        """The arguments of `describe` that ask for drafts; none where none are wanted."""
        steps = parameters.read(self._node, "draft_steps", int)
        if not steps:
            return {}
        return {
            "draft_steps": steps,
            "on_draft": lambda drafts: self._publish_drafts(
                observation, {plan.wanted[index]: draft for index, draft in drafts.items()}
            ),
        }

    def _publish_drafts(self, observation: Observation, drafts: Mapping[int, Caption]) -> None:
        """Publish an early look at regions that have no caption yet, while the pass goes on."""
        self._monitor.status.drafted()
        self._reuse.keep_drafts(observation.scene, drafts.items())
        known = self._reuse.plan(observation.scene)
        self._outputs.publish(self._compose(observation, known, drafts, draft=True))

    # ---- both ----

    def _publish(self, result: Result, fate: str) -> None:
        """Publish a frame for the last time, and count what became of it."""
        self._outputs.publish(result)
        if result.activation != self._outputs.activation:
            self._monitor.count(frames_discarded=1)
            return
        fate = "frames_failed" if result.error else fate
        self._monitor.count(**{fate: 1}, regions_reused=_reused(result))

    def _compose(
        self,
        observation: Observation,
        plan: Plan,
        captions: Mapping[int, Caption],
        error: str = "",
        draft: bool = False,
    ) -> Result:
        name = self._captioner.name
        return compose(observation, name, captions, plan.held, error=error, draft=draft)

    def _report(self, error: Exception) -> None:
        line = f"{type(error).__name__}: {error}"
        self._monitor.status.failed(line)
        self._monitor.failed("worker", f"worker failed: {line}")


def _reused(result: Result) -> int:
    """How many of its captions are of earlier frames."""
    return sum(region.source == RegionDescription.REUSED for region in result.message.regions)


def _nothing() -> None:
    pass
