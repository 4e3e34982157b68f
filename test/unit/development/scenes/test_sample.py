from collections import Counter

import numpy as np
import pytest

from perceptiondlm_ros.development.scenes.sample import (
    EVALUATION_SEEDS,
    MAX_ANGLE,
    MAX_OBJECTS,
    TRAINING_SEEDS,
    evaluation_seed,
    sample_scene,
    training_seed,
)
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS, PATTERNS, SHAPES, SIZES
from perceptiondlm_ros.errors import InputError


def test_a_seed_gives_the_same_scene_and_another_seed_another() -> None:
    assert sample_scene(5) == sample_scene(5)
    assert sample_scene(5) != sample_scene(6)


def test_training_and_evaluation_seeds_do_not_meet() -> None:
    low, high = sorted((TRAINING_SEEDS, EVALUATION_SEEDS), key=lambda seeds: seeds.start)
    assert low.stop <= high.start
    assert training_seed(0) in TRAINING_SEEDS
    assert evaluation_seed(len(EVALUATION_SEEDS) - 1) in EVALUATION_SEEDS


@pytest.mark.parametrize("index", [-1, 2**60])
def test_there_are_no_scenes_beyond_the_ranges(index: int) -> None:
    with pytest.raises(InputError, match="training scene"):
        training_seed(index)
    with pytest.raises(InputError, match="evaluation scene"):
        evaluation_seed(index)


def test_every_value_appears_about_as_often_as_the_others() -> None:
    items = [
        item
        for seed in range(400)
        for item in sample_scene(seed, width=320, height=240, objects=4).objects
    ]
    for values, field in ((SIZES, 0), (PATTERNS, 1), (COLOURS, 2), (SHAPES, 3)):
        counts = Counter(item.attributes[field] for item in items)
        assert set(counts) == set(values)
        expected = len(items) / len(values)
        spread = 5 * np.sqrt(expected)
        assert all(abs(count - expected) < spread for count in counts.values()), counts


def test_image_sizes_and_numbers_of_objects_vary() -> None:
    scenes = [sample_scene(seed) for seed in range(300)]
    assert {len(scene.objects) for scene in scenes} == set(range(1, MAX_OBJECTS + 1))
    ratios = {round(scene.width / scene.height, 2) for scene in scenes}
    assert ratios == {1.78, 1.33, 1.0}


@pytest.mark.parametrize("count", [1, 6, 12])
@pytest.mark.parametrize(("width", "height"), [(640, 360), (256, 256), (64, 64), (90, 200)])
def test_the_number_of_objects_asked_for_fits_inside_with_ids_of_their_own(
    width: int, height: int, count: int
) -> None:
    for seed in range(10):
        scene = sample_scene(seed, width=width, height=height, objects=count)
        assert (scene.width, scene.height) == (width, height)
        assert len({item.track_id for item in scene.objects}) == count
        for item in scene.objects:
            x, y = item.centre
            assert item.diameter / 2 <= x <= width - item.diameter / 2
            assert item.diameter / 2 <= y <= height - item.diameter / 2
            low, high = SIZES[item.size]
            assert low <= item.diameter / min(width, height) <= high
            assert abs(item.angle) <= MAX_ANGLE


def test_for_most_objects_exactly_one_caption_is_acceptable() -> None:
    texts = [t for seed in range(60) for t in captions(sample_scene(seed, objects=6))]
    assert np.mean([len(acceptable) == 1 for acceptable in texts]) > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1, "objects": 0}, "objects is 0"),
        ({"seed": 1, "objects": 13}, "objects is 13"),
        ({"seed": 1, "width": 100}, "give both"),
        ({"seed": 1, "width": 100, "height": 63}, "at least 64"),
    ],
)
def test_a_scene_that_cannot_be_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_scene(**arguments)
