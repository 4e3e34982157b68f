import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiondlm_ros.development.benchmark.report import (
    as_markdown,
    as_text,
    memory_table,
    number,
    report,
    table,
    write,
)
from perceptiondlm_ros.development.benchmark.results import Results, Series, Spread, Subject
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stopwatch import STAGES


def measured(total: float, digest: str = "0a") -> dict[str, object]:
    times = {**dict.fromkeys(STAGES, total / 8), "total": total}
    return {"milliseconds": times, "positions": 593, "groups": 1, "tokens": 64, "digest": digest}


def results(**failures: str) -> Results:
    found = Results(
        settings={
            "checkpoint": "random-small",
            "weights_bytes": 53_000_000,
            "steps": 8,
            "caption_tokens": 32,
            "repetitions": 3,
        },
        machine={"processor": "A processor", "cores": 2, "gpus": ["A card"]},
        versions={"python": "3.11", "torch": "2.13"},
        date="2026-11-25T04:00:00+00:00",
    )
    for backend in ("torch", "onnx"):
        subject = Subject(backend, "exact", failure=failures.get(backend, ""))
        found.subjects.append(subject)
        for scenario in (Scenario(1, 1), Scenario(1, 6), Scenario(7, 6)):
            series = Series(backend, "exact", scenario)
            found.series.append(series)
            if not subject.failure:
                subject.description, subject.memory = f"{backend} on cpu", {"host": 10**9}
                for total in (80.0, 200.0, 120.0):
                    series.add(measured(total * scenario.regions))
    return found


def test_rows_hold_medians_and_extremes() -> None:
    rows = [dict(zip(table(results())[0], row, strict=True)) for row in table(results())[1:]]
    assert len(rows) == 6
    first = rows[0]
    assert (first["backend"], first["tiles"], first["regions"]) == ("torch", "1", "1")
    assert (first["total"], first["min-max"], first["step"]) == ("120", "80.0-200", "15.0")
    assert first["captions"] == "0a"


def test_captions_that_changed_between_repetitions_are_seen() -> None:
    found = results()
    found.series[0].add(measured(100.0, "ff"))
    assert table(found)[1][-1] == "0a ff"


def test_several_groups_of_regions_are_told() -> None:
    found = results()
    found.series[0].add({**measured(100.0), "groups": 2})
    assert "2 x 593" in table(found)[1]


def test_what_failed_is_told_and_the_others_stay() -> None:
    found = results(onnx="the device ran out of memory")
    assert [row[0] for row in table(found)[1:]] == ["torch"] * 3
    memory = memory_table(found)
    assert memory[1][-3:] == ["1.00", "-", "torch on cpu"]
    assert memory[2][2:] == ["-", "-", "-", "the device ran out of memory"]
    assert "the device ran out of memory" in report(found, as_text)


def test_a_report_names_machine_versions_and_date() -> None:
    text = report(results(), as_text)
    for word in (
        "A processor, 2 cores, A card",
        "torch 2.13",
        "2026-11-25",
        "8 denoising steps",
        "median of 3",
    ):
        assert word in text


@given(st.floats(0.001, 1e6))
def test_numbers_are_short_and_near(value: float) -> None:
    text = number(value)
    assert len(text) <= 7 and "e" not in text
    assert float(text) == pytest.approx(value, rel=0.006, abs=0.006)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_median_lies_between_its_extremes(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.least <= spread.median <= spread.most


def test_columns_of_text_are_aligned() -> None:
    lines = as_text(table(results())).splitlines()
    ends = {line.index(cell) + len(cell) for line, cell in zip(lines[1:], ["593"] * 6, strict=True)}
    assert ends == {lines[0].index("positions") + len("positions")}


@given(st.lists(st.text("a|`-\\", max_size=5), min_size=2, max_size=2))
def test_markdown_keeps_its_columns_whatever_the_cells_hold(cells: list[str]) -> None:
    lines = as_markdown([["backend", "total"], cells]).splitlines()
    assert lines[1] == "| --- | ---: |"
    bars = lines[2].replace("\\|", "")
    assert bars.count("|") == 3


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    found = results(onnx="no memory")
    files = write(found, tmp_path)
    assert [file.name for file in files] == ["results.json", "results.md", "time.png"]
    kept = json.loads(files[0].read_text())
    assert kept["format_version"] == 1
    assert kept["subjects"][1]["failure"] == "no memory"
    assert [series["scenario"] for series in kept["series"]] == [
        {"tiles": 1, "regions": 1},
        {"tiles": 1, "regions": 6},
        {"tiles": 7, "regions": 6},
    ]
    assert kept["series"][0]["milliseconds"]["total"] == [80.0, 200.0, 120.0]
    with Image.open(files[2]) as picture:
        assert picture.width > picture.height > 400
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24) or ()) > 10


def test_nothing_is_plotted_where_all_failed(tmp_path: Path) -> None:
    files = write(results(torch="no memory", onnx="no memory"), tmp_path)
    assert [file.name for file in files] == ["results.json", "results.md"]
