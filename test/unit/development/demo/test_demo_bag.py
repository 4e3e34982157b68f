"""The bag holds what was written, under the types of the real messages, and whole frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_support import detection, detections, header
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from perceptiondlm_ros.development.demo.demo_bag import DemoBag
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.annotated_image import rgb_to_image

SECOND = 10**9
TOPICS = ["/image", "/detections", "/region_captioner/descriptions"]
PARTS = ("image", "detections", "descriptions")


def write(target: DemoBag, stamp: int, pixels: np.ndarray) -> None:
    region = RegionDescription(id="7", caption="a small réd star, alone", confidence=0.5)
    described = RegionDescriptionArray(
        header=header(stamp), regions=[region], dropped=3, model="small"
    )
    target.add("descriptions", stamp, described)
    target.add("detections", stamp, detections(stamp, [detection(1, 2, 5, 8, "7", "object", 0.75)]))
    target.add("image", stamp, rgb_to_image(pixels, header(stamp)))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    with DemoBag(tmp_path / "bag") as target:
        write(target, 5 * SECOND, pixels[0])
        write(target, 6 * SECOND, pixels[1])
        target.add("descriptions", 6 * SECOND, RegionDescriptionArray(header=header(6 * SECOND)))
    assert {path.name for path in (tmp_path / "bag").iterdir()} == {"bag.mcap", "metadata.yaml"}
    # No types are given: the definitions in the bag itself have to do, as they do for Foxglove.
    with AnyReader([tmp_path / "bag"]) as reader:
        read = [
            (connection.topic, reader.deserialize(data, connection.msgtype))
            for connection, _, data in reader.messages()
        ]
    assert [topic for topic, _ in read] == [*TOPICS, *TOPICS, TOPICS[2]]
    assert [message.header.stamp.sec for _, message in read] == [5, 5, 5, 6, 6, 6, 6]
    for (_, image), expected in zip((read[0], read[3]), pixels, strict=True):
        assert (image.data.reshape(48, 64, 3) == expected).all()
    found = read[1][1].detections[0]
    assert (found.id, found.bbox.center.position.y, found.bbox.size_x) == ("7", 5.0, 4.0)
    described = read[2][1]
    assert (described.regions[0].caption, described.dropped) == ("a small réd star, alone", 3)


def test_frames_up_to_an_error_are_kept_and_without_frames_there_is_no_bag(tmp_path: Path) -> None:
    def interrupted(frames: int) -> None:
        with DemoBag(tmp_path / str(frames)) as target:
            for number in range(frames):
                write(target, number * SECOND, np.zeros((4, 4, 3), np.uint8))
            raise KeyboardInterrupt

    for frames in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            interrupted(frames)
    with Reader(tmp_path / "1") as reader:
        assert reader.message_count == 3
    assert not (tmp_path / "0").exists()


class Bag(DemoBag):
    """Notes what would be written."""

    def __init__(self, kept: int) -> None:
        super().__init__(Path("never written"), kept)
        self.written: list[dict[str, Any]] = []

    def write(self, **parts: Any) -> None:
        self.written.append(parts)


@given(st.permutations([(part, stamp) for part in PARTS for stamp in range(5)]))
def test_every_frame_is_completed_once_in_any_order(parts: list[tuple[str, int]]) -> None:
    with Bag(kept=5) as bag:
        for part, stamp in parts:
            bag.add(part, stamp, (part, stamp))
    assert sorted(frame["image"][1] for frame in bag.written) == list(range(5))
    assert all(f == {part: (part, f["image"][1]) for part in PARTS} for f in bag.written)
    assert bag.lost == 0


@given(st.lists(st.tuples(st.sampled_from(PARTS), st.integers(0, 20)), max_size=60, unique=True))
def test_descriptions_are_either_completed_or_counted(parts: list[tuple[str, int]]) -> None:
    with Bag(kept=3) as bag:
        for part, stamp in parts:
            bag.add(part, stamp, "")
    described = sum(part == "descriptions" for part, _ in parts)
    assert len(bag.written) + bag.lost == described


def test_images_without_captions_are_forgotten_without_a_count() -> None:
    with Bag(kept=2) as bag:
        for stamp in range(10):
            bag.add("image", stamp, "")
        bag.add("detections", 0, "")
        bag.add("descriptions", 0, "")
    assert bag.written == [], "the image of stamp 0 is long gone"
    assert bag.lost == 1
