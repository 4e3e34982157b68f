"""Bags as other versions record them, damaged ones, masks, images that can't be read."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bag_support
import numpy as np
import pytest
from bag_support import START, FakeCaptioner, caption, contents, scene, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE


def test_unreadable_images_are_counted_and_described_as_without_regions(tmp_path: Path) -> None:
    broken = bag_support.image(START)
    broken.encoding = "heat"
    messages = [("/image", START, IMAGE, broken), *scene(2)[1:]]
    summary = caption(write_bag(tmp_path / "in", messages), tmp_path / "out")
    assert (summary.frames, summary.regions) == (2, 2)
    assert any("heat" in reason for reason in summary.dropped)
    assert contents(tmp_path / "out").described[0][1].dropped == 1


def test_a_damaged_bag_is_an_error_that_says_where(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(40), compression=CompressionMode.STORAGE)
    file = source / "in.mcap"
    data = bytearray(file.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 200] = bytes(200)
    file.write_bytes(data)
    with pytest.raises(InputError, match="bag"):
        caption(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_are_captioned_where_there_are_some(tmp_path: Path) -> None:
    def masks(stamp: int) -> Any:
        ids = bag_support.image(stamp, width=32)
        ids.encoding, ids.step = "mono8", 32
        ids.data = np.zeros(32 * 24, np.uint8)
        ids.data[32 * 5 + 3 : 32 * 5 + 9] = 1
        return ids

    messages = [*scene(2)]
    messages.insert(0, ("/ids", START, IMAGE, masks(START)))
    source = write_bag(tmp_path / "in", messages)
    shapes: list[Any] = []

    class Sees(FakeCaptioner):
        def describe(self, image: Any, regions: Sequence[Any], prompt: Any = None) -> list[Any]:
            shapes.append(list(regions))
            return super().describe(image, regions, prompt)

    summary = caption(
        source, tmp_path / "out", Sees(), image="/image", masks="/ids", tolerance=0.05
    )
    assert summary.matching.masks_missing == 1
    assert [np.asarray(shape[0]).dtype == np.bool_ for shape in shapes] == [True, False]
    assert np.asarray(shapes[0][0]).sum() == 6


def test_bags_without_definitions_get_those_that_are_known(tmp_path: Path) -> None:
    """As Humble records them in SQLite."""
    source = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3)
    file = sqlite3.connect(source / "in.db3")
    file.execute("DELETE FROM message_definitions")
    file.execute("UPDATE topics SET type_description_hash = ''")
    file.commit()
    file.close()
    metadata = (source / "metadata.yaml").read_text()
    metadata = re.sub(r"type_description_hash:\s+\S+", "type_description_hash: ''", metadata)
    (source / "metadata.yaml").write_text(metadata)
    assert caption(source, tmp_path / "out").frames == 3
    after = contents(tmp_path / "out")
    assert len(after.raw) == len(contents(source).raw) + 3
    assert "string data" in after.connections["/chatter"].msgdef.data


def test_types_with_other_fields_are_refused(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2), StoragePlugin.SQLITE3)
    metadata = (source / "metadata.yaml").read_text()
    known, other = bag_support.STORE.hash_rihs01(DETECTIONS), "RIHS01_" + 64 * "1"
    assert known in metadata
    (source / "metadata.yaml").write_text(metadata.replace(known, other))
    file = sqlite3.connect(source / "in.db3")
    file.execute("UPDATE topics SET type_description_hash = ? WHERE type = ?", (other, DETECTIONS))
    file.commit()
    file.close()
    with pytest.raises(InputError, match="other fields"):
        caption(source, tmp_path / "out")
