"""Annotated pictures: what is drawn where in which colour, and that no input breaks the drawing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.drawing.annotate import annotate
from perceptiondlm_ros.drawing.annotation import Annotation, age_text
from perceptiondlm_ros.drawing.canvas import Canvas
from perceptiondlm_ros.drawing.colours import colour_of, track_colour
from perceptiondlm_ros.drawing.layout import Label, LabelBox, lay_out
from perceptiondlm_ros.errors import InputError

TEXT = "a large striped red circle, left of a small plain blue star"
BOX = (100.0, 200.0, 300.0, 400.0)


def grey(width: int = 640, height: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def test_it_draws_on_a_copy() -> None:
    image = grey()
    result = annotate(image, [Annotation(BOX, TEXT, id="7")])
    assert result.shape == image.shape and result.dtype == np.uint8
    assert (image == 90).all() and (result != 90).any()
    assert (annotate(image, []) == 90).all()


@pytest.mark.parametrize(
    ("item", "colour"),
    [
        (Annotation(BOX, "", id="7"), ("7", "", 0)),
        (Annotation(BOX, "", label="cup", index=5), ("", "cup", 5)),
        (Annotation(BOX, "", id="7", mask=np.zeros((480, 640), bool)), ("7", "", 0)),
        (Annotation(BOX, TEXT, "7", "cup", labelled=False), ("7", "cup", 0)),
    ],
)
def test_a_region_without_text_is_only_outlined_in_its_colour(
    item: Annotation, colour: tuple[str, str, int]
) -> None:
    result = annotate(grey(), [item])
    assert tuple(result[300, 100]) == tuple(result[200, 200]) == track_colour(*colour)
    assert tuple(result[300, 200]) == (90, 90, 90)
    result[195:405, 95:305] = 90
    assert (result == 90).all() or item.labelled, "nothing beside the box"


def test_a_mask_is_tinted_and_outlined_instead_of_its_box() -> None:
    mask = np.zeros((480, 640), bool)
    mask[250:350, 150:250] = True
    result = annotate(grey(), [Annotation(BOX, "", id="7", mask=mask)])
    colour = np.array(track_colour("7", "", 0))
    assert (result[300, 150] == colour).all(), "the contour"
    assert (result[300, 100] == 90).all(), "no box"
    inside = result[300, 200].astype(float) - 90
    assert 0 < np.linalg.norm(inside) < 0.25 * np.linalg.norm(colour - 90), "a light tint"


@pytest.mark.parametrize("more", [{"draft": True}, {"age": 2.4}])
def test_drafts_and_old_captions_are_marked(more: dict) -> None:
    fresh, marked = (Annotation(BOX, TEXT, "7", "cup", 0.5, **each) for each in ({}, more))
    assert (annotate(grey(), [fresh]) != annotate(grey(), [marked])).any()
    assert fresh.heading(" - ", fresh.badge) == "7 - cup - 50 %"
    badge = "DRAFT" if "draft" in more else "2.4 s ago"
    assert marked.heading(" - ", marked.badge) == f"7 - cup - 50 % - {badge}"


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


def test_a_label_far_from_its_box_is_tied_to_it_by_a_leader_line() -> None:
    box = (300.0, 220.0, 340.0, 260.0)
    drawn = annotate(grey(), [Annotation(box, TEXT, str(n)) for n in range(9)]).astype(int)
    labels = [Label(str(n), "", TEXT) for n in range(9)]
    _, places = lay_out(labels, np.array([box] * 9), 640, 480)
    covered = np.zeros((480, 640), bool)
    for x0, y0, x1, y1 in places:
        covered[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
    covered[216:264, 296:344] = True
    assert (drawn != 90).any(axis=2)[~covered].any(), "no leader line was drawn"


def test_of_many_all_boxes_are_drawn_and_the_number_without_a_label_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headings: list[str] = []
    draw = Canvas.label

    def label(canvas: Canvas, box: LabelBox, *rest: object) -> None:
        headings.append(box.heading)
        draw(canvas, box, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Canvas, "label", label)
    annotations = [Annotation((n, n, n + 50, n + 40), TEXT, str(n)) for n in range(300)]
    result = annotate(grey(), annotations)
    assert headings[:2] == ["0", "1"]
    assert headings[-1] == f"and {301 - len(headings)} more" and 25 < len(headings) < 40
    last = np.array(track_colour("299", "", 0))
    assert (result == last).all(axis=2).sum() > 30


@pytest.mark.parametrize(
    ("image", "item", "says"),
    [
        (np.zeros((4, 4), np.uint8), None, r"image: got .*expected uint8 \[H, W, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), None, r"image: got .*expected uint8 \[H, W, 3\]"),
        (np.zeros((4, 4, 3), np.float32), None, r"image: got .*expected uint8 \[H, W, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), None, r"image: got .*expected uint8 \[H, W, 3\]"),
        (grey(), Annotation((0, 0, float("nan"), 10), ""), r"annotations\[0\].box"),
        (grey(), Annotation((0, 0, float("inf"), 10), ""), r"annotations\[0\].box"),
        (
            grey(),
            Annotation(BOX, "", mask=np.ones((4, 4), bool)),
            r"annotations\[0\].mask: got bool \[4, 4\], expected",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    image: np.ndarray, item: Annotation | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        annotate(image, [item] if item else [])


numbers = st.floats(-1e6, 1e6)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    items=st.lists(
        st.builds(
            Annotation,
            box=st.tuples(numbers, numbers, numbers, numbers),
            caption=st.text(max_size=80),
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


BACKGROUND = (14, 17, 23)


def luminance(colour: tuple[int, int, int]) -> float:
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_stable_and_differ_between_neighbouring_ids() -> None:
    colours = [track_colour(str(n), "cup", n) for n in range(12)]
    assert colours == [track_colour(str(n), "cup", 7 * n) for n in range(12)]
    for a, b in itertools.combinations(colours, 2):
        assert sum(abs(x - y) for x, y in zip(a, b, strict=True)) > 30


def test_a_reused_id_of_another_class_has_another_colour() -> None:
    assert track_colour("1", "cup", 0) != track_colour("1", "bowl", 0)


def test_without_an_id_the_index_decides() -> None:
    assert track_colour("", "cup", 3) == track_colour("", "bowl", 3) != track_colour("", "cup", 4)


@given(st.text())
def test_every_colour_can_be_read_on_a_label(key: str) -> None:
    contrast = (luminance(colour_of(key)) + 0.05) / (luminance(BACKGROUND) + 0.05)
    assert contrast > 4.5, "the threshold of WCAG AA"
