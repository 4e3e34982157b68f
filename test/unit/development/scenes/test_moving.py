from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.development.scenes.moving import LOOP_S, MovingScene
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.scene import Scene


def centres(scene: Scene) -> np.ndarray:
    return np.array([item.centre for item in scene.objects])


def masks_of(scene: Scene) -> np.ndarray:
    masks = render(scene).masks
    assert masks is not None
    return masks


def test_objects_keep_their_ids_and_looks() -> None:
    moving = MovingScene(2, objects=6)
    first, later = moving.at(0.0), moving.at(13.0)
    for before, after in zip(first.objects, later.objects, strict=True):
        assert replace(after, centre=before.centre, angle=before.angle) == before
    assert (first.width, first.height) == (640, 480)
    assert first.background_seed == later.background_seed
    assert first.noise_seed != later.noise_seed


@settings(max_examples=40)
@given(st.integers(0, 50), st.floats(-1e6, 1e6))
def test_objects_stay_inside_the_image(seed: int, time_s: float) -> None:
    scene = MovingScene(seed, width=320, height=200).at(time_s)
    radii = np.array([[item.diameter / 2] for item in scene.objects])
    assert (centres(scene) >= radii).all()
    assert (centres(scene) <= np.array([320, 200]) - radii).all()


@pytest.mark.parametrize("seed", range(5))
def test_motion_is_smooth_and_every_object_moves(seed: int) -> None:
    moving = MovingScene(seed)
    way = np.array([centres(moving.at(t)) for t in np.arange(0, LOOP_S + 1, 0.1)])
    speed = np.linalg.norm(np.diff(way, axis=0), axis=-1) / 0.1
    assert speed.max() < 0.3 * 480  # px/s: less than a third of the image's height
    assert (np.ptp(way, axis=0).max(axis=-1) > 5).all()


def test_objects_mostly_keep_apart_and_none_is_lost() -> None:
    shares = []
    for seed in range(4):
        moving = MovingScene(seed, width=320, height=240)
        for time_s in np.arange(0, LOOP_S, 6.0):
            scene = moving.at(time_s)
            together = masks_of(scene)
            for mask, item in zip(together, scene.objects, strict=True):
                shares.append(mask.sum() / masks_of(replace(scene, objects=(item,))).sum())
    assert min(shares) > 0.4
    assert np.mean(np.array(shares) > 0.9) > 0.9
