"""Everything that the node publishes of a frame, each kind by an output of its own.

Outputs only make messages; when and whether these go out is decided here. Prompt outputs are made
in the thread that has the captions. Drawn ones take longer, so a thread of their own makes them, of
the newest result only: a viewer never holds back the descriptions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from builtin_interfaces.msg import Duration, Time
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile

from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.ros.health.faults import Fault
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.result import Result
from perceptiondlm_ros.ros.qos import PUBLISHER, fixed_policies
from perceptiondlm_ros.ros.threads import Mailbox, WorkerThread

Outgoing = tuple[Any, Any] | Fault
"""A publisher and a message for it, or what could not be shown."""


class Output:
    """One kind of message made from results. Made once with the node, opened at each activation.

    `wanted` and `render` run in one of the worker threads, `clear` in any thread, but never two of
    them at once for one output; `open` and `close` in the executor's.
    drawn: whether it is for people and takes longer than a prompt one; rendered for nobody it is
        not. publishers: those of a drawn output, by which it sees whether anybody looks.
    """

    drawn: ClassVar[bool] = False
    publishers: Sequence[Any] = ()

    def open(self) -> None:
        """The node was activated: subscribe to what else is needed."""

    def wanted(self) -> bool:
        """Whether it is to be rendered."""
        return not self.drawn or any(p.get_subscription_count() for p in self.publishers)

    def render(self, result: Result) -> Iterable[Outgoing]:
        """The messages of this result."""
        return ()

    def clear(self) -> Iterable[Outgoing]:
        """What has to go out before the stream ends, or when the clock was set back."""
        return ()

    def close(self) -> None:
        """The node was deactivated."""


class Outputs:
    """Renders and publishes results of the present activation, never one older than the last.

    activation: number of the present activation, 0 while there is none.
    now_ns: the node's clock, for latencies.
    alive: whether anything can be published; no longer in a process that was told to end, where
        failures mean nothing.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        monitor: Monitor,
        now_ns: Callable[[], int],
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.activation = 0
        self._activations = 0
        self._prompt = [output for output in outputs if not output.drawn]
        self._drawn = [output for output in outputs if output.drawn]
        self._monitor = monitor
        self._now_ns = now_ns
        self._alive = alive
        # Held while something goes out, so that nothing ends an activation in between.
        self._lock = threading.RLock()
        # Held while something is drawn, so that nothing is taken back meanwhile; before _lock.
        self._drawing_lock = threading.RLock()
        self._last = 0  # sequence of the last published frame
        self._first = 0  # sequence of the first frame that may be drawn
        self._to_draw: Mailbox[Result] = Mailbox()
        self._drawer: WorkerThread | None = None

    def open(self) -> int:
        """Begin an activation; its number."""
        for output in self._prompt + self._drawn:
            output.open()
        self._to_draw = Mailbox()
        self._drawer = WorkerThread(self._to_draw, self._draw, self._report)
        with self._lock:
            self._last = self._first = 0
            self._activations += 1
            self.activation = self._activations
        return self.activation

    def close(self) -> None:
        """End the activation: what is rendered from now on does not go out."""
        with self._drawing_lock, self._lock:
            if not self.activation:
                return
            self.clear()
            self.activation = 0
        if self._drawer:
            self._drawer.stop(0)
        for output in self._prompt + self._drawn:
            output.close()

    def clear(self, sequence: int = 0) -> None:
        """Take back what stands, such as markers: the stream ends or its clock was set back.

        sequence: the first frame after that; none before it is published any more.
        """
        with self._drawing_lock, self._lock:
            self._first = sequence
            self._last = max(self._last, sequence)
            for output in self._prompt + self._drawn:
                self._send(output, output.clear, self.activation)

    def publish(self, result: Result) -> bool:
        """False where its activation is over, or a newer frame was published already."""
        with self._lock:
            if result.activation != self.activation or result.sequence < self._last:
                return False
            self._last = result.sequence
            self._set_latency(result)
            for output in self._prompt:
                self._render(output, result)
        if any(self._wanted(output) for output in self._drawn):
            self._to_draw.put(result)
        return True

    def _set_latency(self, result: Result) -> None:
        header_stamp = result.message.header.stamp
        result.message.latency = latency(header_stamp, self._now_ns())
        elapsed = result.message.latency.sec + result.message.latency.nanosec / 1e9
        self._monitor.status.published(elapsed if nanoseconds(header_stamp) else None)

    def _draw(self, result: Result) -> None:
        with self._drawing_lock:
            if result.sequence >= self._first:
                for output in self._drawn:
                    self._render(output, result)

    def _render(self, output: Output, result: Result) -> None:
        if self._wanted(output):
            self._send(output, lambda: output.render(result), result.activation)

    def _wanted(self, output: Output) -> bool:
        try:
            return output.wanted()
        except Exception as error:  # noqa: BLE001  (told, and the next output is asked)
            self._report(error, type(output).__name__)
            return False

    def _send(
        self, output: Output, make: Callable[[], Iterable[Outgoing]], activation: int
    ) -> None:
        """One output that fails must not take the others along."""
        try:
            for outgoing in make():
                if isinstance(outgoing, Fault):
                    self._monitor.report(outgoing)
                    continue
                publisher, message = outgoing
                with self._lock:
                    if activation == self.activation:
                        publisher.publish(message)
        except Exception as error:  # noqa: BLE001  (told, and the next output is tried)
            self._report(error, type(output).__name__)

    def _report(self, error: Exception, name: str = "drawing") -> None:
        if self._alive():
            line = f"{name} failed: {type(error).__name__}: {error}"
            self._monitor.warn(f"output {name}", line)


def publisher(
    node: LifecycleNode, kind: type, topic: str, qos: QoSProfile
) -> LifecyclePublisher[Any]:
    """A publisher that is silent while the node is inactive, its QoS open to `qos_overrides`.

    Raises ValueError for an override that has an impossible value.
    """
    policies = fixed_policies(node, node.resolve_topic_name(topic), PUBLISHER, qos)
    return node.create_lifecycle_publisher(kind, topic, QoSProfile(**policies))


def latency(stamp: Time, now_ns: int) -> Duration:
    """From the stamp to now; zero for an unset stamp, which is no point in time."""
    elapsed = now_ns - nanoseconds(stamp) if nanoseconds(stamp) else 0
    sec, nanosec = divmod(elapsed, 1_000_000_000)
    limit = 2**31 - 1  # a stamp may be anything, the field is an int32
    return Duration(sec=min(max(sec, -limit), limit), nanosec=nanosec)
