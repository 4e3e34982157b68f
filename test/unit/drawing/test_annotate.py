"""Annotated pictures: what is drawn where, and that no input breaks the drawing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.drawing import annotate as module
from perceptiondlm_ros.drawing.annotate import Annotation, age_text, annotate
from perceptiondlm_ros.drawing.colours import track_colour
from perceptiondlm_ros.drawing.layout import Label, lay_out
from perceptiondlm_ros.errors import InputError

TEXT = "a large striped red circle, left of a small plain blue star"


def grey(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def test_draws_on_a_copy() -> None:
    image = grey()
    result = annotate(image, [Annotation((100, 200, 300, 400), TEXT, id="7")])
    assert result.shape == image.shape and result.dtype == np.uint8
    assert (image == 90).all()
    assert (result != 90).any()


def test_the_box_is_outlined_in_the_colour_of_its_id() -> None:
    result = annotate(grey(), [Annotation((100, 200, 300, 400), "", id="7")])
    assert tuple(result[300, 100]) == track_colour("7", "", 0)
    assert tuple(result[200, 200]) == track_colour("7", "", 0)
    assert tuple(result[300, 200]) == (90, 90, 90)


def test_nothing_to_draw_leaves_the_picture_as_it_is() -> None:
    assert (annotate(grey(), []) == 90).all()


def test_without_an_id_the_index_decides_the_colour() -> None:
    result = annotate(grey(), [Annotation((100, 200, 300, 400), "", label="cup", index=5)])
    assert tuple(result[300, 100]) == track_colour("", "cup", 5)


def test_a_mask_is_tinted_and_outlined_instead_of_its_box() -> None:
    mask = np.zeros((480, 640), bool)
    mask[250:350, 150:250] = True
    result = annotate(grey(), [Annotation((100, 200, 300, 400), "", id="7", mask=mask)])
    colour = np.array(track_colour("7", "", 0))
    assert (result[300, 150] == colour).all(), "the contour"
    assert (result[300, 100] == 90).all(), "no box"
    inside = result[300, 200].astype(float) - 90
    assert 0 < np.linalg.norm(inside) < 0.25 * np.linalg.norm(colour - 90), "a light tint"


def test_a_region_without_a_label_is_only_outlined() -> None:
    item = Annotation((100, 200, 300, 400), TEXT, "7", "cup", labelled=False)
    result = annotate(grey(), [item])
    assert tuple(result[300, 100]) == track_colour("7", "cup", 0)
    result[195:405, 95:305] = 90
    assert (result == 90).all(), "nothing beside the box"


def test_an_empty_mask_leaves_the_box() -> None:
    mask = np.zeros((480, 640), bool)
    result = annotate(grey(), [Annotation((100, 200, 300, 400), "", id="7", mask=mask)])
    assert tuple(result[300, 100]) == track_colour("7", "", 0)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"annotations\[0\].mask: got bool \[4, 4\], expected"):
        annotate(grey(), [Annotation((0, 0, 4, 4), "", mask=np.ones((4, 4), bool))])


@pytest.mark.parametrize("more", [{"draft": True}, {"age": 2.4}])
def test_drafts_and_old_captions_are_marked(more: dict) -> None:
    box = (100, 200, 300, 400)
    fresh = annotate(grey(), [Annotation(box, TEXT, "7", "cup", 0.5)])
    marked = annotate(grey(), [Annotation(box, TEXT, "7", "cup", 0.5, **more)])
    assert (fresh != marked).any()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s ago"),
        (2.44, "2.4 s ago"),
        (9.96, "10 s ago"),
        (119.6, "2 min ago"),
        (1e9, "16666667 min ago"),
    ],
)
def test_an_age_is_short(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_a_plate_far_from_its_box_is_tied_to_it_by_a_leader_line() -> None:
    box = (300.0, 220.0, 340.0, 260.0)
    drawn = annotate(grey(), [Annotation(box, TEXT, str(n)) for n in range(9)]).astype(int)
    labels = [Label(str(n), "", TEXT) for n in range(9)]
    _, places = lay_out(labels, np.array([box] * 9), 640, 480)
    plates = np.zeros((480, 640), bool)
    for x0, y0, x1, y1 in places:
        plates[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
    plates[216:264, 296:344] = True
    assert (drawn != 90).any(axis=2)[~plates].any(), "no leader line was drawn"


def test_of_many_all_boxes_are_drawn_and_the_number_without_a_label_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headings: list[str] = []
    draw = module.draw_plate
    monkeypatch.setattr(
        module,
        "draw_plate",
        lambda canvas, plate, *rest: (headings.append(plate.heading), draw(canvas, plate, *rest)),
    )
    annotations = [Annotation((n, n, n + 50, n + 40), TEXT, str(n)) for n in range(300)]
    result = annotate(grey(), annotations)
    assert headings[:2] == ["0", "1"]
    assert headings[-1] == f"and {301 - len(headings)} more" and 25 < len(headings) < 40
    last = np.array(track_colour("299", "", 0))
    assert (result == last).all(axis=2).sum() > 30


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"image: got .*expected uint8 \[H, W, 3\]"):
        annotate(image, [])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_boxes_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"annotations\[0\].box"):
        annotate(grey(), [Annotation((0, 0, bad, 10), "")])


numbers = st.floats(-1e6, 1e6)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    items=st.lists(
        st.builds(
            Annotation,
            box=st.tuples(numbers, numbers, numbers, numbers),
            text=st.text(max_size=80),
            id=st.text(max_size=30),
            label=st.text(max_size=10),
            confidence=st.none() | st.floats(0, 1),
            age=st.none() | st.floats(0, 1e9),
            draft=st.booleans(),
        ),
        max_size=4,
    ),
)
def test_any_text_and_any_box_can_be_drawn(size: tuple[int, int], items: list[Annotation]) -> None:
    result = annotate(grey(*size), items)
    assert result.shape == (size[1], size[0], 3)
