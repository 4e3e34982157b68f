"""A captioned bag holds what was there, byte for byte, and the descriptions of each frame."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import bag_support
import pytest
from bag_support import (
    KINDS,
    LATE,
    MS,
    START,
    STORE,
    FakeCaptioner,
    caption,
    contents,
    held,
    scene,
    write_bag,
    write_mcap,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_writing.file_writers import SqliteWriter
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE


@pytest.mark.parametrize("alone", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_everything_is_copied_and_descriptions_are_added(
    storage: StoragePlugin, compression: CompressionMode, alone: bool, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(), storage, compression)
    (file,) = source.glob("in.*")
    summary = caption(file if alone else source, tmp_path / "out")
    before, after = contents(source), contents(tmp_path / "out")
    assert [m for m in after.raw if m[0] != "/region_captioner/descriptions"] == before.raw
    assert {p.suffix for p in (tmp_path / "out").iterdir()} == {".yaml", file.suffix}
    for topic, said in before.connections.items():
        copy = after.connections[topic]
        assert (copy.msgtype, copy.digest, copy.msgdef) == (said.msgtype, said.digest, said.msgdef)
    assert (summary.frames, summary.regions, summary.resumed) == (4, 10, 0)
    assert (summary.storage, summary.lacking) == (storage.name.lower(), [])
    assert not (tmp_path / "out.partial").exists()
    held(tmp_path / "out")  # is whole
    described = after.described
    assert [log for log, _ in described] == [START + 100 * n * MS + 2 * LATE for n in range(4)]
    message = described[1][1]
    assert message.header == bag_support.header(START + 100 * MS)
    assert (message.model, message.dropped) == ("fake", 0)
    assert [(r.id, r.index, r.label, r.score, r.source) for r in message.regions] == [
        ("0", 0, "cup", 0.5, 0),
        ("1", 1, "cup", 0.5, 0),
    ]
    assert message.regions[1].caption == "61 at (3.0, 2.0, 13.0, 11.0)"
    assert message.regions[1].caption_stamp == message.header.stamp


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
    tally = summary.matching
    assert (summary.frames, tally.matched_nearest, tally.unmatched) == (1, 1, 1)
    assert tally.last_gap == pytest.approx(0.3)
    assert sum(summary.dropped.values()) == 1
    assert contents(tmp_path / "out").described[0][1].dropped == 1
    with pytest.raises(InputError, match=r"0\.300 s away.*--tolerance"):
        caption(source, tmp_path / "exact", tolerance=0.0)
    assert not (tmp_path / "exact.partial").exists()


def test_unreadable_images_are_counted_and_described_as_without_regions(tmp_path: Path) -> None:
    broken = bag_support.image(START)
    broken.encoding = "heat"
    messages = [("/image", START, IMAGE, broken), *scene(2)[1:]]
    summary = caption(write_bag(tmp_path / "in", messages), tmp_path / "out")
    assert (summary.frames, summary.regions) == (2, 2)
    assert any("heat" in reason for reason in summary.dropped)
    assert contents(tmp_path / "out").described[0][1].dropped == 1


def test_bags_without_definitions_get_those_that_are_known(tmp_path: Path) -> None:
    """As Humble records them in SQLite."""
    source = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3)
    with closing(sqlite3.connect(source / "in.db3")) as database:
        database.executescript(
            "DELETE FROM message_definitions; UPDATE topics SET type_description_hash = ''"
        )
    metadata = (source / "metadata.yaml").read_text()
    metadata = re.sub(r"type_description_hash:\s+\S+", "type_description_hash: ''", metadata)
    (source / "metadata.yaml").write_text(metadata)
    assert caption(source, tmp_path / "out").frames == 3
    after = contents(tmp_path / "out")
    assert len(after.raw) == len(contents(source).raw) + 3
    assert "string data" in after.connections["/chatter"].msgdef.data


def test_types_with_other_fields_are_refused(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "in", scene(2), StoragePlugin.SQLITE3) / "in.db3"
    known, other = STORE.hash_rihs01(DETECTIONS), "RIHS01_" + 64 * "1"
    data = file.read_bytes()
    assert known.encode() in data
    file.write_bytes(data.replace(known.encode(), other.encode()))
    with pytest.raises(InputError, match="other fields"):
        caption(file, tmp_path / "out")


def test_a_recording_that_is_changed_meanwhile_is_an_error(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3))

    class Cuts(FakeCaptioner):
        def describe(self, *rest: Any) -> list[Any]:
            os.truncate(file, 500)
            return super().describe(*rest)

    with pytest.raises(InputError, match=r"in\.mcap was changed while it was read"):
        caption(file, tmp_path / "out", Cuts())
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_error_that_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3)

    def full(*unused: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteWriter, "write", full)
        with pytest.raises(InputError, match=r"disk is full; what is captioned is kept in .*par"):
            caption(source, tmp_path / "out")
    assert caption(source, tmp_path / "out").resumed == 3
