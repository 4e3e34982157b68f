import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.scenes.object_places import OVERLAP, place, unclear
from perceptiondlm_ros.development.scenes.scene import Scene, SceneObject, captions
from perceptiondlm_ros.development.scenes.vocabulary import COLOURS

DIAMETERS = st.lists(st.floats(20, 120), min_size=1, max_size=8)


@given(DIAMETERS, st.integers(200, 400), st.integers(200, 400), st.integers(0, 2**32))
def test_objects_lie_inside_and_overlap_at_most_one_other_at_its_edge(
    diameters: list[float], width: int, height: int, seed: int
) -> None:
    sizes = np.array(diameters)
    places = place(sizes, width, height, np.random.default_rng(seed))
    if places is None:
        return
    assert (places - sizes[:, None] / 2 >= 0).all()
    assert (places + sizes[:, None] / 2 <= (width, height)).all()
    apart = np.abs(places[:, None] - places[None]).max(axis=-1)
    depth = (sizes[:, None] + sizes) / 2 - apart
    np.fill_diagonal(depth, -1)
    assert (depth <= OVERLAP * np.minimum(sizes[:, None], sizes) + 1e-9).all()
    assert ((depth > 0).sum(axis=1) <= 1).all()


def test_what_does_not_fit_is_said_not_forced() -> None:
    rng = np.random.default_rng(0)
    assert place(np.full(9, 90.0), 200, 200, rng) is None
    assert place(np.array([250.0]), 200, 200, rng) is None


@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 400)), min_size=1, max_size=8, unique=True)
)
def test_unclear_counts_the_objects_with_several_acceptable_captions(
    centres: list[tuple[float, float]],
) -> None:
    objects = tuple(
        SceneObject(i, "small", "plain", colour, "star", centre, 10.0, 0.0)
        for i, (colour, centre) in enumerate(zip(COLOURS, centres, strict=False))
    )
    several = sum(len(texts) > 1 for texts in captions(Scene(400, 400, objects, 0, 0)))
    assert unclear(np.array(centres)) == several
