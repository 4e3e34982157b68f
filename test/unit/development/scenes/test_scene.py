import pytest

from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject, captions


def scene_of(*centres: tuple[float, float]) -> Scene:
    shapes = ("circle", "square", "star", "heart")
    objects = tuple(
        SceneObject(number, "small", "plain", "red", shapes[number], centre, 30.0, 0.0)
        for number, centre in enumerate(centres)
    )
    return Scene(400, 300, objects, background_seed=1, noise_seed=2)


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
    (first, _) = captions(scene_of(centre, (200, 150)))
    assert first == (f"a small plain red circle, {relation} a small plain red square",)


def test_the_neighbour_is_the_nearest_centre() -> None:
    texts = captions(scene_of((50, 50), (100, 55), (200, 60)))
    assert texts[0] == ("a small plain red circle, left of a small plain red square",)
    assert texts[2] == ("a small plain red star, right of a small plain red square",)


def test_two_objects_about_as_near_may_both_be_named_the_nearer_first() -> None:
    texts = captions(scene_of((100, 100), (200, 100), (100, 210), (300, 300)))
    assert texts[0] == (
        "a small plain red circle, left of a small plain red square",
        "a small plain red circle, above a small plain red star",
    )


def test_beyond_the_tolerance_only_the_nearest_may_be_named() -> None:
    texts = captions(scene_of((100, 100), (200, 100), (100, 216)))
    assert len(texts[0]) == 1


def test_near_a_diagonal_both_directions_are_right_the_larger_offset_first() -> None:
    texts = captions(scene_of((100, 100), (200, 180)))
    assert texts[0] == (
        "a small plain red circle, left of a small plain red square",
        "a small plain red circle, above a small plain red square",
    )
    assert len(captions(scene_of((100, 100), (200, 174)))[0]) == 1


def test_a_lone_object_is_alone() -> None:
    assert captions(scene_of((100, 100))) == [("a small plain red circle, alone",)]


def test_an_empty_scene_has_no_captions() -> None:
    assert captions(scene_of()) == []


def test_equal_neighbours_do_not_repeat_a_caption() -> None:
    twin = SceneObject(1, "small", "plain", "red", "star", (200, 100), 30.0, 0.0)
    other = SceneObject(2, "small", "plain", "red", "star", (201, 105), 30.0, 0.0)
    subject = SceneObject(3, "small", "plain", "blue", "heart", (100, 100), 30.0, 0.0)
    texts = captions(Scene(400, 300, (subject, twin, other), 1, 2))
    assert texts[0] == ("a small plain blue heart, left of a small plain red star",)
