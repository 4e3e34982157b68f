"""Measure a checkpoint on scenes that no training has seen, with boxes as a detector gives them.

python -m perceptiondlm_ros.development.training.evaluate [CHECKPOINT] [--scenes 100] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import MAX_OBJECTS, evaluation_seed, sample_scene
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.development.training.scores import MEASURES, score, shares

REGIONS = (1, 2, 3, 4, 5, 6)
TARGETS = {
    **dict.fromkeys(("size", "pattern", "colour", "shape"), 0.97),
    "relation": 0.90,
    "well-formed": 0.99,
}


def judge_scene(captioner: Captioner, index: int, regions: int) -> list[dict[str, bool]]:
    """Caption some objects of an evaluation scene in one pass and score each.

    Args:
        index: which evaluation scene.
        regions: how many of its objects the detector reports; the others are there all the same.
    """
    rng = np.random.default_rng([index, 3])
    objects = int(rng.integers(regions, MAX_OBJECTS + 1))
    scene = sample_scene(evaluation_seed(index), objects=objects)
    drawn = render(scene, masks=False)
    truths = captions(scene)
    chosen = rng.permutation(objects)[:regions]
    found = captioner.describe(drawn.image, [drawn.boxes[i] for i in chosen])
    return [score(caption.text, truths[i]) for i, caption in zip(chosen, found, strict=True)]


def evaluate(
    captioner: Captioner, scenes: int, *, first: int = 0
) -> dict[int, list[dict[str, bool]]]:
    """Scores by number of regions, `scenes` scenes each."""
    results: dict[int, list[dict[str, bool]]] = {count: [] for count in REGIONS}
    with tqdm(total=scenes * len(REGIONS), unit="scene", leave=False) as bar:
        for place, count in enumerate(REGIONS):
            for k in range(scenes):
                index = first + place * scenes + k
                results[count] += judge_scene(captioner, index, count)
                bar.update()
    return results


def seconds_a_frame(captioner: Captioner, regions: int = 6, frames: int = 10) -> float:
    """Median time of `describe` on 640 x 480 images, in seconds, drawing not included."""
    times = []
    for index in range(frames + 1):
        scene = sample_scene(evaluation_seed(index), width=640, height=480, objects=regions)
        drawn = render(scene, masks=False)
        started = time.perf_counter()
        captioner.describe(drawn.image, list(drawn.boxes))
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))  # the first one warms up


def table(results: dict[int, list[dict[str, bool]]]) -> str:
    """A row a measure, a column a number of regions."""
    columns = {str(count): shares(rows) for count, rows in results.items()}
    columns["all"] = shares(row for rows in results.values() for row in rows)
    lines = [
        "right, %        " + "".join(f"{name:>7}" for name in columns) + "  target at 6",
        "captions        "
        + "".join(f"{len(rows):7d}" for rows in results.values())
        + f"{sum(map(len, results.values())):7d}",
    ]
    for name in MEASURES:
        cells = "".join(f"{100 * column[name]:7.1f}" for column in columns.values())
        target = f"{100 * TARGETS[name]:13.0f}" if name in TARGETS else ""
        lines.append(f"{name:<16}{cells}{target}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", help="folder; the packaged default if left out")
    parser.add_argument("--scenes", type=int, default=100, help="for each number of regions")
    parser.add_argument("--first", type=int, default=0, help="index of the first scene")
    parser.add_argument("--steps", type=int, default=None, help="denoising steps")
    parser.add_argument("--json", type=Path, default=None, help="file to write the shares to")
    options = parser.parse_args(arguments)
    captioner = Captioner.load(options.checkpoint, steps=options.steps)
    results = evaluate(captioner, options.scenes, first=options.first)
    print(f"{captioner.name}, {captioner.description}: regions in a pass")
    print(table(results))
    seconds = seconds_a_frame(captioner)
    print(f"six regions at 640 x 480: {1000 * seconds:.0f} ms a frame (median of 10)")
    if options.json is not None:
        by_count = {str(count): shares(rows) for count, rows in results.items()}
        options.json.write_text(json.dumps(by_count, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
