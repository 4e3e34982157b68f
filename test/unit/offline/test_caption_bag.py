"""A captioned bag holds what was there, byte for byte, and the descriptions of each frame."""

from __future__ import annotations

from pathlib import Path

import bag_support
import pytest
from bag_support import LATE, MS, START, caption, contents, scene, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE

KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_everything_is_copied_and_descriptions_are_added(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(), storage, compression)
    summary = caption(source, tmp_path / "out")
    before, after = contents(source), contents(tmp_path / "out")
    assert [m for m in after.raw if m[0] != "/region_captioner/descriptions"] == before.raw
    assert {p.suffix for p in source.iterdir()} == {p.suffix for p in (tmp_path / "out").iterdir()}
    for topic, connection in before.connections.items():
        copy = after.connections[topic]
        assert (copy.msgtype, copy.digest, copy.msgdef) == (
            connection.msgtype,
            connection.digest,
            connection.msgdef,
        )
    assert (summary.frames, summary.regions, summary.resumed) == (4, 10, 0)
    assert summary.storage == storage.name.lower()
    assert not (tmp_path / "out.partial").exists()


def test_descriptions_say_what_the_frame_shows(tmp_path: Path) -> None:
    caption(write_bag(tmp_path / "in", scene(3)), tmp_path / "out")
    described = contents(tmp_path / "out").described
    assert [log_ns for log_ns, _ in described] == [
        START + 100 * n * MS + 2 * LATE for n in range(3)
    ]
    message = described[1][1]
    assert message.header == bag_support.header(START + 100 * MS)
    assert (message.model, message.dropped) == ("fake", 0)
    assert [(r.id, r.index, r.label, r.score) for r in message.regions] == [
        ("0", 0, "cup", 0.5),
        ("1", 1, "cup", 0.5),
    ]
    assert message.regions[1].caption == "61 at (3.0, 2.0, 13.0, 11.0)"
    assert message.regions[1].caption_stamp == message.header.stamp
    assert {r.source for r in message.regions} == {0}


def test_a_single_file_is_a_bag(tmp_path: Path) -> None:
    write_bag(tmp_path / "in", scene())
    assert caption(tmp_path / "in" / "in.mcap", tmp_path / "out").frames == 4


def test_detections_are_matched_within_the_tolerance_and_losses_are_counted(
    tmp_path: Path,
) -> None:
    boxes = [(2.0, 2.0, 12.0, 10.0), (0.0, 0.0, 0.0, 0.0)]
    messages = [
        ("/image", START, IMAGE, bag_support.image(START)),
        *(
            ("/detections", START + gap, DETECTIONS, bag_support.detections(START + gap, boxes))
            for gap in (20 * MS, 300 * MS)
        ),
        ("/image", START + 900 * MS, IMAGE, bag_support.image(START + 900 * MS)),
    ]
    source = write_bag(tmp_path / "in", messages)
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.matching.matched_nearest, summary.matching.unmatched) == (
        1,
        1,
        1,
    )
    assert summary.matching.last_gap == pytest.approx(0.3)
    assert sum(summary.dropped.values()) == 1
    assert contents(tmp_path / "out").described[0][1].dropped == 1
    with pytest.raises(InputError, match=r"0\.300 s away.*--tolerance"):
        caption(source, tmp_path / "exact", tolerance=0.0)
    assert not (tmp_path / "exact.partial").exists()
