"""The one-slot mailbox and the worker that empties it."""

import threading

import pytest
from patience import PATIENCE

from perceptiondlm_ros.ros.threads import Mailbox, WorkerThread


def test_newest_wins_and_the_replaced_is_told() -> None:
    box: Mailbox[int] = Mailbox()
    assert [box.put(1), box.put(2), box.put(3)] == [None, 1, 2]
    assert box.take(0) == 3
    assert box.take(0) is None


@pytest.mark.parametrize("leave", ["put", "ask"])
def test_take_waits_for_what_comes_from_another_thread(leave: str) -> None:
    box: Mailbox[int] = Mailbox(most_requests=1)
    thread = threading.Timer(0.02, getattr(box, leave), [5])
    thread.start()
    assert box.take(PATIENCE) == 5


def test_wake_ends_one_take_and_leaves_the_box_usable() -> None:
    box: Mailbox[int] = Mailbox()
    box.wake()
    assert box.take(PATIENCE) is None
    box.put(1)
    assert box.take(PATIENCE) == 1


def test_an_exception_ends_one_item_only_and_the_end_comes_after_the_item_in_work() -> None:
    box: Mailbox[int] = Mailbox()
    gate, started = threading.Event(), threading.Event()
    told: list[str] = []

    def handle(item: int) -> None:
        started.set()
        if item == 2:
            gate.wait(PATIENCE)
        raise ValueError(f"bad frame {item}")

    def finish() -> None:
        told.append("finished")
        raise ValueError("bad end")

    worker = WorkerThread(box, handle, lambda error: told.append(str(error)), finish)
    for item in (1, 2):
        started.clear()
        box.put(item)
        assert started.wait(PATIENCE)
    assert not worker.stop(0.01)
    assert told == ["bad frame 1"]
    gate.set()
    assert worker.stop(PATIENCE)
    assert told == ["bad frame 1", "bad frame 2", "finished", "bad end"]


def test_items_and_requests_are_taken_in_turn() -> None:
    box: Mailbox[str] = Mailbox(most_requests=3)
    assert [box.ask(n) for n in range(4)] == [True, True, True, False]
    taken = []
    for n in range(6):
        box.put(f"item {n}")
        taken.append(box.take(0))
    assert taken == [0, "item 1", 1, "item 3", 2, "item 5"]
    assert box.take(0) is None


def test_a_closed_box_takes_no_more_requests_and_gives_back_those_that_wait() -> None:
    box: Mailbox[str] = Mailbox(most_requests=3)
    assert box.ask(1)
    box.close()
    assert not box.ask(2)
    assert box.withdraw_requests() == [1]
    assert box.withdraw_requests() == []


def test_an_item_is_put_back_only_where_no_newer_one_is() -> None:
    box: Mailbox[int] = Mailbox()
    assert box.put_back(1)
    assert not box.put_back(2)
    assert box.put(3) == 1
    assert box.put(None) == 3
    assert box.put(None) is None
