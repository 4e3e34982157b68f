"""Which captions are true of an object."""

import pytest

from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject, captions

CIRCLE, SQUARE, STAR = (f"a small plain red {shape}" for shape in ("circle", "square", "star"))


def captions_at(*centres: tuple[float, float]) -> list[tuple[str, ...]]:
    shapes = ("circle", "square", "star", "heart")
    objects = tuple(
        SceneObject(number, "small", "plain", "red", shapes[number], centre, 30.0, 0.0)
        for number, centre in enumerate(centres)
    )
    return captions(Scene(400, 300, objects, background_seed=1, noise_seed=2))


@pytest.mark.parametrize(
    ("centre", "relation"),
    [
        ((50, 150), "left of"),
        ((350, 150), "right of"),
        ((200, 50), "above"),
        ((200, 250), "below"),
        ((100, 200), "left of"),
        ((150, 290), "below"),
    ],
)
def test_the_relation_says_where_the_object_lies_seen_from_its_neighbour(
    centre: tuple[float, float], relation: str
) -> None:
    assert captions_at(centre, (200, 150))[0] == (f"{CIRCLE}, {relation} {SQUARE}",)


def test_the_neighbour_is_the_nearest_centre() -> None:
    texts = captions_at((50, 50), (100, 55), (200, 60))
    assert texts[0] == (f"{CIRCLE}, left of {SQUARE}",)
    assert texts[2] == (f"{STAR}, right of {SQUARE}",)


def test_two_objects_about_as_near_may_both_be_named_the_nearer_first() -> None:
    texts = captions_at((100, 100), (200, 100), (100, 210), (300, 300))
    assert texts[0] == (f"{CIRCLE}, left of {SQUARE}", f"{CIRCLE}, above {STAR}")
    beyond_the_tolerance = captions_at((100, 100), (200, 100), (100, 216))
    assert len(beyond_the_tolerance[0]) == 1


def test_near_a_diagonal_both_directions_are_right_the_larger_offset_first() -> None:
    texts = captions_at((100, 100), (200, 180))
    assert texts[0] == (f"{CIRCLE}, left of {SQUARE}", f"{CIRCLE}, above {SQUARE}")
    assert len(captions_at((100, 100), (200, 174))[0]) == 1


def test_a_lone_object_is_alone_and_an_empty_scene_has_no_captions() -> None:
    assert captions_at((100, 100)) == [(f"{CIRCLE}, alone",)]
    assert captions_at() == []


def test_equal_neighbours_do_not_repeat_a_caption() -> None:
    twin = SceneObject(1, "small", "plain", "red", "star", (200, 100), 30.0, 0.0)
    other = SceneObject(2, "small", "plain", "red", "star", (201, 105), 30.0, 0.0)
    subject = SceneObject(3, "small", "plain", "blue", "heart", (100, 100), 30.0, 0.0)
    texts = captions(Scene(400, 300, (subject, twin, other), 1, 2))
    assert texts[0] == (f"a small plain blue heart, left of {STAR}",)
