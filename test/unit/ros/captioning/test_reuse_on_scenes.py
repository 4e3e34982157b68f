"""How much reuse saves and how often it is wrong, where the truth is known at every moment.

Each pass is answered by the truth of the moment that the image was taken, so that a caption that is
wrong is wrong through reuse alone. It is there two frames later, as with a small model on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from perceptiondlm_ros.captioner import Box, Caption
from perceptiondlm_ros.development.scenes.moving import MovingScene
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.ros.captioning.reuse import Reuse, TrackedFrame
from perceptiondlm_ros.ros.captioning.tracks import Appearance, Measurement, appearance, brightness
from perceptiondlm_ros.ros.settings import ReuseSettings

FRAMES = 120
TICK = 100_000_000
SEEDS = (11, 12, 13)
DELAY = 2  # frames
DEFAULTS = ReuseSettings()
JITTER = 1.0  # px, standard deviation of each edge of a detector's box


@dataclass(frozen=True)
class Seen:
    """One frame: what a detector gives of it, and the captions that are right."""

    boxes: list[Box]
    looks: list[Appearance]
    truth: list[tuple[str, ...]]


@dataclass
class Tally:
    regions: int = 0
    captioned: int = 0
    reused: int = 0
    wrong: int = 0

    @property
    def saved(self) -> float:
        return 1 - self.captioned / self.regions

    @property
    def wrong_share(self) -> float:
        return self.wrong / self.reused

    def __str__(self) -> str:
        return (
            f"{self.wrong} of {self.reused} reused captions wrong ({self.wrong_share:.1%}); "
            f"{self.captioned} of {self.regions} regions captioned ({self.saved:.1%} fewer), "
            f"{self.reused / self.regions:.1%} of them with a caption by reuse"
        )


@pytest.fixture(scope="module")
def films() -> list[list[Seen]]:
    """Six objects that move, at 10 Hz."""
    return [film(seed) for seed in SEEDS]


def film(seed: int) -> list[Seen]:
    rng = np.random.default_rng(seed)
    moving = MovingScene(seed, objects=6)
    frames = []
    for number in range(FRAMES):
        scene = moving.at(number / 10)
        picture = render(scene)
        edges = picture.boxes + rng.normal(0, JITTER, picture.boxes.shape)
        boxes: list[Box] = [tuple(box) for box in edges.tolist()]
        level = brightness(picture.image)
        looks = [appearance(picture.image, box, level) for box in boxes]
        frames.append(Seen(boxes, looks, captions(scene)))
    return frames


def run(
    films: Sequence[Sequence[Seen]], with_ids: bool, settings: ReuseSettings = DEFAULTS
) -> Tally:
    tally = Tally()
    for frames in films:
        reuse = Reuse()
        running: tuple[int, TrackedFrame, tuple[int, ...]] | None = None
        for number, frame in enumerate(frames):
            measurements = [
                Measurement(str(place) if with_ids else "", "object", box, looks)
                for place, (box, looks) in enumerate(zip(frame.boxes, frame.looks, strict=True))
            ]
            scene = reuse.track((number + 1) * TICK, measurements, settings)
            if running and number >= running[0] + DELAY:
                began, of, places = running
                truth = frames[began].truth
                reuse.keep(of, [(n, Caption(truth[n][0], 1.0, [], False)) for n in places])
                running = None
            plan = reuse.plan(scene)
            tally.regions += len(measurements)
            tally.reused += len(plan.kept)
            tally.wrong += sum(
                held.caption.text not in frame.truth[place] for place, held in plan.kept.items()
            )
            if plan.wanted and running is None:
                running = number, scene, plan.wanted
                tally.captioned += len(plan.wanted)
    return tally


@pytest.mark.parametrize("with_ids", [True, False], ids=["by the detector's ids", "by overlap"])
def test_at_most_one_in_twenty_is_wrong_and_four_in_five_are_saved(
    films: list[list[Seen]], with_ids: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = run(films, with_ids)
    with capsys.disabled():
        print(f"\nreuse on moving scenes, {'ids' if with_ids else 'no ids'}: {tally}")
    assert tally.wrong_share <= 0.05
    assert tally.saved >= 0.80
    assert tally.reused >= 0.85 * tally.regions, "most regions have a caption at any moment"


def test_age_alone_would_be_wrong_too_often(films: list[list[Seen]]) -> None:
    """That the check above can fail: with neither looks nor neighbours it does."""
    loose = ReuseSettings(max_turn=3.2, max_change=10.0)
    assert run(films, with_ids=True, settings=loose).wrong_share > 0.15


def swap(frames: list[Seen], at: int) -> list[Seen]:
    """From this frame on the detector gives the first two objects each other's ids."""
    order = [1, 0, *range(2, 6)]
    swapped = [
        Seen(*([given[n] for n in order] for given in (f.boxes, f.looks, f.truth)))
        for f in frames[at:]
    ]
    return frames[:at] + swapped


def test_ids_that_swap_now_and_then_make_no_more_wrong(films: list[list[Seen]]) -> None:
    mixed = []
    for frames in films:
        for at in range(15, FRAMES, 15):
            frames = swap(frames, at)
        mixed.append(frames)
    tally = run(mixed, with_ids=True)
    assert tally.wrong_share <= 0.05 and tally.saved >= 0.80, str(tally)


def test_objects_that_become_others_under_their_ids_make_no_more_wrong(
    films: list[list[Seen]],
) -> None:
    """The films are cut into each other: every two seconds all six ids show something else."""
    cut = [films[n // 20 % len(films)][n] for n in range(FRAMES)]
    tally = run([cut], with_ids=True)
    assert tally.wrong_share <= 0.05 and tally.saved >= 0.70, str(tally)
