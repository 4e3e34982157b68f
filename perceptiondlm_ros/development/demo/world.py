"""What the demo's camera looks at: moving scenes one after the other, settled by stamps alone.

The camera films this world and the recorder asks it for the truth, each in its own process: the
same seed and start give both the same scene at the same stamp.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

from perceptiondlm_ros.development.scenes.moving import MovingScene
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS, evaluation_seed
from perceptiondlm_ros.development.scenes.scene import Scene, captions
from perceptiondlm_ros.errors import InputError

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
        """The scene at this stamp. Track ids count on over the cuts, as a tracker's would.

        Raises InputError for a stamp before the start, a seed that is no evaluation scene's, or a
        number of objects that a scene can't have.
        """
        if stamp_ns < self.start_ns:
            raise InputError(
                f"stamp: got {stamp_ns} ns, expected at least the world's start {self.start_ns} ns"
            )
        number, elapsed_ns = divmod(stamp_ns - self.start_ns, SCENE_NS)
        scene = _moving_scene(self._seed_of(number), self.objects).at(elapsed_ns / 1e9)
        first = number * self.objects
        items = [replace(item, track_id=first + item.track_id) for item in scene.objects]
        return replace(scene, objects=tuple(items))

    def truth(self, stamp_ns: int) -> dict[str, tuple[str, ...]]:
        """For each track id the captions that are right at this stamp, the best one first."""
        scene = self.at(stamp_ns)
        ids = [str(item.track_id) for item in scene.objects]
        return dict(zip(ids, captions(scene), strict=True))

    def _seed_of(self, number: int) -> int:
        first = evaluation_seed(self.seed)
        return evaluation_seed((first + number % SCENES) % len(EVALUATION_SEEDS))


@functools.lru_cache(maxsize=2)  # late captions may still belong to the scene before
def _moving_scene(seed: int, objects: int) -> MovingScene:
    return MovingScene(seed, WIDTH, HEIGHT, objects)
