"""What metadata.yaml says is held against the files of a bag, and never taken for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bag_support import KINDS, caption, edit_metadata, lacks, scene, split_bag, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader

PARTS = [scene(6)[:4], scene(6)[4:9], scene(6)[9:]]


@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_all_files_of_a_split_bag_are_read_and_missing_ones_told(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = split_bag(tmp_path / "in", PARTS, storage, compression)
    paths = sorted(path for path in source.iterdir() if path.suffix != ".yaml")
    names = [path.name for path in paths]
    counted: list[int] = []
    with BagReader(source, step=counted.append) as bag:
        read = [(connection.topic, message.log_ns) for connection, message in bag.messages()]
    assert read == [(topic, log_ns) for topic, log_ns, _, _ in scene(6)]
    whole = sum(path.stat().st_size for path in paths)
    assert whole - 16 * len(paths) <= sum(counted) <= whole, "each byte is counted once"
    edit_metadata(source, lambda said: said.update(relative_file_paths=names[:2]))
    assert lacks(source, rf"{names[2]}: it is in the folder") == 6
    paths[2].unlink()
    assert lacks(source, r"/image: the files hold 3 messages; .* counts 6") == 3
    paths[1].unlink()
    assert lacks(source, rf"{names[1]}: .* is missing") == 1
    (source / "metadata.yaml").unlink()
    assert lacks(source, "no metadata.yaml, .*`ros2 bag reindex") == 1


def test_without_metadata_no_file_of_several_is_advised(tmp_path: Path) -> None:
    source = split_bag(tmp_path / "in", PARTS)
    (source / "metadata.yaml").unlink()
    told = r"it has no metadata\.yaml, .*; `ros2 bag reindex .*in` makes one"
    assert lacks(source, rf"{told}(?!, or)") == 6
    for name in ("in_0.mcap", "in_2.mcap"):
        (source / name).unlink()
    assert lacks(source, rf"{told}, or give .*in_1\.mcap itself") > 0


def topic_says(number: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    def change(said: dict[str, Any]) -> None:
        entry = said["topics_with_message_count"][number]
        entry["topic_metadata"].update(values)
        entry["message_count"] = values.get("message_count", entry["message_count"])

    return change


def says(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.update(values)


@pytest.mark.parametrize("kind", StoragePlugin)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (topic_says(0, message_count=2), "/image: the files hold 3 messages; .*yaml counts 2"),
        (
            lambda said: said["files"][0].update(message_count=8),
            r"in\.\w+: it holds 9 messages; metadata.yaml counts 8",
        ),
        (
            topic_says(1, type="std_msgs/msg/Strin"),
            "/chatter: metadata.yaml says type std_msgs/msg/Strin; by its files it is",
        ),
        (
            topic_says(1, serialization_format="cdx"),
            "/chatter: .* serialization_format cdx; by its files it is cdr",
        ),
        (
            topic_says(1, name="/chat"),
            "/chat: the files hold 0 messages; .* counts 3.*/chatter: .* hold 3 .* 0",
        ),
        (
            lambda said: said["topics_with_message_count"].pop(1),
            "/chatter: the files hold 3 messages; metadata.yaml counts 0",
        ),
        (says(storage_identifier="sqlite4"), "storage is sqlite4; its files are"),
        (
            says(compression_mode="message", compression_format="zstd"),
            "compression_mode 'message'; by its files it is ''",
        ),
        (says(version="8x"), "metadata.yaml is damaged .*`int`, got `str` - .*version`.*reindex"),
        (says(version=10), "metadata.yaml is damaged .*version is 10; known .* 1 to 9.*reindex"),
        (
            says(message_count=0, topics_with_message_count=[], files=[]),
            r"/in: its files hold 9 messages; metadata.yaml counts none, as before the end of a "
            r"recording; `ros2 bag reindex` counts them\. With",
        ),
    ],
)
def test_what_metadata_says_is_held_against_the_files(
    kind: StoragePlugin, change: Callable[[dict[str, Any]], None], told: str, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(3), kind)
    edit_metadata(source, change)
    with pytest.raises(InputError, match=told):
        BagReader(source)
    assert lacks(source, told.partition(r"\. With")[0].removeprefix("/in: ")) == 3


def test_what_is_written_of_a_bag_whose_metadata_is_wrong_is_right(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    edit_metadata(source, topic_says(1, name="/chat", type="std_msgs/msg/Strin"))
    with pytest.raises(InputError, match="/chat"):
        caption(source, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))
    assert caption(source, tmp_path / "out", partial=True).lacking != []
    BagReader(tmp_path / "out")

    def best_effort(said: dict[str, Any]) -> None:
        for entry in said["topics_with_message_count"]:
            topic = entry["topic_metadata"]
            topic["offered_qos_profiles"] = topic["offered_qos_profiles"].replace(
                "reliability: 1", "reliability: 2"
            )

    edit_metadata(tmp_path / "out", best_effort)
    assert lacks(tmp_path / "out", "says offered_qos_profiles") == 3


def test_custom_data_is_not_copied_which_is_told(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    edit_metadata(source, lambda said: said.update(custom_data={"operator": "K"}))
    with BagReader(source) as bag:
        assert bag.notes == ["custom_data of metadata.yaml is not copied"]


def test_a_file_and_its_compressed_twin_are_read_once(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3), compression=CompressionMode.FILE)
    plain = write_bag(tmp_path / "plain" / "in", scene(3)) / "in.mcap"
    shutil.copyfile(plain, source / "in.mcap")
    with BagReader(source) as bag:
        assert bag.count() == 9
    (source / "in.mcap.zstd").unlink()
    told = r"in\.mcap\.zstd: .* lists it, and there is in\.mcap instead"
    assert lacks(source, told) == 3
    shutil.copyfile(plain, source / "in.mcap.zstd")
    (source / "metadata.yaml").unlink()
    assert lacks(source, "no metadata.yaml") == 3
    with BagReader(source, partial=True) as bag:
        assert bag.lacking[1:] == ["in.mcap.zstd: it is left out, as in.mcap is there too"]


def test_an_empty_file_that_is_not_listed_is_told_without_advice(tmp_path: Path) -> None:
    """A recorder died as it began the next file."""
    source = write_bag(tmp_path / "in", scene(3))
    (source / "in_1.mcap").touch()
    with pytest.raises(InputError, match=r"in: in_1\.mcap: it is empty\. With"):
        BagReader(source)
    with BagReader(source, partial=True) as bag:
        assert bag.count() == 9
