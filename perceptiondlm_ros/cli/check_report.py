"""A preflight's report for people and for programs."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

from perceptiondlm_ros.preflight.devices import DEVICES, TargetDevice
from perceptiondlm_ros.preflight.findings import Finding, PreflightReport
from perceptiondlm_ros.preflight.memory import MemoryNeed
from perceptiondlm_ros.terminal import table
from perceptiondlm_ros.text import counted, gibibytes, one_line

_INDENT, _GAP = "  ", "  "
_NARROWEST = 24  # columns of text below which wrapping helps nobody
_MEMORY_HEADINGS = ("tiles", "positions", "weights", "cache", "activations", "together")


def write_json(report: PreflightReport, stream: TextIO) -> None:
    """One object, in ASCII, which every locale can print."""
    stream.write(json.dumps(report.as_json(), indent=1) + "\n")


def write_text(report: PreflightReport, stream: TextIO) -> None:
    """Findings by group, a table of the memory, and the verdict as the last line."""
    width = shutil.get_terminal_size(fallback=(0, 0)).columns
    lines = [*_heading(report), *_findings(report, width), "", _verdict(report)]
    stream.write("\n".join(line.rstrip() for line in lines) + "\n")


def write_devices(stream: TextIO) -> None:
    """The table of devices."""
    rows = [("name", "device", "memory", "compute", "precisions")]
    rows += [_device_row(device) for device in DEVICES]
    stream.write(table(rows, width=0))


def _device_row(device: TargetDevice) -> tuple[str, str, str, str, str]:
    compute = "" if device.compute is None else "{}.{}".format(*device.compute)
    precisions = ", ".join(device.precisions)
    return device.name, device.title, f"{device.memory >> 30} GiB", compute, precisions


def _heading(report: PreflightReport) -> Iterator[str]:
    device = report.device
    kind = "exported model" if report.kind == "exported" else "checkpoint"
    yield f"{kind:<15}{one_line(report.path)}"
    free = "free" if device.free is not None else "usable"
    compute = "" if device.compute is None else ", compute {}.{}".format(*device.compute)
    yield (
        f"{'device':<15}{one_line(device.title)}{compute}, {gibibytes(device.usable)} {free} of "
        f"{gibibytes(device.memory)}"
    )
    yield f"{'precision':<15}{report.precision}"


def _findings(report: PreflightReport, width: int) -> Iterator[str]:
    subjects = [len(one_line(finding.subject)) for finding in report.findings]
    column = max(subjects, default=0)
    for group, findings in groupby(report.findings, key=lambda finding: finding.group):
        yield ""
        yield group
        if group == "memory" and report.memory:
            yield from (_INDENT + line for line in _memory_table(report.memory).splitlines())
        for finding in findings:
            yield from _finding(finding, column, width)


def _finding(finding: Finding, column: int, width: int) -> Iterator[str]:
    """One or more lines: mark, subject, and the text beside them, wrapped."""
    start = f"{_INDENT}{finding.status:<4}{_GAP}{one_line(finding.subject):<{column}}{_GAP}"
    text = one_line(finding.text)
    room = max(width - len(start), _NARROWEST)
    wrapped = textwrap.wrap(text, room, break_on_hyphens=False) if width else [text]
    for index, line in enumerate(wrapped or [""]):
        yield (start if index == 0 else " " * len(start)) + line


def _memory_table(needs: Sequence[MemoryNeed]) -> str:
    rows: list[tuple[str, ...]] = [_MEMORY_HEADINGS]
    for need in needs:
        sizes = map(gibibytes, (need.weights, need.cache, need.activations, need.total))
        rows.append((str(need.tiles), str(need.positions), *sizes))
    return table(rows, width=0, numbers=range(len(_MEMORY_HEADINGS)))


def _verdict(report: PreflightReport) -> str:
    """The last line."""
    counts = [(report.count("fail"), "failure"), (report.count("warn"), "warning")]
    told = ", ".join(counted(count, noun) for count, noun in counts if count)
    where = one_line(report.device.title)
    if report.fits:
        return f"fits {where}{f', with {told}' if told else ''}"
    return f"would fail on {where}: {told}"
