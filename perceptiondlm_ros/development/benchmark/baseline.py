"""Two versions of the package side by side: an older commit, or another checkout, and this one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from perceptiondlm_ros.development.benchmark.benchmark_report import (
    BenchmarkPlan,
    Rows,
    short_number,
)
from perceptiondlm_ros.development.benchmark.measured_process import MeasuredProcess
from perceptiondlm_ros.development.benchmark.measuring import Case, Subject, quotient
from perceptiondlm_ros.development.benchmark.models import export_checkpoint, find_checkpoint
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT
from perceptiondlm_ros.terminal import Progress

HERE: Final = Path(__file__).resolve().parent
"""In the repository, where this package was installed from one."""

SIDES: Final = ("baseline", "this")

_CAMERA, _LARGE = (640, 480), (1280, 720)
_SIX: Final = Case("6 boxes, 640x480", _CAMERA, 6)
_BUSY: Final = Case("6 boxes, 640x480, one busy neighbour", _CAMERA, 6, busy=1)
_MANY: Final = Case("24 boxes, 640x480", _CAMERA, 24)

CASES: Final[dict[str, tuple[Case, ...]]] = {
    "onnx": (
        *(_SIX, _MANY, Case("24 boxes, 1280x720", _LARGE, 24)),
        Case("preparing 6 boxes, 1280x720", _LARGE, 6, do="prepare"),
        Case("preparing 24 boxes, 1280x720", _LARGE, 24, do="prepare"),
        Case("preparing 24 masks, 1280x720", _LARGE, 24, do="prepare", masks=True),
        _BUSY,
    ),
    "torch": (_SIX, _BUSY),
    "default": (Case("process start to first captions", _CAMERA, 6, do="first"),),
    "random small, prefix, float32": (_SIX,),
    "random small, prefix, bfloat16": (_SIX,),
}
"""What is measured of each model; the first three are the packaged checkpoint."""

QUOTIENTS: Final = (
    ("onnx: 24 boxes against 6", "onnx", _MANY, _SIX),
    ("onnx: one busy neighbour against alone", "onnx", _BUSY, _SIX),
    ("torch: one busy neighbour against alone", "torch", _BUSY, _SIX),
)

_NOT_FOR_OTHERS: Final = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV"}
"""What `make` hands on, which would set up this checkout again."""


def plan_baseline(options: argparse.Namespace) -> BenchmarkPlan:
    """The older version and this one, case by case in turns.

    Raises:
        PerceptionDLMError: `options.baseline` is neither a commit of this repository nor a checkout
            with its environment, its environment can't be made, or a model can't.
    """
    pythons = find_python(options.baseline), Path(sys.executable)
    random = find_checkpoint(None, "small", options.output)
    prefix = {"model": str(random), "cache": "prefix", "backend": "torch"}
    subjects: dict[str, list[Subject]] = {name: [] for name in CASES}
    for side, python in zip(SIDES, pythons, strict=True):
        exported = str(options.work / side)
        with MeasuredProcess(side, options.output / f"{side}.log", python) as process:
            packaged = process.ask("packaged")
        if python != Path(sys.executable) and Path(packaged).samefile(DEFAULT_CHECKPOINT):
            raise InputError(
                f"{python} imports this version of the package, expected that of its "
                "own checkout; unset PYTHONPATH, and run `make setup` there"
            )
        export_checkpoint(packaged, Path(exported), "fp32", options.output, python)
        for name, load in {
            "onnx": {"model": exported, "backend": "onnx"},
            "torch": {"model": packaged, "backend": "torch"},
            "default": {"model": None},
            "random small, prefix, float32": prefix,
            "random small, prefix, bfloat16": {"dtype": "bfloat16", **prefix},
        }.items():
            arguments = {**load, "device": options.device}
            subjects[name].append(Subject(f"{name}, {side}", arguments, python))
    return BenchmarkPlan(
        name="baseline",
        title=f"This version against {options.baseline}",
        notes="Medians of {repetitions} calls, in turns; a ratio below 1 says that this "
        "version takes less. Half of the pairs of calls lie within `quartiles`; `processor` is "
        "the ratio of processor times.",
        groups=[(subjects[name], cases) for name, cases in CASES.items()],
        repetitions=options.repetitions,
        tables=lambda: [baseline_rows(subjects)],
    )


def baseline_rows(subjects: Mapping[str, Sequence[Subject]]) -> Rows:
    """A header, and a row a case with both sides beside each other."""
    rows = [["measured", "", *SIDES, "ratio", "quartiles", "processor"]]
    for name, cases in CASES.items():
        for case in cases:
            times, processor = (
                [subject.values(case, value) for subject in subjects[name]]
                for value in ("total", "processor")
            )
            started_for_it = case.do == "first"  # then its processor time leaves out the start
            taken = "-" if started_for_it else _ratio(*processor)
            rows.append([f"{name}: {case.name}", "ms", *_compared(times, 1e3), taken])
    peaks = [
        [answer["memory"]["host"] for answer in subject.answers.get(CASES["default"][0], ())]
        for subject in subjects["default"]
    ]
    rows.append(["default: peak memory of the process", "MB", *_compared(peaks, 1e-6), "-"])
    for what, name, case, of in QUOTIENTS:
        both = [quotient(s.values(case), of=s.values(of)) for s in subjects[name]]
        compared = _compared([[value] if value else [] for value in both], 1.0)
        rows.append([what, "times", *compared, "-"])
    return rows


def _compared(both: Sequence[Sequence[float]], factor: float) -> list[str]:
    """Both medians, their ratio, and the quartiles of the ratios of pairs."""
    medians = [short_number(factor * median(values)) if values else "-" for values in both]
    pairs = [this / baseline for baseline, this in zip(*both, strict=False)]
    low, _, high = quantiles(pairs) if len(pairs) > 1 else (0.0, 0.0, 0.0)
    return [*medians, _ratio(*both), f"{low:.2f}-{high:.2f}" if len(pairs) > 1 else "-"]


def _ratio(baseline: Sequence[float], this: Sequence[float]) -> str:
    ratio = quotient(this, of=baseline)
    return "-" if ratio is None else f"{ratio:.2f}"


def find_python(baseline: str) -> Path:
    """The interpreter of another version: of a checkout that is set up, or of a commit, which is
    checked out and set up where that has not been done yet.

    Raises:
        InputError: it is neither, or it can't be set up.
    """
    folder = Path(baseline)
    if not folder.is_dir():
        return set_up(check_out(baseline))
    python = folder.absolute() / ".venv" / "bin" / "python"
    if not python.exists():
        raise InputError(
            f"baseline {baseline} has no {python.relative_to(folder.absolute())}, expected a "
            "checkout that is set up; run `make setup` in it, or name a commit"
        )
    return python


def check_out(commit: str) -> Path:
    """A checkout of a commit of this repository, kept in the user's cache folder.

    Raises:
        InputError: there is no such commit, or no repository.
    """
    name = _git(HERE, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", named=commit)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "perceptiondlm_ros" / "baselines" / name[:12]
    if not folder.exists():
        _git(HERE, "worktree", "prune", named=commit)
        _git(HERE, "worktree", "add", "--detach", "--no-checkout", str(folder), name, named=commit)
    _git(folder, "checkout", "--detach", "--force", name, named=commit)
    return folder


def _git(folder: Path, *arguments: str, named: str) -> str:
    run = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise InputError(
            f"baseline {named} can't be checked out (git {arguments[0]} in {folder}: "
            f"{run.stderr.strip() or 'nothing of that name'}); expected a commit of the repository "
            "of this package, or a folder with a checkout"
        )
    return run.stdout.strip()


def set_up(checkout: Path) -> Path:
    """The interpreter of a checkout, whose environment its own `make setup` makes or looks over.

    Raises:
        InputError: it can't be made.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_OTHERS}
    said: list[str] = []
    with (
        Progress(f"setting up {checkout}") as progress,
        subprocess.Popen(
            ["make", "setup"],
            cwd=checkout,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout or ():
            said.append(line.rstrip())
            progress.now(f"{checkout.name}: {line.strip()}")
    if process.returncode:
        raise InputError(
            f"`make setup` in {checkout} ended with status {process.returncode}, expected its "
            f"environment; its last lines were {' / '.join(said[-3:])!r}"
        )
    return checkout / ".venv" / "bin" / "python"
