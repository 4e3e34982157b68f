"""The threads that turn frames into descriptions.

One prepares every frame, and publishes at once what is known of its regions by now. Where something
is to be captioned, it hands the frame to the other thread, which has the model: what is known is
never held back by a pass that runs. Made anew at each `configure`, so that a pass that outlives its
model's cleanup shares nothing with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.captioning.prepared_frame import FramePreparer, Order, PreparedFrame
from perceptiondlm_ros.ros.captioning.reuse import Plan, Reuse
from perceptiondlm_ros.ros.health.faults import failed_pass, failed_worker
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.inputs.frames import Frame
from perceptiondlm_ros.ros.outputs.outputs import Outputs
from perceptiondlm_ros.ros.outputs.result import Result
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.ros.threads import Mailbox, WorkerThread

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Caption, Captioner

_MOST_REQUESTS = 8  # that may wait; more are refused at once
_TOO_MANY = "the requests that came meanwhile fill the queue, or the node ends; ask again"


@dataclass(frozen=True)
class CaptionJob:
    """A frame with regions to caption.

    counter: that of what became of it, should it get no pass from now on; empty: it is lost.
    reused: captions of earlier frames in what was published of it so far.
    """

    frame: PreparedFrame
    counter: str = ""
    reused: int = 0


class Request(Protocol):
    """Something else that needs the model. It must not raise."""

    def serve(self, captioner: Captioner) -> bool:
        """Take a turn; False if another one is needed."""
        ...

    def refuse(self, reason: str) -> None:
        """No (further) turn will come."""
        ...


class Captioning:
    """Captions the frames that are put into `mailbox`, and publishes them, until stopped.

    queue: where the thread with the model takes its work from, requests included.
    settings: gives the present ones, which then hold for a frame to its end.
    """

    def __init__(
        self,
        captioner: Captioner,
        outputs: Outputs,
        monitor: Monitor,
        settings: Callable[[], Settings],
    ) -> None:
        self.mailbox: Mailbox[Frame] = Mailbox()
        self.queue: Mailbox[CaptionJob] = Mailbox(_MOST_REQUESTS)
        self._captioner = captioner
        self._outputs = outputs
        self._monitor = monitor
        self._settings = settings
        self._reuse = Reuse()
        self._preparer = FramePreparer(self._reuse, monitor)
        self._preparing = WorkerThread(self.mailbox, self._prepare, self._report, name="preparing")
        self._captioning = WorkerThread(self.queue, self._work, self._report, captioner.close)

    def check_prompt(self, prompt: str) -> None:
        """Raise InputError for a prompt that the model can't take."""
        if prompt:
            self._captioner.check_prompt(prompt)

    def withdraw_frame(self) -> None:
        """Forget the frame that waits for the model: its stream ends."""
        self._count_unserved(self.queue.put(None), "withdrawn")

    def refuse_requests(self, reason: str) -> None:
        """Answer the requests that wait."""
        for request in self.queue.withdraw_requests():
            request.refuse(reason)

    def stop(self, timeout: float) -> bool:
        """End the threads; the model is freed when its last pass is over."""
        self.queue.close()
        self.refuse_requests("the model is being unloaded; configure and activate the node")
        self._preparing.stop(0)
        ended = self._captioning.stop(timeout)
        self.withdraw_frame()
        return ended

    # ---- the thread that prepares frames ----

    def _prepare(self, taken: Frame) -> None:
        order = self._preparer.follow(taken)
        if order is Order.LATE:
            self._monitor.count(frames_late=1)
            return
        if order is Order.CLOCK_SET_BACK:  # what waits or is shown ends before work begins
            self._count_unserved(self.queue.put(None))
            self._outputs.clear(self._preparer.sequence)
        frame = self._preparer.prepare(taken, self._settings())
        plan = self._reuse.plan(frame.tracked)
        known = frame.result(self._captioner.name, plan.kept, {})
        if frame.error or not plan.wanted:
            self._publish_last(known, "frames_reused")
            return
        job = CaptionJob(frame)
        if plan.kept and self._outputs.publish(known):
            job = CaptionJob(frame, "frames_reused", _reused(known))
        self._count_unserved(self.queue.put(job))

    def _count_unserved(self, job: CaptionJob | None, loss: str = "frames_skipped") -> None:
        """Count what became of a frame that gets no further pass."""
        if job is not None:
            self._monitor.count(**{job.counter or loss: 1}, regions_reused=job.reused)

    # ---- the thread that has the model ----

    def _work(self, item: CaptionJob | Request) -> None:
        if isinstance(item, CaptionJob):
            self._caption(item)
        elif not item.serve(self._captioner) and not self.queue.ask(item):
            item.refuse(_TOO_MANY)

    def _caption(self, job: CaptionJob) -> None:
        frame = job.frame
        if frame.matched.activation != self._outputs.activation:
            self._count_unserved(job, "frames_discarded")
            return
        # The pass before may have captioned some of these regions on an earlier frame.
        plan = self._reuse.plan(frame.tracked)
        captions, error = self._describe(frame, plan) if plan.wanted else ({}, "")
        self._reuse.keep(frame.tracked, captions.items())
        self._monitor.count(regions_captioned=len(captions))
        counter = "frames_captioned" if captions else job.counter or "frames_reused"
        kept = self._reuse.plan(frame.tracked).kept
        result = frame.result(self._captioner.name, kept, captions, error=error)
        again = CaptionJob(frame, counter, _reused(result))
        if plan.waiting and captions and self.queue.put_back(again):
            self._outputs.publish(result)
        else:
            self._publish_last(result, counter)

    def _describe(self, frame: PreparedFrame, plan: Plan) -> tuple[dict[int, Caption], str]:
        """Captions of the wanted regions, by place; none, and why, where the pass failed."""
        assert frame.pixels is not None  # else nothing is wanted
        drafts: dict[str, Any] = {}
        if frame.settings.draft_steps:
            drafts = {
                "draft_steps": frame.settings.draft_steps,
                "on_draft": lambda made: self._publish_drafts(
                    frame, {plan.wanted[index]: draft for index, draft in made.items()}
                ),
            }
        try:
            with self._monitor.status.passing():
                captions = self._captioner.describe(
                    frame.pixels,
                    [frame.regions[place].shape for place in plan.wanted],
                    frame.settings.prompt or None,
                    **drafts,
                )
        except Exception as error:  # noqa: BLE001  (a backend may raise anything)
            fault = failed_pass(error, len(plan.wanted))
            self._monitor.report(fault)
            return {}, fault.line
        return dict(zip(plan.wanted, captions, strict=True)), ""

    def _publish_drafts(self, frame: PreparedFrame, drafts: Mapping[int, Caption]) -> None:
        """Publish what regions without a caption are likely to get, while the pass goes on."""
        self._monitor.status.drafted()
        self._reuse.keep_drafts(frame.tracked, drafts.items())
        kept = self._reuse.plan(frame.tracked).kept
        self._outputs.publish(frame.result(self._captioner.name, kept, drafts, draft=True))

    # ---- both ----

    def _publish_last(self, result: Result, counter: str) -> None:
        """Publish a frame for the last time, and count what became of it."""
        self._outputs.publish(result)
        if result.activation != self._outputs.activation:
            self._monitor.count(frames_discarded=1)
            return
        counter = "frames_failed" if result.error else counter
        self._monitor.count(**{counter: 1}, regions_reused=_reused(result))

    def _report(self, error: Exception) -> None:
        self._monitor.report(failed_worker(error))


def _reused(result: Result) -> int:
    """How many of its captions are of earlier frames."""
    return sum(region.source == RegionDescription.REUSED for region in result.message.regions)
