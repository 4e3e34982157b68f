"""The bag holds what was written, under the types of the real messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ros_support import detection, detections, header
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from perceptiondlm_ros.development.demo.bag import Bag
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.conversions import rgb_to_image

SECOND = 10**9


def write(target: Bag, stamp: int, pixels: np.ndarray) -> None:
    region = RegionDescription(id="7", caption="a small réd star, alone", confidence=0.5)
    target.write(
        image=rgb_to_image(pixels, header(stamp)),
        detections=detections(stamp, [detection(1, 2, 5, 8, "7", "object", 0.75)]),
        descriptions=RegionDescriptionArray(
            header=header(stamp), regions=[region], dropped=3, model="small"
        ),
    )


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    with Bag(tmp_path / "bag") as target:
        write(target, 5 * SECOND, pixels[0])
        write(target, 6 * SECOND, pixels[1])
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == [
        "bag.mcap",
        "metadata.yaml",
    ]
    # No types are given: the definitions in the bag itself have to do, as they do for Foxglove.
    with AnyReader([tmp_path / "bag"]) as reader:
        read = [
            (connection.topic, reader.deserialize(data, connection.msgtype))
            for connection, _, data in reader.messages()
        ]
    assert [topic for topic, _ in read] == [
        "/image",
        "/detections",
        "/region_captioner/descriptions",
    ] * 2
    assert [message.header.stamp.sec for _, message in read] == [5, 5, 5, 6, 6, 6]
    for (_, image), expected in zip(read[::3], pixels, strict=True):
        assert (image.data.reshape(48, 64, 3) == expected).all()
    found = read[1][1].detections[0]
    assert (found.id, found.bbox.center.position.y, found.bbox.size_x) == ("7", 5.0, 4.0)
    described = read[2][1]
    assert (described.regions[0].caption, described.dropped) == ("a small réd star, alone", 3)


def test_frames_up_to_an_error_are_kept(tmp_path: Path) -> None:
    def interrupted() -> None:
        with Bag(tmp_path / "bag") as target:
            write(target, SECOND, np.zeros((4, 4, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Reader(tmp_path / "bag") as reader:
        assert reader.message_count == 3


def test_without_frames_there_is_no_bag(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag"):
        pass
    assert not (tmp_path / "bag").exists()
