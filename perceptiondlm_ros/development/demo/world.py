"""What the demo's camera looks at: moving scenes one after the other, settled by stamps alone.

The camera films this world and the recorder asks it for the truth, each in its own process: the
same seed and start give both the same scene at the same stamp.
"""

from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass, replace
from typing import Final

from perceptiondlm_ros.development.command_line import number
from perceptiondlm_ros.development.scenes.moving import MovingScene
from perceptiondlm_ros.development.scenes.sample import (
    EVALUATION_SEEDS,
    MAX_OBJECTS,
)
from perceptiondlm_ros.development.scenes.scene import Scene, captions

SCENE_NS: Final = 5_000_000_000
"""Length of a scene; then the camera cuts to the next, so that one scene does not decide all."""

SCENES: Final = 4
"""How many scenes there are before the first one comes again: as many as a demo of the default
length shows, so that it shows the same ones however long a busy machine takes to start."""

WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class World:
    """Scenes of `objects` objects that training has never seen.

    seed: the first scene is the evaluation scene of this number, each cut goes to the next, and
        that of the last of `SCENES` to the first.
    start_ns: stamp at which the first scene begins.
    """

    seed: int
    objects: int
    start_ns: int

    def at(self, stamp_ns: int) -> Scene:
        """The scene at this stamp. Track ids count on over the cuts, as a tracker's would."""
        number, elapsed_ns = divmod(stamp_ns - self.start_ns, SCENE_NS)
        seed = (EVALUATION_SEEDS[self.seed] + number % SCENES) % len(EVALUATION_SEEDS)
        scene = _moving_scene(seed, self.objects).at(elapsed_ns / 1e9)
        first = number * self.objects
        items = [replace(item, track_id=first + item.track_id) for item in scene.objects]
        return replace(scene, objects=tuple(items))

    def truth(self, stamp_ns: int) -> dict[str, tuple[str, ...]]:
        """For each track id the captions that are right at this stamp, the best one first."""
        scene = self.at(stamp_ns)
        ids = [str(item.track_id) for item in scene.objects]
        return dict(zip(ids, captions(scene), strict=True))


@functools.lru_cache(maxsize=2)  # late captions may still belong to the scene before
def _moving_scene(seed: int, objects: int) -> MovingScene:
    return MovingScene(seed, WIDTH, HEIGHT, objects)


def add_world(parser: argparse.ArgumentParser, start_required: bool = False) -> None:
    """Add what settles the world; its start only for a process that is told it."""
    parser.add_argument(
        "--seed",
        type=number(int, 0, len(EVALUATION_SEEDS) - 1),
        default=7,
        help="number of the first scene; training has seen none of them (default %(default)s)",
    )
    parser.add_argument(
        "--objects",
        type=number(int, 1, MAX_OBJECTS),
        default=5,
        help=f"objects in a scene, 1 to {MAX_OBJECTS} (default %(default)s)",
    )
    if start_required:
        parser.add_argument(
            "--start-ns",
            type=number(int, 0, 2**63 - 1),
            required=True,
            help="stamp of the start [ns]",
        )


def world_of(options: argparse.Namespace) -> World:
    """The world that the options settle."""
    return World(seed=options.seed, objects=options.objects, start_ns=options.start_ns)
