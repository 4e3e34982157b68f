"""The one-slot mailbox and the worker that empties it."""

import threading

from patience import PATIENCE

from perceptiondlm_ros.ros.threads import Mailbox, WorkerThread


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
