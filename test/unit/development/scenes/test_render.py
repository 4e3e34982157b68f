"""What is drawn, and the truth about every visible pixel of it."""

from dataclasses import replace

import numpy as np
import pytest

from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import sample_scene
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS, SHAPES

SEEDS = range(25)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def masks_of(scene: Scene) -> np.ndarray:
    masks = render(scene).masks
    assert masks is not None
    return masks


def lone(shape: str = "circle", colour: str = "red", diameter: float = 60.0) -> Scene:
    item = SceneObject(1, "small", "plain", colour, shape, (100.3, 80.7), diameter, 0.1)
    return Scene(200, 160, (item,), background_seed=3, noise_seed=4)


def test_the_same_scene_gives_the_same_bytes_and_another_noise_only_other_noise() -> None:
    scene = sample_scene(7)
    first, second = render(scene), render(scene)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)
    other = render(replace(scene, noise_seed=scene.noise_seed + 1)).image.astype(int)
    change = first.image - other
    assert 0 < np.abs(change).mean() < 15
    assert abs(change.mean()) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_fit_the_masks_and_three_quarters_of_every_object_are_visible(seed: int) -> None:
    scene = sample_scene(seed, size=(320, 240))
    drawn = render(scene)
    assert drawn.masks is not None
    assert (drawn.image.shape, drawn.image.dtype) == ((240, 320, 3), np.uint8)
    assert (drawn.masks.shape[1:], drawn.masks.dtype) == ((240, 320), np.bool_)
    assert drawn.masks.sum(axis=0).max() <= 1
    for item, mask, box in zip(scene.objects, drawn.masks, drawn.boxes, strict=True):
        assert tuple(box) == box_of(mask)
        assert mask.sum() >= 0.75 * masks_of(replace(scene, objects=(item,))).sum()
    np.testing.assert_array_equal(render(scene, masks=False).boxes, drawn.boxes)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_box_of_an_unhidden_object_has_its_centre_and_diameter(shape: str) -> None:
    x0, y0, x1, y1 = render(lone(shape)).boxes[0]
    assert (x0 + x1) / 2 == pytest.approx(100.3, abs=1.5)
    assert (y0 + y1) / 2 == pytest.approx(80.7, abs=1.5)
    assert max(x1 - x0, y1 - y0) == pytest.approx(60, abs=2.5)


@pytest.mark.parametrize("colour", list(COLOURS))
def test_every_colour_is_nearest_to_its_own_name_in_any_light(colour: str) -> None:
    names, values = list(COLOURS), np.array(list(COLOURS.values()))
    for seed in range(30):
        scene = replace(lone("circle", colour), background_seed=seed)
        middle = render(scene, masks=False).image[70:92, 90:112].reshape(-1, 3).mean(axis=0)
        assert names[np.linalg.norm(values - middle, axis=1).argmin()] == colour


def test_an_object_in_front_takes_the_pixels_of_the_one_behind() -> None:
    scene = lone()
    for diameter, hidden in ((30.0, False), (90.0, True)):
        front = replace(scene.objects[0], colour="blue", diameter=diameter)
        drawn = render(replace(scene, objects=(*scene.objects, front)))
        assert drawn.masks is not None
        assert drawn.masks[:, 80, 100].tolist() == [False, True]
        assert (drawn.boxes[0].tolist() == [0, 0, 0, 0]) == hidden


def test_an_object_may_leave_the_image() -> None:
    item = replace(lone().objects[0], centre=(0.0, 159.0))
    outside = replace(lone().objects[0], centre=(-500.0, 10.0))
    drawn = render(replace(lone(), objects=(item, outside)))
    x0, _, _, y1 = drawn.boxes[0]
    assert (x0, y1) == (0, 160)
    assert drawn.boxes[1].tolist() == [0, 0, 0, 0]
