"""Nothing of a bag is read in part without a word: it is an error, or told with `partial`."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from bag_support import (
    FakeCaptioner,
    Foreign,
    caption,
    contents,
    edit_metadata,
    scene,
    split_bag,
    write_bag,
    write_mcap,
)
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.caption_bag import BagOptions, caption_bag, no_progress

KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]
PARTS = [scene(6)[:4], scene(6)[4:9], scene(6)[9:]]


def lacks(source: Path, output: Path, told: str, **options: Any) -> int:
    """Frames that are captioned all the same; without `partial` it must be an error."""
    with pytest.raises(InputError, match=rf"{told}.*--partial"):
        caption(source, output, **options)
    assert not output.exists()
    assert not output.with_name(f"{output.name}.partial").exists()
    summary = caption(source, output, partial=True, **options)
    assert re.search(told, "; ".join(summary.lacking))
    return summary.frames


def what_is_left(source: Path, output: Path) -> int:
    """Frames that are captioned of what can be read, none where that is none."""
    try:
        return caption(source, output, partial=True).frames
    except InputError:
        return 0


@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_all_files_of_a_split_bag_are_read(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = split_bag(tmp_path / "in", PARTS, storage, compression)
    assert caption(source, tmp_path / "out").frames == 6
    copied = [message[:2] for message in contents(tmp_path / "out").raw]
    assert [m for m in copied if "regions" not in m[0] and "captioner" not in m[0]] == [
        (topic, log_ns) for topic, log_ns, _, _ in scene(6)
    ]
    names = sorted(path.name for path in source.iterdir() if path.suffix != ".yaml")

    def one_less(said: dict[str, Any]) -> None:
        said["relative_file_paths"] = names[:2]

    edit_metadata(source, one_less)
    assert lacks(source, tmp_path / "a", rf"{names[2]}: it is in the folder") == 6
    (source / names[2]).unlink()
    assert lacks(source, tmp_path / "b", r"/image: the files hold 3 messages; .* counts 6") == 3
    (source / names[1]).unlink()
    assert lacks(source, tmp_path / "c", rf"{names[1]}: .* is missing") == 1
    (source / "metadata.yaml").unlink()
    assert lacks(source, tmp_path / "d", "no metadata.yaml, .*`ros2 bag reindex") == 1


@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_a_file_by_itself_is_a_bag_however_it_is_compressed(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(3), storage, compression)
    (file,) = source.glob("in.*")
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (3, [])
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".yaml", file.suffix}


@pytest.mark.parametrize(("storage", "compression"), KINDS)
def test_the_check_counts_each_byte_once(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = split_bag(tmp_path / "in", PARTS, storage, compression)
    read: list[int] = []
    with BagReader(source, step=read.append):
        files = [path for path in source.iterdir() if path.suffix != ".yaml"]
        whole = sum(path.stat().st_size for path in files)
        assert whole - 16 * len(files) <= sum(read) <= whole


def test_without_metadata_no_file_of_several_is_advised(tmp_path: Path) -> None:
    source = split_bag(tmp_path / "in", PARTS)
    (source / "metadata.yaml").unlink()
    told = r"it has no metadata\.yaml, .*; `ros2 bag reindex .*in` makes one"
    assert lacks(source, tmp_path / "out", rf"{told}(?!, or)") == 6
    for name in ("in_0.mcap", "in_2.mcap"):
        (source / name).unlink()
    assert lacks(source, tmp_path / "one", rf"{told}, or give .*in_1\.mcap itself") > 0


def test_files_that_overlap_are_merged_by_time(tmp_path: Path) -> None:
    source = split_bag(tmp_path / "in", [scene(4)[1::2], scene(4)[::2]])
    caption(source, tmp_path / "out")
    times = [log_ns for _, log_ns, _ in contents(tmp_path / "out").raw]
    assert times == sorted(times)


@pytest.mark.parametrize("chunked", [True, False])
def test_messages_need_not_be_in_order_in_a_file(chunked: bool, tmp_path: Path) -> None:
    source = write_mcap(tmp_path / "in.mcap", scene(4)[::-1], chunk_size=6000, use_chunking=chunked)
    assert caption(source, tmp_path / "out").frames == 4
    times = [log_ns for _, log_ns, _ in contents(tmp_path / "out").raw]
    assert times == sorted(times)


def count_less(said: dict[str, Any]) -> None:
    said["topics_with_message_count"][0]["message_count"] -= 1


def count_files_less(said: dict[str, Any]) -> None:
    said["files"][0]["message_count"] -= 1


def other_type(said: dict[str, Any]) -> None:
    said["topics_with_message_count"][1]["topic_metadata"]["type"] = "std_msgs/msg/Strin"


def other_format(said: dict[str, Any]) -> None:
    said["topics_with_message_count"][1]["topic_metadata"]["serialization_format"] = "cdx"


def other_name(said: dict[str, Any]) -> None:
    said["topics_with_message_count"][1]["topic_metadata"]["name"] = "/chat"


def no_topic(said: dict[str, Any]) -> None:
    del said["topics_with_message_count"][1]


def other_storage(said: dict[str, Any]) -> None:
    said["storage_identifier"] = "sqlite4"


def other_mode(said: dict[str, Any]) -> None:
    said.update(compression_mode="message", compression_format="zstd")


def no_version(said: dict[str, Any]) -> None:
    said["version"] = "8x"


@pytest.mark.parametrize("kind", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=lambda k: k.name)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (count_less, "/image: the files hold 3 messages; metadata.yaml counts 2"),
        (count_files_less, r"in\.\w+: it holds 9 messages; metadata.yaml counts 8"),
        (other_type, "/chatter: metadata.yaml says type std_msgs/msg/Strin; by its files it is"),
        (other_format, "/chatter: .* serialization_format cdx; by its files it is cdr"),
        (other_name, "/chat: the files hold 0 messages; .* counts 3.*/chatter: .* hold 3 .* 0"),
        (no_topic, "/chatter: the files hold 3 messages; metadata.yaml counts 0"),
        (other_storage, "storage is sqlite4; its files are"),
        (other_mode, "compression_mode 'message'; by its files it is ''"),
        (no_version, "metadata.yaml is damaged .*version is '8x'.*reindex"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_metadata_says_is_held_against_the_files(
    kind: StoragePlugin, change: Callable[[dict[str, Any]], None], told: str, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(3), kind)
    edit_metadata(source, change)
    assert lacks(source, tmp_path / "out", told) == 3
    assert caption(source.parent / "out", tmp_path / "again", descriptions="/b").lacking == []


def test_profiles_that_differ_are_told(tmp_path: Path) -> None:
    source = caption_of_a_bag(tmp_path)

    def best_effort(said: dict[str, Any]) -> None:
        for entry in said["topics_with_message_count"]:
            topic = entry["topic_metadata"]
            topic["offered_qos_profiles"] = topic["offered_qos_profiles"].replace(
                "reliability: 1", "reliability: 2"
            )

    edit_metadata(source, best_effort)
    assert lacks(source, tmp_path / "b", "says offered_qos_profiles", descriptions="/b") == 3


def caption_of_a_bag(tmp_path: Path) -> Path:
    caption(write_bag(tmp_path / "in", scene(3)), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.ZSTD])
@pytest.mark.parametrize("chunk_size", [4000, 1 << 20])
def test_an_mcap_file_that_was_cut_off_is_told_wherever(
    compression: CompressionType, chunk_size: int, tmp_path: Path
) -> None:
    """A cut may take the end, the summary, or messages."""
    file = write_mcap(
        tmp_path / "in.mcap", scene(6), compression=compression, chunk_size=chunk_size
    )
    whole = file.read_bytes()
    frames = []
    for number, end in enumerate(range(len(whole) - 1, 8, -len(whole) // 23)):
        file.write_bytes(whole[:end])
        with pytest.raises(InputError, match="`mcap recover`"):
            caption(file, tmp_path / "out")
        frames.append(what_is_left(file, tmp_path / f"out{number}"))
    assert frames[0] == 6
    assert frames == sorted(frames, reverse=True)
    assert frames[-1] == 0


def test_a_damaged_chunk_is_left_out_and_its_messages_are_counted(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(6), chunk_size=4000)
    whole = file.read_bytes()
    data = bytearray(whole)
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    told = r"chunk at byte \d+ can't be read: its checksum is wrong.*/image: \d messages can be"
    assert 3 <= lacks(file, tmp_path / "out", told) < 6
    # The length of a chunk: what follows is found by the index.
    place = whole.index(b"\x06", 500)
    while whole[place + 5 : place + 9] != bytes(4) or whole[place + 1 : place + 3] < b"\x00\x0f":
        place = whole.index(b"\x06", place + 1)
    data = bytearray(whole)
    data[place + 4] = 0x44
    file.write_bytes(data)
    assert 3 <= lacks(file, tmp_path / "more", "the length of the record is damaged") < 6


@pytest.mark.parametrize("more", [b"\0", b"\x89MCAP0\r\n" + bytes(99)])
def test_what_follows_the_end_of_an_mcap_file_is_told(more: bytes, tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3))
    file.write_bytes(file.read_bytes() + more)
    told = rf"it ends here, and {len(more)} bytes follow, which are not read"
    assert lacks(file, tmp_path / "out", told) == 3


def test_zeros_of_a_power_failure_are_told(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(6), chunk_size=4000)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    assert 1 <= lacks(file, tmp_path / "out", "as after a power failure|can't be read") < 6


def test_statistics_that_count_more_are_told(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3))
    data = bytearray(file.read_bytes())
    place = data.rindex(b"\x03\x00\x03\x00\x00\x00\x00\x00\x00\x00")
    data[place + 2] = 4
    file.write_bytes(data)
    assert (
        lacks(file, tmp_path / "out", "/detections: 3 messages can be read; its statistics count 4")
        == 3
    )


def test_what_belongs_to_no_topic_is_told(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3) / "in.db3"
    database = sqlite3.connect(file)
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(77, 5, x'00')")
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(1, 'now', x'00')")
    database.commit()
    database.close()
    told = r"messages without a time or data: 1.* messages of no topic of the file: 1"
    assert lacks(file, tmp_path / "out", told) == 3


def test_compressed_data_that_is_cut_is_told(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(40), StoragePlugin.SQLITE3, CompressionMode.FILE)
    file = source / "in.db3.zstd"
    file.write_bytes(file.read_bytes()[:-900])
    assert 20 < lacks(source, tmp_path / "out", "ends too early: it was cut off") < 40


def test_files_of_two_kinds_are_no_bag(tmp_path: Path) -> None:
    source = split_bag(tmp_path / "in", [scene(4)[:6], scene(4)[6:]], StoragePlugin.SQLITE3)
    (source / "in_1.db3").unlink()
    diary = Foreign("/notes", "json", ("diary", "jsonschema", b"\xff"))
    write_mcap(source / "in_1.mcap", scene(4)[6:], [diary], extras=True)
    told = r"in_1\.mcap: its storage is mcap, that of in_0\.db3 is sqlite3"
    assert lacks(source, tmp_path / "out", told) == 2


def test_a_metadata_from_before_the_end_says_so_once(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3))

    def nothing_yet(said: dict[str, Any]) -> None:
        said.update(message_count=0, topics_with_message_count=[], files=[])

    edit_metadata(source, nothing_yet)
    with pytest.raises(InputError) as error:
        caption(source, tmp_path / "out")
    assert str(error.value).startswith(
        f"bag {source}: its files hold 9 messages; metadata.yaml counts none, as before the end of "
        "a recording; `ros2 bag reindex` counts them. With --partial"
    )
    assert caption(source, tmp_path / "out", partial=True).frames == 3


def test_what_is_lost_is_told_where_nothing_is_left_to_caption(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3), chunk_size=5000)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"none at all. The bag is not whole: .* the middle of a"):
        caption(file, tmp_path / "out", partial=True)


def test_an_empty_file_that_is_not_listed_is_told_without_advice(tmp_path: Path) -> None:
    """A recorder died as it began the next file."""
    source = write_bag(tmp_path / "in", scene(3))
    (source / "in_1.mcap").touch()
    with pytest.raises(InputError, match=r"in: in_1\.mcap: it is empty\. With"):
        caption(source, tmp_path / "out")
    assert caption(source, tmp_path / "out", partial=True).frames == 3


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty$"),
        (b"#ROSBAG V2.0\n", "bag of ROS 1; convert it with rosbags-convert$"),
        (b"\x9a" * 500, "neither MCAP nor SQLite: .*encrypted"),
        (b"PK\x03\x04", "neither MCAP nor SQLite"),
        (b"\x28\xb5\x2f\xfd\x00", "can't be read: it is empty|damaged|cut off"),
        (b"SQLite format 3\x00" + bytes(5000), "the database can't be read"),
        (b"\x89MCAP0\r\n", "no messages of|it has no end"),
    ],
)
@pytest.mark.parametrize("suffix", ["mcap", "db3"])
def test_each_cause_has_its_own_sentence(
    data: bytes, told: str, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"in.{suffix}"
    file.write_bytes(data)
    with pytest.raises(InputError, match=told) as error:
        caption(file, tmp_path / "out")
    assert ("mcap recover" in str(error.value)) == data.startswith(b"\x89MCAP0")


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(2), compression=CompressionType.LZ4)
    file.write_bytes(file.read_bytes().replace(b"\x03\x00\x00\x00lz4", b"\x03\x00\x00\x00lzo"))
    with pytest.raises(InputError, match="compressed with 'lzo'; known here are lz4 and zstd") as e:
        caption(file, tmp_path / "out")
    assert "recover" not in str(e.value)


def test_a_damaged_database_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "in", scene(40), StoragePlugin.SQLITE3) / "in.db3"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\x55" * 4096
    file.write_bytes(data)
    assert 20 < lacks(file, tmp_path / "out", r"database is damaged \(.*\.recover") < 40


def test_custom_data_is_not_copied_which_is_told(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    edit_metadata(source, lambda said: said.update(custom_data={"operator": "K"}))
    assert caption(source, tmp_path / "out").notes == ["custom_data of metadata.yaml is not copied"]


def test_a_recording_that_is_changed_meanwhile_is_an_error(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3))

    def cut(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
        if what == "writing":
            os.truncate(file, 500)
        return no_progress(what, total)

    with pytest.raises(InputError, match=r"in\.mcap was changed while it was read"):
        caption_bag(file, tmp_path / "out", FakeCaptioner, BagOptions(), cut)
    assert not (tmp_path / "out").exists()


def test_a_file_and_its_compressed_twin_are_read_once(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3), compression=CompressionMode.FILE)
    plain = write_bag(tmp_path / "plain" / "in", scene(3)) / "in.mcap"
    shutil.copyfile(plain, source / "in.mcap")
    assert caption(source, tmp_path / "both").frames == 3
    (source / "in.mcap.zstd").unlink()
    told = r"in\.mcap\.zstd: .* lists it, and there is in\.mcap instead"
    assert lacks(source, tmp_path / "unpacked", told) == 3
    shutil.copyfile(plain, source / "in.mcap.zstd")
    (source / "metadata.yaml").unlink()
    assert lacks(source, tmp_path / "neither", "no metadata.yaml") == 3
    summary = caption(source, tmp_path / "told", partial=True)
    assert summary.lacking[1:] == ["in.mcap.zstd: it is left out, as in.mcap is there too"]


def test_a_full_disk_is_an_error_that_says_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3)

    def full(*unused: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(
        "perceptiondlm_ros.offline.bag_writing.file_writers.SqliteWriter.write", full
    )
    with pytest.raises(InputError, match=r"disk is full; what is captioned is kept in .*partial"):
        caption(source, tmp_path / "out")
    monkeypatch.undo()
    assert caption(source, tmp_path / "out").resumed == 3
