"""What people read of a benchmark."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perceptiondlm_ros.development.benchmark.benchmark_report import (
    Results,
    Subject,
    memory_rows,
    report_text,
    short_number,
    time_rows,
    write_report,
)
from perceptiondlm_ros.development.benchmark.measuring_process import TimedCall
from perceptiondlm_ros.development.benchmark.scenario import Scenario
from perceptiondlm_ros.development.benchmark.stage_times import STAGES


def measured(total: float, digest: str = "0a", groups: int = 1) -> TimedCall:
    times = {**dict.fromkeys(STAGES, total / 8), "total": total}
    return TimedCall(times, positions=593, groups=groups, tokens=64, digest=digest, memory={})


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
        if not subject.failure:
            subject.description, subject.memory = f"{backend} on cpu", {"host": 10**9}
            for scenario in (Scenario(1, 1), Scenario(7, 6), Scenario(1, 6)):
                times = [total * scenario.regions for total in (80.0, 200.0, 120.0)]
                subject.calls[scenario] = [measured(total) for total in times]
    return found


def test_rows_hold_medians_and_extremes() -> None:
    header, *rows = time_rows(results())
    assert len(rows) == 6
    first = dict(zip(header, rows[0], strict=True))
    assert (first["backend"], first["tiles"], first["regions"]) == ("torch", "1", "1")
    assert (first["total"], first["min-max"], first["step"]) == ("120", "80.0-200", "15.0")
    assert (first["captions"], first["positions"]) == ("0a", "593")


def test_captions_that_changed_and_several_groups_are_seen() -> None:
    found = results()
    found.subjects[0].calls[Scenario(1, 1)].append(measured(100.0, "ff", groups=2))
    row = time_rows(found)[1]
    assert row[-1] == "0a ff" and "2 x 593" in row


def test_what_failed_is_told_and_the_others_stay() -> None:
    found = results(onnx="the device ran out of memory")
    assert [row[0] for row in time_rows(found)[1:]] == ["torch"] * 3
    _, torch, onnx = memory_rows(found)
    assert torch[-3:] == ["1.00", "-", "torch on cpu"]
    assert onnx[2:] == ["-", "-", "-", "the device ran out of memory"]
    assert "the device ran out of memory" in report_text(found)


def test_a_report_names_machine_versions_and_date_and_aligns_its_columns() -> None:
    text = report_text(results())
    for word in (
        "A processor, 2 cores, A card",
        "torch 2.13",
        "2026-11-25",
        "8 denoising steps",
        "median of 3",
    ):
        assert word in text
    header = next(line for line in text.splitlines() if "positions" in line)
    ends = {line.index(" 593") + 4 for line in text.splitlines() if " 593" in line}
    assert ends == {header.index("positions") + len("positions")}


@given(st.floats(0.001, 1e6))
def test_numbers_are_short_and_near(value: float) -> None:
    text = short_number(value)
    assert len(text) <= 7 and "e" not in text
    assert float(text) == pytest.approx(value, rel=0.006, abs=0.006)


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    found = results(onnx="no memory | none `at` all")
    files = write_report(found, tmp_path)
    assert [file.name for file in files] == ["results.json", "results.md", "time.png"]
    kept = json.loads(files[0].read_text())
    assert kept["format_version"] == 1
    assert kept["subjects"][1]["failure"] == found.subjects[1].failure
    assert [series["scenario"] for series in kept["series"]] == [
        {"tiles": 1, "regions": 1},
        {"tiles": 1, "regions": 6},
        {"tiles": 7, "regions": 6},
    ]
    assert kept["series"][0]["milliseconds"]["total"] == [80.0, 200.0, 120.0]
    table = [line for line in files[1].read_text().splitlines() if line.startswith("|")]
    assert "| backend | cache |" in table[0] and table[1].startswith("| --- | --- | ---: |")
    assert [line.replace("\\|", "").count("|") for line in table] == [13] * 5 + [7] * 4
    with Image.open(files[2]) as picture:
        assert picture.width > picture.height > 400
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24) or ()) > 10


def test_nothing_is_plotted_where_all_failed(tmp_path: Path) -> None:
    files = write_report(results(torch="no memory", onnx="no memory"), tmp_path)
    assert [file.name for file in files] == ["results.json", "results.md"]
