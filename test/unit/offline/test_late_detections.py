"""Detections find the image that they were made from wherever in the bag it is."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import bag_support
import numpy as np
import pytest
from bag_support import LATE, MS, START, FakeCaptioner, Message, caption, contents, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.offline.caption_bag import BagSummary
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE

STEP = 33 * MS
BOX = [(2.0, 2.0, 12.0, 10.0)]


def image(number: int, log_ns: int | None = None) -> Message:
    """At 30 Hz, each of another brightness, logged soon after its stamp."""
    stamp = START + number * STEP
    message = bag_support.image(stamp, number % 250)
    return ("/image", stamp + LATE if log_ns is None else log_ns, IMAGE, message)


def found(number: int, log_ns: int) -> Message:
    """The detections of an image."""
    return ("/detections", log_ns, DETECTIONS, bag_support.detections(START + number * STEP, BOX))


def run(
    folder: Path,
    messages: Sequence[Message],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
    **options: Any,
) -> tuple[BagSummary, list[tuple[int, int]]]:
    """The summary, and log time and number of each frame; each has the image of its stamp."""
    in_order = sorted(messages, key=itemgetter(1))
    summary = caption(
        write_bag(folder / "in", in_order, storage, compression), folder / "out", **options
    )
    seen = []
    for log_ns, message in contents(folder / "out").described:
        number = (nanoseconds(message.header.stamp) - START) // STEP
        assert message.regions[0].caption.split()[0] == str(number % 250)
        seen.append((log_ns, number))
    assert len(seen) == summary.frames
    return summary, seen


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("late", [0, 500 * MS, 3000 * MS, 10_000 * MS, 100_000 * MS])
def test_a_slow_detector_has_each_frame_its_own_image(
    late: int, storage: StoragePlugin, tmp_path: Path
) -> None:
    """Of every third image."""
    messages = [image(n) for n in range(48)]
    messages += [found(n, START + n * STEP + 2 * LATE + late) for n in range(0, 48, 3)]
    summary, seen = run(tmp_path, messages, storage)
    assert summary.matching.matched_exact == summary.frames == 16
    assert seen == [(START + n * STEP + 2 * LATE + late, n) for n in range(0, 48, 3)]


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ],
    ids=lambda kind: kind.name,
)
def test_detections_before_their_image(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    """As where images pass through a slow encoder; descriptions come with their images."""
    messages = [image(n, START + n * STEP + 4000 * MS) for n in range(40)]
    messages += [found(n, START + n * STEP) for n in range(40)]
    _, seen = run(tmp_path, messages, storage, compression)
    assert seen == [(START + n * STEP + 4000 * MS, n) for n in range(40)]


def test_detections_in_any_order_and_two_of_an_image(tmp_path: Path) -> None:
    order = random.Random(1).sample(range(50), 30)
    messages = [image(n) for n in range(50)]
    messages += [found(n, START + 5000 * MS + i) for i, n in enumerate([*order, *order[:5]])]
    _, seen = run(tmp_path, messages)
    assert [number for _, number in seen] == [*order, *order[:5]]


@pytest.mark.parametrize("apart", [0, MS])
def test_frames_that_are_complete_at_the_same_time_are_in_the_order_of_their_detections(
    apart: int, tmp_path: Path
) -> None:
    """As converters write them, or where images come late."""
    order = random.Random(2).sample(range(20), 20)
    complete = START + 30 * apart
    messages = [found(n, START + i * apart) for i, n in enumerate(order)]
    messages += [image(n, complete) for n in range(20)]
    _, seen = run(tmp_path, messages)
    assert seen == [(complete, n) for n in order]


def test_a_recording_that_was_played_twice(tmp_path: Path) -> None:
    """The images of the second time are others, under the same stamps."""
    later = 60_000 * MS
    messages = [image(n) for n in range(100)]
    messages += [found(n, START + n * STEP + 3000 * MS) for n in range(0, 100, 5)]
    for n in range(100):
        stamp = START + n * STEP
        other = bag_support.image(stamp, 255)
        messages.append(("/image", stamp + LATE + later, IMAGE, other))
    messages += [found(n, START + n * STEP + 3000 * MS + later) for n in range(0, 100, 5)]
    caption(write_bag(tmp_path / "in", sorted(messages, key=itemgetter(1))), tmp_path / "out")
    described = contents(tmp_path / "out").described
    texts = [message.regions[0].caption.split()[0] for _, message in described]
    assert texts == [str(n) for n in range(0, 100, 5)] + ["255"] * 20


def test_masks_are_captioned_where_there_are_some(tmp_path: Path) -> None:
    """And where they were logged last the frame is complete with them."""

    def masks(number: int) -> Message:
        ids = np.zeros((24, 32), np.uint8)
        ids[2 : 3 + number, 3:9] = 1
        message = bag_support.picture(START + number * STEP, "mono8", ids)
        return ("/ids", START + 9000 * MS + number, IMAGE, message)

    messages = [image(n) for n in range(20)] + [masks(n) for n in range(19)]
    messages += [found(n, START + 5000 * MS + n) for n in range(20)]
    captioner, options = FakeCaptioner(), {"image": "/image", "masks": "/ids", "tolerance": 0.0}
    summary, seen = run(tmp_path, messages, captioner=captioner, **options)
    *shapes, (box,) = captioner.seen
    assert [int(mask.any(axis=1).sum()) for (mask,) in shapes] == list(range(1, 20))
    assert box == BOX[0]
    assert summary.matching.masks_missing == 1
    complete = [START + 9000 * MS + n for n in range(19)]
    assert [log_ns for log_ns, _ in seen] == [START + 5000 * MS + 19, *complete]


@pytest.mark.parametrize("storage", StoragePlugin)
def test_neither_the_bag_nor_its_captions_are_kept_in_memory(
    storage: StoragePlugin, tmp_path: Path
) -> None:
    """With a detector that is far behind, too."""

    def peak(frames: int) -> int:
        folder = tmp_path / str(frames)
        stamps = [START + n * STEP for n in range(frames)]
        messages: list[Message] = [
            ("/image", stamp + LATE, IMAGE, bag_support.image(stamp, n % 250, 160, 120))
            for n, stamp in enumerate(stamps)
        ]
        messages += [found(n, stamp + 3000 * MS) for n, stamp in enumerate(stamps)]
        source = write_bag(folder / "in", sorted(messages, key=itemgetter(1)), storage)
        tracemalloc.start()
        assert caption(source, folder / "out").frames == frames
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)  # what is made once
    few, many = peak(50), peak(200)
    assert many - few < 500_000, "each image is 58 kB"
