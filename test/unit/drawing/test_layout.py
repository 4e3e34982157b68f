"""Where plates stand: readable, apart from each other, and within the picture."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from perceptiondlm_ros.captioner import Box
from perceptiondlm_ros.drawing.geometry import gap
from perceptiondlm_ros.drawing.layout import Label, Memory, Plate, lay_out

TEXT = "a large striped red circle, left of a small plain blue star"


def alone(text: str) -> Plate:
    plates, _ = lay_out([Label("", "", text)], np.array([(10.0, 10.0, 60.0, 60.0)]), 640, 480)
    return plates[0]


def area_in_common(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 8, 12, 20])
def test_plates_never_cover_each_other(width: int, height: int, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(count):
        w, h = rng.uniform(0.05, 0.3) * width, rng.uniform(0.05, 0.4) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        boxes.append((x, y, x + w, y + h))
    labels = [Label(f"{index} · shape · 80 %", "2.4 s ago", TEXT) for index in range(count)]
    plates, places = lay_out(labels, np.array(boxes), width, height)
    for a, b in itertools.combinations(places, 2):
        assert area_in_common(a, b) == 0
    for plate, (x0, y0, x1, y1) in zip(plates, places, strict=True):
        assert x0 >= 0 and x1 <= width and y0 >= 0 and y1 <= height
        assert plate.font.size >= 12, "too small to read"


def test_identical_boxes_get_separate_plates() -> None:
    box = (300.0, 220.0, 340.0, 260.0)
    _, places = lay_out([Label(str(n), "", TEXT) for n in range(9)], np.array([box] * 9), 640, 480)
    assert not any(area_in_common(a, b) for a, b in itertools.combinations(places, 2))
    gaps = [float(gap(np.array([place]), np.array(box))[0]) for place in places]
    assert max(gaps) > 5, "nine plates can't all touch a small box"


def test_long_text_is_wrapped_and_its_loss_is_shown() -> None:
    plate = alone("word " * 200)
    assert len(plate.lines) == 4
    assert plate.lines[-1].endswith("…")
    assert plate.width < 0.4 * 640


def test_all_words_of_a_caption_are_shown() -> None:
    assert " ".join(alone(TEXT).lines) == TEXT


def test_what_cannot_be_shown_does_not_break_a_line() -> None:
    assert alone("a\x1b[31m red\nstar").lines == ("a\ufffd[31m red star",)


def test_a_lone_plate_stands_above_its_box_in_line_with_it() -> None:
    label = Label("7 · cup", "", TEXT)
    (plate,), places = lay_out([label], np.array([(300.0, 220.0, 340.0, 260.0)]), 640, 480)
    x0, _, _, y1 = places[0]
    assert x0 == 300 and 0 < 220 - y1 <= 5
    assert " ".join(plate.lines) == TEXT


def test_a_large_object_is_not_hidden_by_the_plates_of_small_ones() -> None:
    boxes = np.array([(200.0, 140.0, 440.0, 340.0), *[(450.0, y, 470, y + 20) for y in (150, 300)]])
    _, places = lay_out([Label(str(n), "", TEXT) for n in range(3)], boxes, 640, 480)
    hidden = sum(area_in_common(tuple(place), tuple(boxes[0])) for place in places)
    assert hidden < 0.02 * 240 * 200


def test_a_heading_makes_room_for_its_badge() -> None:
    boxes = np.array([(10.0, 10.0, 60.0, 60.0)])
    (plate,), _ = lay_out([Label("102 · traffic light · 34 %", "DRAFT", "green")], boxes, 640, 480)
    assert (plate.heading, plate.badge) == ("102 · traffic light · 34 %", "DRAFT")


def jumps(memory: Memory | None) -> int:
    """How often a plate changes its place at its object, while eight objects drift about."""
    rng = np.random.default_rng(2)
    centres, speeds = rng.uniform((60, 60), (580, 420), (8, 2)), rng.uniform(-4, 4, (8, 2))
    keys = [str(number) for number in range(8)]
    labels = [Label(key, "", TEXT) for key in keys]
    count, before = 0, None
    for _ in range(30):
        centres = (centres + speeds).clip((30, 30), (610, 450))
        boxes = np.concatenate([centres - 28, centres + 28], axis=1)
        _, places = lay_out(labels, boxes, 640, 480, memory, keys)
        assert not any(area_in_common(a, b) for a, b in itertools.combinations(places, 2))
        offsets = (places[:, :2] + places[:, 2:]) / 2 - centres
        if before is not None:
            count += int((np.linalg.norm(offsets - before, axis=1) > 24).sum())
        before = offsets
    return count


def test_plates_stay_at_their_objects_from_picture_to_picture() -> None:
    assert jumps(Memory()) < 0.5 * jumps(None)


def test_a_still_scene_is_laid_out_the_same_again() -> None:
    rng = np.random.default_rng(7)
    corners = rng.uniform((0, 0), (560, 400), (12, 2))
    boxes = np.concatenate([corners, corners + 60], axis=1)
    labels = [Label(str(number), "", TEXT) for number in range(12)]
    memory = Memory()
    first = lay_out(labels, boxes, 640, 480, memory)[1]
    for _ in range(3):
        again = lay_out(labels, boxes, 640, 480, memory)[1]
    assert np.abs(again - first).max() < 30 and np.median(np.abs(again - first)) == 0


def test_the_memory_holds_only_what_was_seen_last() -> None:
    memory = Memory()
    for key in ("a", "b"):
        box = np.array([(300.0, 220.0, 340.0, 260.0)])
        lay_out([Label(key, "", TEXT)], box, 640, 480, memory, [key])
    assert list(memory.spots) == ["b"]


def test_text_is_large_again_when_the_crowd_has_gone() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform((0, 0), (560, 400), (16, 2))
    boxes = np.concatenate([corners, corners + 70], axis=1)
    labels = [Label(str(number), "", TEXT) for number in range(16)]
    memory = Memory()
    crowded = lay_out(labels, boxes, 640, 480, memory)[0][0].font.size
    lone = lay_out(labels[:1], boxes[:1], 640, 480, memory)[0][0].font.size
    assert lone > crowded


def test_plates_keep_off_objects_without_a_label() -> None:
    boxes, other = np.array([(300.0, 220.0, 340.0, 260.0)]), (290.0, 110.0, 480.0, 215.0)
    _, places = lay_out([Label("7", "", TEXT)], boxes, 640, 480, others=np.array([other]))
    assert area_in_common(tuple(places[0]), other) == 0
