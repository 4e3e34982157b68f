"""Measure a checkpoint on scenes that no training has seen, with boxes as a detector gives them.

python -m perceptiondlm_ros.development.training.evaluate [CHECKPOINT] [--decoding schedule]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.checkpoint_files import write_json
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS, MAX_OBJECTS, sample_scene
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.development.scenes.vocabulary import Attributes, parse_caption
from perceptiondlm_ros.terminal import Progress, table

REGIONS = (1, 2, 3, 4, 5, 6)
Scores = dict[int, list[dict[str, int]]]
"""Of each caption what is right, and its denoising steps, by the number of regions in its pass."""

TARGETS = {
    **dict.fromkeys(("size", "pattern", "colour", "shape"), 0.97),
    "relation": 0.90,
    "well-formed": 0.99,
}

MEASURES = (*Attributes._fields, "direction", "relation", "well-formed", "whole caption")
"""The four attributes of the object itself; `direction`, where the neighbour is; `relation`,
direction and all four attributes of the neighbour, or "alone"; whether the caption is a sentence
of the grammar; and whether the whole of it is true."""


def score(text: str, acceptable: Sequence[str]) -> dict[str, int]:
    """What is right about a caption, a value for each of MEASURES.

    A caption that is not well-formed has nothing right.

    Args:
        text: the caption.
        acceptable: all captions that are true of the object, at least one.
    """
    parsed = parse_caption(text)
    if parsed is None:
        return dict.fromkeys(MEASURES, False)
    truths = [truth for truth in map(parse_caption, acceptable) if truth is not None]
    own = zip(parsed.subject, truths[0].subject, strict=True)
    right = [word == truth for word, truth in own]
    right.append(any(parsed.relation == truth.relation for truth in truths))
    right.append(any(parsed[1:] == truth[1:] for truth in truths))
    return dict(zip(MEASURES, [*right, True, text in acceptable], strict=True))


def shares(scores: Iterable[dict[str, int]]) -> dict[str, float]:
    """The share of captions of which each measure is right, in [0, 1]."""
    rows = list(scores)
    return {name: sum(row[name] for row in rows) / max(len(rows), 1) for name in MEASURES}


def judge_scene(captioner: Captioner, index: int, regions: int) -> list[dict[str, int]]:
    """Caption some objects of an evaluation scene in one pass and score each.

    Args:
        index: which evaluation scene.
        regions: how many of its objects the detector reports; the others are there all the same.
    """
    rng = np.random.default_rng([index, 3])
    objects = int(rng.integers(regions, MAX_OBJECTS + 1))
    scene = sample_scene(EVALUATION_SEEDS[index], objects=objects)
    drawn = render(scene, masks=False)
    truths = captions(scene)
    chosen = rng.permutation(objects)[:regions]
    found = captioner.describe(drawn.image, [drawn.boxes[i] for i in chosen])
    return [
        {**score(caption.text, truths[i]), "steps": caption.steps}
        for i, caption in zip(chosen, found, strict=True)
    ]


def evaluate(captioner: Captioner, scenes: int) -> Scores:
    """Scores of `scenes` scenes for each number of regions."""
    results: Scores = {count: [] for count in REGIONS}
    total = scenes * len(REGIONS)
    with Progress("evaluating", total, "scenes") as progress:
        for index in range(total):
            count = REGIONS[index // scenes]
            results[count] += judge_scene(captioner, index, count)
            progress.advance()
    return results


def score_table(results: Scores) -> str:
    """A row a measure, a column a number of regions."""
    columns = [*results.values(), [row for rows in results.values() for row in rows]]
    lines = [
        ["right, %", *map(str, results), "all", "target at 6"],
        ["captions", *(str(len(rows)) for rows in columns), ""],
    ]
    for name in MEASURES:
        cells = [f"{100 * shares(rows)[name]:.1f}" for rows in columns]
        lines.append([name, *cells, f"{100 * TARGETS[name]:.0f}" if name in TARGETS else ""])
    steps = (sum(row["steps"] for row in rows) / max(len(rows), 1) for rows in columns)
    lines.append(["denoising steps", *(f"{mean:.1f}" for mean in steps), ""])
    return table(lines, numbers=range(1, len(lines[0])))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how much a checkpoint gets right."""
    parser = argparse.ArgumentParser(
        prog="evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", nargs="?", help="folder; the packaged default if left out")
    parser.add_argument("--scenes", type=int, default=100, help="for each number of regions")
    parser.add_argument("--decoding", default="auto", help="auto, schedule or confidence")
    parser.add_argument("--decoding-threshold", type=float, help="see Captioner.load")
    parser.add_argument("--json", type=Path, default=None, help="file to write the shares to")
    options = parser.parse_args(arguments)
    captioner = Captioner.load(
        options.checkpoint,
        decoding=options.decoding,
        decoding_threshold=options.decoding_threshold,
    )
    results = evaluate(captioner, options.scenes)
    print(f"{captioner.name}, {captioner.description}: regions in a pass")
    print(score_table(results), end="")
    if options.json is not None:
        write_json(options.json, {count: shares(rows) for count, rows in results.items()})


if __name__ == "__main__":
    main()
