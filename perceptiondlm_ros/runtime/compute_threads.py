"""How many threads compute a model on a CPU, and how they wait for each other."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

_GROUPS = Path("/proc/self/cgroup")
_GROUP_FILES = Path("/sys/fs/cgroup")


def thread_count(asked: int = 0) -> int:
    """The number asked for; for 0, one for each core that this process may use.

    That is what its affinity and the quota of its control groups grant, a part of a core not
    counted, and no more than OMP_NUM_THREADS.
    """
    if asked:
        return asked
    limit = os.environ.get("OMP_NUM_THREADS", "")
    limits = [len(os.sched_getaffinity(0)), *_quotas()]
    limits += [int(limit)] if limit.isdecimal() and int(limit) else []
    return max(1, int(min(limits)))


def sleep_while_waiting() -> None:
    """Let the threads of OpenMP, with which torch computes, sleep while they wait for each other.

    For a process of our own, before it imports torch: OpenMP reads its environment as it is loaded.
    By default they wait in a loop, at every layer, which keeps the one that they wait for from its
    core where another process computes: on two cores beside one, a call took 3 to 13 times as long
    (torch 2.13), and asleep 1 to 1.5 times.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


class ComputeThread:
    """A thread in which one call after the other is made, until nobody refers to it any more.

    Unlike one of concurrent.futures it is a daemon: a call that hangs can't keep a process alive
    that was told to end.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=_make_calls, args=(self._calls,), name=name, daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    def call(self, act: Callable[[], Result]) -> Result:
        """What `act` returns or raises, called in the thread."""
        result: Future[Result] = Future()
        self._calls.put((act, result))
        return result.result()


def _make_calls(calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while _make_call(calls.get()):
        pass  # and nothing of the call is kept here while there is no other


def _make_call(call: tuple[Callable[[], Any], Future[Any]] | None) -> bool:
    if call is None:
        return False
    act, result = call
    try:
        result.set_result(act())
    except BaseException as error:  # noqa: BLE001  (raised where it was called)
        result.set_exception(error)
    return True


def _quotas() -> list[float]:
    """Cores that each control group of this process grants, where it has a limit."""
    quotas = []
    for line in _GROUPS.read_text().splitlines() if _GROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = _GROUP_FILES / "cpu" if controllers else _GROUP_FILES
        group = mounted / path.lstrip("/")
        # In a container, the path may be the host's, and its own group is what is mounted.
        while group.is_relative_to(mounted):
            quotas += _quota(group)
            group = group.parent
    return quotas


def _quota(group: Path) -> list[float]:
    """The limit of one control group, of version 2 or 1."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{n}_us").read_text() for n in ("quota", "period"))
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (OSError, ValueError):  # no such file, or "max"
        return []
