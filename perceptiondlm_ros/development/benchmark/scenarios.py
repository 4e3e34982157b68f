"""What `make bench` measures by default: each backend and cache mode by tiles and regions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from perceptiondlm_ros.development.benchmark.benchmark_report import (
    BenchmarkPlan,
    Rows,
    short_number,
)
from perceptiondlm_ros.development.benchmark.machine import describe_machine
from perceptiondlm_ros.development.benchmark.measuring import Case, Subject
from perceptiondlm_ros.development.benchmark.models import find_checkpoint, find_models
from perceptiondlm_ros.development.benchmark.worker import STAGES
from perceptiondlm_ros.development.plotting import BLUE, GREEN, ORANGE, new_figure
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.tiles import choose_grid, tile_count

_CAMERAS: Final = ((640, 480), (1280, 720), (480, 480))
"""Usual image sizes, width and height, which the published checkpoint cuts into 7, 3 and 1 tiles;
of those that are cut into as many tiles, the first one is measured."""

_SHARE_OF_MEMORY: Final = 0.3
"""Of the machine's memory, for the weights of all processes that are there at once."""

_COLOURS: Final = {"torch": ORANGE, "onnx": BLUE, "tensorrt": GREEN}
_STYLES: Final = {"exact": "-o", "prefix": "--s"}
"""Line and marker of each cache mode."""

Scenarios = dict[Case, int]
"""Each case with the tiles that its image is cut into."""


def plan_scenarios(options: argparse.Namespace) -> BenchmarkPlan:
    """Every backend with every cache mode on every number of tiles and regions.

    Raises:
        PerceptionDLMError: what was asked for isn't here, or can't be made.
    """
    model = find_checkpoint(options.checkpoint, options.like, options.output)
    config = ModelConfig.from_folder(model)
    scenarios = choose_scenarios(options.regions, config)
    models = find_models(model, options.backends, options.precision, options.output)
    steps = options.steps or config.denoising_steps
    common = {"device": options.device, "steps": steps}
    subjects = [
        Subject(
            f"{backend} {cache}",
            {"model": str(folder), "backend": backend, "cache": cache, **common},
        )
        for (backend, folder), cache in product(models.items(), _STYLES)
    ]
    endings = (".safetensors", ".onnx", ".data")
    weights = sum(file.stat().st_size for file in model.iterdir() if file.suffix in endings)
    machine = describe_machine()
    on_gpu = bool(machine["gpus"]) and options.device != "cpu"
    # A GPU's memory is told as a whole, so there one process at a time has it.
    together = not on_gpu and weights * len(subjects) <= _SHARE_OF_MEMORY * machine["memory_bytes"]
    title = (
        f"{model.name} ({weights / 1e9:.3g} GB of weights), {steps} denoising steps"
        f"{' at most' * (config.decoding == 'confidence')}, "
        f"{config.caption_tokens} caption tokens"
    )
    cases = list(scenarios)
    return BenchmarkPlan(
        name="results",
        title=title,
        notes="Milliseconds of one call, median of {repetitions}; a step is one after the first, "
        "which is the prefill. Equal captions have equal digests.",
        groups=[(group, cases) for group in ([subjects] if together else zip(subjects))],
        repetitions=options.repetitions,
        few_steps=not on_gpu,
        tables=lambda: [time_rows(subjects, scenarios), memory_rows(subjects)],
        plot=lambda path: plot_times(subjects, scenarios, title, path),
    )


def choose_scenarios(regions: Sequence[int], config: ModelConfig) -> Scenarios:
    """Cases of each number of tiles that the checkpoint cuts usual images into."""
    sizes = {tile_count(choose_grid(*size, config)): size for size in reversed(_CAMERAS)}
    return {
        Case(f"{tiles} tiles, {count} regions", sizes[tiles], count): tiles
        for tiles, count in product(sorted(sizes), regions)
    }


def time_rows(subjects: Sequence[Subject], scenarios: Scenarios) -> Rows:
    """A header and a row a case of each subject: medians in milliseconds."""
    rows = [["backend", "tiles", "regions", "positions", "steps", *STAGES, "min-max", "captions"]]
    for subject in subjects:
        for case, answers in subject.answers.items():
            groups, positions = answers[-1]["groups"], answers[-1]["positions"]
            total = subject.values(case)
            rows.append(
                [
                    *(subject.name, str(scenarios[case]), str(case.regions)),
                    f"{groups} x {positions}" if groups > 1 else str(positions),
                    str(answers[-1]["steps"]),
                    *(short_number(1e3 * median(subject.values(case, key))) for key in STAGES),
                    f"{short_number(1e3 * min(total))}-{short_number(1e3 * max(total))}",
                    " ".join(sorted({answer["digest"] for answer in answers})),
                ]
            )
    return rows


def memory_rows(subjects: Sequence[Subject]) -> Rows:
    """A header and a row a subject."""
    rows = [["backend", "loading, s", "host, GB", "device, GB", "what"]]
    for subject in subjects:
        memory = [subject.memory.get(key) for key in ("host", "device")]
        loading = f"{subject.loading_seconds:.1f}" if subject.description else "-"
        held = ["-" if value is None else f"{value / 1e9:.2f}" for value in memory]
        rows.append([subject.name, loading, *held, subject.description or "failed"])
    return rows


def plot_times(subjects: Sequence[Subject], scenarios: Scenarios, title: str, path: Path) -> None:
    """Draw time against regions as PNG: a panel a number of tiles, medians with their extremes."""
    counts = sorted(set(scenarios.values()))
    figure = new_figure(max(1.6 + 3.6 * len(counts), 9.0), 4.6)  # the title is as wide
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for axes, tiles in zip(panels, counts, strict=True):
        for subject in subjects:
            backend, cache = subject.name.split()
            times = {
                case.regions: np.quantile(subject.values(case), (0, 0.5, 1))
                for case in subject.answers
                if scenarios[case] == tiles
            }
            regions = sorted(times)
            low, middle, high = np.array([times[count] for count in regions]).reshape(-1, 3).T
            style = {"color": _COLOURS[backend], "fmt": _STYLES[cache], "label": subject.name}
            axes.errorbar(regions, middle, yerr=(middle - low, high - middle), capsize=2, **style)
        axes.set(title=f"tiles: {tiles}", xlabel="regions in the call", yscale="log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(which="both", alpha=0.25)
    panels[0].set_ylabel("time of a call, s")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
