from dataclasses import replace

import numpy as np
import pytest

from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import sample_scene
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS, SHAPES
from perceptiondlm_ros.errors import InputError

SEEDS = range(25)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def lone(shape: str = "circle", colour: str = "red", diameter: float = 60.0) -> Scene:
    item = SceneObject(1, "small", "plain", colour, shape, (100.3, 80.7), diameter, 0.1)
    return Scene(200, 160, (item,), background_seed=3, noise_seed=4)


def test_the_same_scene_gives_the_same_bytes() -> None:
    scene = sample_scene(7)
    first, second = render(scene), render(scene)
    assert first.masks is not None
    assert second.masks is not None
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)


def test_only_the_noise_follows_the_noise_seed() -> None:
    scene = sample_scene(7)
    one = render(scene).image.astype(int)
    other = render(replace(scene, noise_seed=scene.noise_seed + 1)).image.astype(int)
    assert 0 < np.abs(one - other).mean() < 15
    assert abs((one - other).mean()) < 0.1


def test_shapes_and_types_are_as_documented() -> None:
    drawn = render(sample_scene(3, width=300, height=200, objects=5))
    assert drawn.image.shape == (200, 300, 3)
    assert drawn.image.dtype == np.uint8
    assert drawn.masks is not None
    assert drawn.masks.shape == (5, 200, 300)
    assert drawn.masks.dtype == np.bool_
    assert drawn.boxes.shape == (5, 4)
    assert drawn.boxes.dtype == np.float32


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_fit_the_masks_and_masks_do_not_share_pixels(seed: int) -> None:
    scene = sample_scene(seed)
    drawn = render(scene)
    assert drawn.masks is not None
    for mask, box in zip(drawn.masks, drawn.boxes, strict=True):
        assert tuple(box) == box_of(mask)
    assert drawn.masks.sum(axis=0).max() <= 1
    np.testing.assert_array_equal(render(scene, masks=False).boxes, drawn.boxes)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_least_three_quarters_of_every_object_are_visible(seed: int) -> None:
    scene = sample_scene(seed, width=320, height=240)
    together = render(scene).masks
    assert together is not None
    for index, item in enumerate(scene.objects):
        whole = render(replace(scene, objects=(item,))).masks
        assert whole is not None
        assert together[index].sum() >= 0.75 * whole.sum()


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
        middle = render(scene).image[70:92, 90:112].reshape(-1, 3).mean(axis=0)
        assert names[np.linalg.norm(values - middle, axis=1).argmin()] == colour


def test_a_mask_has_the_area_of_its_shape() -> None:
    for diameter in (40.0, 60.0, 120.0):
        masks = render(lone("circle", diameter=diameter)).masks
        assert masks is not None
        assert masks.sum() == pytest.approx(np.pi / 4 * diameter**2, rel=0.03)


def test_an_object_in_front_takes_the_pixels_of_the_one_behind() -> None:
    scene = lone()
    front = replace(scene.objects[0], colour="blue", diameter=30.0)
    masks = render(replace(scene, objects=(*scene.objects, front))).masks
    assert masks is not None
    assert masks[1, 80, 100]
    assert not masks[0, 80, 100]


def test_a_wholly_hidden_object_has_an_empty_box() -> None:
    scene = lone()
    front = replace(scene.objects[0], diameter=90.0)
    drawn = render(replace(scene, objects=(*scene.objects, front)))
    assert drawn.boxes[0].tolist() == [0, 0, 0, 0]


def test_an_object_may_leave_the_image() -> None:
    item = replace(lone().objects[0], centre=(0.0, 159.0))
    outside = replace(lone().objects[0], centre=(-500.0, 10.0))
    drawn = render(replace(lone(), objects=(item, outside)))
    x0, _, _, y1 = drawn.boxes[0]
    assert (x0, y1) == (0, 160)
    assert drawn.boxes[1].tolist() == [0, 0, 0, 0]


def test_a_scene_without_objects_is_a_background() -> None:
    drawn = render(replace(lone(), objects=()))
    assert drawn.masks is not None
    assert drawn.masks.shape == (0, 160, 200)
    assert drawn.boxes.shape == (0, 4)


def test_more_objects_than_the_masks_can_number_are_refused() -> None:
    scene = lone()
    with pytest.raises(InputError, match="256 objects"):
        render(replace(scene, objects=scene.objects * 256))
