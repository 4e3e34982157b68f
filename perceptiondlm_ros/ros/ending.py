"""How a process with a node runs until SIGINT or SIGTERM tells it to end, whenever that comes.

A signal breaks into nothing but what is marked as `interruptible`, and the ROS context stays valid
until the node is closed. rclpy's own handlers end the context at once, and then whatever callback
or constructor runs at that moment fails with one of many errors.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import rclpy
import rclpy.logging
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

Made = TypeVar("Made", bound=Node)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LOOK_S = 0.1
"""How often a node that waits for messages looks whether it was told to end: the system does not
break off its waiting."""


_ARGUMENTS_ADVICE = (
    "after --ros-args come -p NAME:=VALUE, --params-file FILE and the like; values are YAML: text "
    """that is empty or looks like something else needs quotes, -p NAME:="''\""""
)


class _Told:
    """What the signal handler, which runs between two steps of the main thread, leaves behind."""

    def __init__(self) -> None:
        self.to_end = False
        self.interruptible = False

    def on_signal(self, *_: object) -> None:
        self.to_end = True
        if self.interruptible:
            raise KeyboardInterrupt


_told = _Told()


@contextmanager
def interruptible() -> Iterator[None]:
    """Around what takes long in the main thread: a signal raises KeyboardInterrupt in it.

    KeyboardInterrupt is for `run_node`; nothing between may hold it up.
    """
    _told.interruptible = True
    try:
        yield
    finally:
        _told.interruptible = False


def leave_if_told() -> None:
    """Before something long begins: raise KeyboardInterrupt if a signal came already."""
    if _told.to_end:
        raise KeyboardInterrupt


def run_node(
    make: Callable[[], Made | None],
    arguments: list[str] | None = None,
    *,
    begin: Callable[[Made], object] = lambda node: None,
    end: Callable[[Made], object] = lambda node: None,
) -> int:
    """Initialise ROS, make a node, spin it until told to end, and destroy it. In the main thread.

    Args:
        make: the node; None if there can't be one, which it has told.
        arguments: of the command line; None: those of the process.
        begin: called with the node before it spins.
        end: called with the node before it is destroyed, however it ends.

    Returns:
        The exit status: 0 when told to end, by a signal or by a shutdown of the ROS context, 1 if
        there is no node, or if ROS can't read the arguments.

    Raises:
        Exception: whatever a callback, `begin` or `end` raises, unless the context has been shut
            down: then nearly everything fails, and that is the end.
    """
    for number in _SIGNALS:
        signal.signal(number, _told.on_signal)
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        rclpy.logging.get_logger("rclpy").fatal(f"can't start: {error}; {_ARGUMENTS_ADVICE}")
        return 1
    node: Made | None = None
    try:
        with _passing_over_the_end():
            node = make()
            if node is None:
                return 1
            _spin(node, begin)
    finally:
        with _passing_over_the_end():
            if node is not None:
                end(node)
        with _passing_over_the_end():
            if node is not None:
                node.destroy_node()
        rclpy.try_shutdown()
        # The interpreter takes a while to end, in which it gives up handlers of its own, and then
        # one more signal would decide the exit status.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return 0


def _spin(node: Made, begin: Callable[[Made], object]) -> None:
    leave_if_told()
    begin(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not _told.to_end and rclpy.ok():
        executor.spin_once(timeout_sec=_LOOK_S)


@contextmanager
def _passing_over_the_end() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():
            raise
