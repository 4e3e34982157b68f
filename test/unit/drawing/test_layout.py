"""Where labels stand: readable, apart from each other, and within the picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from perceptiondlm_ros.drawing.label_placement import gap, overlap
from perceptiondlm_ros.drawing.layout import Label, LabelBox, LastLayout, lay_out

TEXT = "a large striped red circle, left of a small plain blue star"
SMALL = (300.0, 220.0, 340.0, 260.0)


def labels(count: int) -> list[Label]:
    return [Label(str(n), "", TEXT, key=str(n)) for n in range(count)]


def alone(label: Label) -> LabelBox:
    (found,), _ = lay_out([label], np.array([(10.0, 10.0, 60.0, 60.0)]), 640, 480)
    return found


def scattered(seed: int, count: int, side: float) -> np.ndarray:
    corners = np.random.default_rng(seed).uniform((0, 0), (560, 400), (count, 2))
    return np.concatenate([corners, corners + side], axis=1)


def apart(places: np.ndarray) -> bool:
    return not np.triu(overlap(places, places), 1).any()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("count", [1, 8, 12, 20])
def test_labels_never_cover_each_other(width: int, height: int, count: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sizes = rng.uniform((0.05, 0.05), (0.3, 0.4), (count, 2)) * (width, height)
        corners = rng.uniform(0, 1, (count, 2)) * ((width, height) - sizes)
        boxes = np.concatenate([corners, corners + sizes], axis=1)
        given = [Label(f"{n} · shape · 80 %", "2.4 s ago", TEXT) for n in range(count)]
        found, places = lay_out(given, boxes, width, height)
        assert apart(places)
        assert (places >= 0).all() and (places <= (width, height, width, height)).all()
        assert min(label.font.size for label in found) >= 12, "too small to read"


def test_identical_boxes_get_separate_labels() -> None:
    _, places = lay_out(labels(9), np.array([SMALL] * 9), 640, 480)
    assert apart(places)
    assert gap(places, np.array(SMALL)).max() > 5, "nine labels can't all touch a small box"


def test_a_caption_is_wrapped_whole_and_a_loss_is_shown() -> None:
    assert " ".join(alone(Label("", "", TEXT)).lines) == TEXT
    long = alone(Label("", "", "word " * 200))
    assert len(long.lines) == 4 and long.lines[-1].endswith("…") and long.width < 0.4 * 640
    odd = alone(Label("", "", "a\x1b[31m red\nstar"))
    assert odd.lines == ("a\ufffd[31m red star",), "what can't be shown breaks no line"


def test_a_heading_makes_room_for_its_badge() -> None:
    label = alone(Label("102 · traffic light · 34 %", "DRAFT", "green"))
    assert (label.heading, label.badge) == ("102 · traffic light · 34 %", "DRAFT")


def test_a_lone_label_stands_above_its_box_in_line_with_it() -> None:
    (label,), places = lay_out([Label("7 · cup", "", TEXT)], np.array([SMALL]), 640, 480)
    x0, _, _, y1 = places[0]
    assert x0 == 300 and 0 < 220 - y1 <= 5
    assert " ".join(label.lines) == TEXT


def test_a_large_object_is_not_hidden_by_the_labels_of_small_ones() -> None:
    boxes = np.array([(200.0, 140.0, 440.0, 340.0), *[(450.0, y, 470, y + 20) for y in (150, 300)]])
    _, places = lay_out(labels(3), boxes, 640, 480)
    assert overlap(places, boxes[:1]).sum() < 0.02 * 240 * 200


def test_labels_keep_off_objects_without_a_label() -> None:
    other = np.array([(290.0, 110.0, 480.0, 215.0)])
    _, places = lay_out([Label("7", "", TEXT)], np.array([SMALL]), 640, 480, others=other)
    assert not overlap(places, other).any()


def jumps(last: LastLayout | None) -> int:
    """How often a label changes its place at its object, while eight objects drift about."""
    rng = np.random.default_rng(2)
    centres, speeds = rng.uniform((60, 60), (580, 420), (8, 2)), rng.uniform(-4, 4, (8, 2))
    offsets = []
    for _ in range(30):
        centres = (centres + speeds).clip((30, 30), (610, 450))
        boxes = np.concatenate([centres - 28, centres + 28], axis=1)
        _, places = lay_out(labels(8), boxes, 640, 480, last)
        assert apart(places)
        offsets.append((places[:, :2] + places[:, 2:]) / 2 - centres)
    moved = [np.linalg.norm(b - a, axis=1) > 24 for a, b in itertools.pairwise(offsets)]
    return int(np.sum(moved))


def test_labels_stay_at_their_objects_from_picture_to_picture() -> None:
    assert jumps(LastLayout()) < 0.5 * jumps(None)


def test_a_still_scene_is_laid_out_the_same_again() -> None:
    boxes, last = scattered(7, 12, 60), LastLayout()
    first = lay_out(labels(12), boxes, 640, 480, last)[1]
    for _ in range(3):
        again = lay_out(labels(12), boxes, 640, 480, last)[1]
    assert np.abs(again - first).max() < 30 and np.median(np.abs(again - first)) == 0


def test_only_the_last_picture_is_remembered() -> None:
    last = LastLayout()
    for key in ("a", "b"):
        lay_out([Label(key, "", TEXT, key)], np.array([SMALL]), 640, 480, last)
    assert list(last.positions) == ["b"]


def test_text_is_large_again_when_the_crowd_has_gone() -> None:
    boxes, last = scattered(3, 16, 70), LastLayout()
    crowded = lay_out(labels(16), boxes, 640, 480, last)[0][0].font.size
    assert lay_out(labels(1), boxes[:1], 640, 480, last)[0][0].font.size > crowded
