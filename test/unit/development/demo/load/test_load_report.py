"""What is read from the records of a load: each figure from a run whose course is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perceptiondlm_ros.development.demo.load.load_camera import stamp_in, write_stamp
from perceptiondlm_ros.development.demo.load.load_report import (
    Figure,
    TimedEvent,
    figure_table,
    figures,
    growth,
    measure,
    plot_load,
    read_events,
)
from perceptiondlm_ros.development.demo.load.measured_node import write_events

MS = 1_000_000
START = 1_700_000_000_000_000_000
RATE = 30.0


def run(
    wait_ms: int = 10, stale: int = 0, grow: float = 0.0, seconds: int = 60
) -> list[TimedEvent]:
    """A frame each 33 ms, matched after 5 ms; each eighth captioned, `stale` frames too old."""
    records = []
    for n in range(seconds * 30):
        stamp = START + n * 33 * MS
        records.append(TimedEvent("handed", stamp + 5 * MS, stamp))
        records.append(TimedEvent("callback", stamp + 5 * MS, 0, "/image", 0.0002))
        if n % 8 == 0 and n >= stale:
            old = stamp - stale * 33 * MS
            records.append(TimedEvent("started", stamp + (5 + wait_ms) * MS, old))
            records.append(TimedEvent("ready", stamp + (205 + wait_ms) * MS, old))
            records.append(TimedEvent("published", stamp + (206 + wait_ms) * MS, old))
    return records


def memory(seconds: int, share_a_minute: float) -> list[tuple[int, float]]:
    """Grows fast in the first minute, as any process, then by a share of itself a minute."""
    return [
        (START + s * 10**9, 200.0 + min(s, 60) + 260 * share_a_minute * max(s - 60, 0) / 60)
        for s in range(seconds)
    ]


def by_name(every: list[Figure]) -> dict[str, Figure]:
    return {figure.name.strip(): figure for figure in every}


def test_a_good_run_is_within_every_limit() -> None:
    measured = measure(run(), memory(60, 0.0))
    every = by_name(figures(measured, RATE))
    age = every["age of a frame when its captioning starts, p99"]
    assert age.value == pytest.approx(15.0, abs=0.1)
    assert age.limit == pytest.approx(5.0 + 1000 / RATE)
    assert every["newer frames that waited by then, most"].value == 0
    assert every["frames a second"].value == pytest.approx(1000 / 33, rel=0.05)
    assert every["captions ready to published, p95"].value == pytest.approx(1.0)
    assert every["callback /image, p99"].value == pytest.approx(0.2)
    assert sum(figure.limit is not None for figure in every.values()) == 4
    missed = [name for name, figure in every.items() if not figure.within]
    assert missed == ["growth of memory of a short run"], "the first minute grows by 30 %"


def test_what_is_too_old_is_missed_and_the_newer_frames_are_counted() -> None:
    every = by_name(figures(measure(run(wait_ms=3, stale=2), memory(60, 0.0)), RATE))
    age = every["age of a frame when its captioning starts, p99"]
    assert age.value == pytest.approx(74.0, abs=0.1) and not age.within
    assert every["newer frames that waited by then, most"].value == 2


@pytest.mark.parametrize(("share", "within"), [(0.0, True), (0.001, True), (0.004, False)])
def test_memory_is_judged_after_the_first_minute(share: float, within: bool) -> None:
    measured = measure(run(seconds=600), memory(600, share))
    figure = by_name(figures(measured, RATE))["growth of memory after the first minute"]
    assert figure.within is within
    assert figure.value == pytest.approx(100 * share * 8, abs=0.2)


def test_memory_that_was_hardly_looked_at_is_not_within_the_limit() -> None:
    assert np.isnan(growth(np.zeros((3, 2))))
    assert not Figure("growth", growth(np.zeros((3, 2))), "%", 2.0).within


def test_the_first_seconds_are_left_out() -> None:
    late = TimedEvent("callback", START + 10**9, 0, "/image", 9.0)
    measured = measure([*run(), late], memory(60, 0.0))
    assert measured.callbacks["/image"].max() < 1.0


def test_the_table_tells_what_is_missed() -> None:
    every = Figure("a", 1.0, "ms", 2.0), Figure("b", 3.0, "ms", 2.0), Figure("c", 1.0, "")
    _, *lines = figure_table(every).splitlines()
    assert [line.split() for line in lines] == [
        ["a", "1.00", "ms", "2.00", "✓"],
        ["b", "3.00", "ms", "2.00", "✗"],
        ["c", "1.00"],
    ]


def test_events_come_back_as_they_were_written_also_of_a_run_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    record = write_events(path)
    record("started", 5)
    record("callback", name="timer", seconds=0.5)
    first, second = read_events(path)
    assert first == ("started", first.time_ns, 5, "", 0.0) and first.time_ns > START
    assert second == ("callback", second.time_ns, 0, "timer", 0.5)
    path.write_text(path.read_text()[:-5])
    assert list(read_events(path)) == [first]


def test_a_stamp_can_be_read_from_the_pixels_and_from_others_it_is_none() -> None:
    image = np.full((4, 8, 3), 127, np.uint8)
    assert stamp_in(image) == 0
    write_stamp(image, START + 7)
    assert stamp_in(image) == START + 7
    assert stamp_in(np.asfortranarray(image)) == START + 7


@pytest.mark.parametrize("seconds", [30, 600])
def test_the_plot_is_a_picture(tmp_path: Path, seconds: int) -> None:
    plot_load(measure(run(seconds=seconds), memory(seconds, 0.001)), RATE, tmp_path / "load.png")
    with Image.open(tmp_path / "load.png") as picture:
        assert picture.size[0] > 1000 and picture.size[1] > 600
