from collections import Counter

import numpy as np
import pytest

from perceptiondlm_ros.development.scenes.sample import (
    EVALUATION_SEEDS,
    MAX_ANGLE,
    MAX_OBJECTS,
    TRAINING_SEEDS,
    sample_scene,
)
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS, PATTERNS, SHAPES, SIZES


def test_training_and_evaluation_seeds_do_not_meet() -> None:
    low, high = sorted((TRAINING_SEEDS, EVALUATION_SEEDS), key=lambda seeds: seeds.start)
    assert low.stop <= high.start


def test_every_value_appears_about_as_often_as_the_others() -> None:
    items = [
        item
        for seed in range(400)
        for item in sample_scene(seed, size=(320, 240), objects=4).objects
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
        scene = sample_scene(seed, size=(width, height), objects=count)
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
