"""Nothing of a file is read in part without a word: it is an error, or told with `partial`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from bag_support import Foreign, caption, lacks, scene, split_bag, write_bag, write_mcap
from mcap.writer import CompressionType
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader


def what_is_left(source: Path) -> int:
    """Messages that can be read, none where there is nothing of a bag."""
    try:
        with BagReader(source, partial=True) as bag:
            return len(list(bag.messages()))
    except InputError:
        return 0


@pytest.mark.parametrize(
    ("compression", "chunk_size"),
    [(CompressionType.NONE, 4000), (CompressionType.ZSTD, 4000), (CompressionType.ZSTD, 1 << 20)],
)
def test_an_mcap_file_that_was_cut_off_is_told_wherever(
    compression: CompressionType, chunk_size: int, tmp_path: Path
) -> None:
    """A cut may take the end, the summary, or messages."""
    file = write_mcap(
        tmp_path / "in.mcap", scene(6), compression=compression, chunk_size=chunk_size
    )
    whole = file.read_bytes()
    left = []
    for end in range(len(whole) - 1, 8, -len(whole) // 23):
        file.write_bytes(whole[:end])
        with pytest.raises(InputError, match="`mcap recover`"):
            BagReader(file)
        left.append(what_is_left(file))
    assert left[0] == 18
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


def test_a_damaged_chunk_is_left_out_and_its_messages_are_counted(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(6), chunk_size=4000)
    whole = file.read_bytes()
    data = bytearray(whole)
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    told = r"chunk at byte \d+ can't be read: its checksum is wrong.*/image: \d messages can be"
    assert 3 <= lacks(file, told) < 6
    # The length of a chunk: what follows is found by the index.
    place = whole.index(b"\x06", 500)
    while whole[place + 5 : place + 9] != bytes(4) or whole[place + 1 : place + 3] < b"\x00\x0f":
        place = whole.index(b"\x06", place + 1)
    data = bytearray(whole)
    data[place + 4] = 0x44
    file.write_bytes(data)
    assert 3 <= lacks(file, "the length of the record is damaged") < 6


def with_more_in_its_statistics(data: bytes) -> bytes:
    counted = b"\x03\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    before, found, after = data.rpartition(counted)
    return before + found.replace(b"\x03\x00\x06", b"\x03\x00\x04") + after


@pytest.mark.parametrize(
    ("damage", "told", "left"),
    [
        (lambda data: data + b"\0", "it ends here, and 1 bytes follow, which are not read", 6),
        (
            lambda data: data + b"\x89MCAP0\r\n" + bytes(99),
            "it ends here, and 107 bytes follow, which are not read: is another file appended",
            6,
        ),
        (
            lambda data: data[: len(data) // 2] + bytes(len(data) // 2),
            "as after a power failure|can't be read",
            2,
        ),
        (with_more_in_its_statistics, "/det.*: 6 messages can be read; its statistics count 4", 6),
    ],
)
def test_what_is_not_as_it_was_written_is_told(
    damage: Callable[[bytes], bytes], told: str, left: int, tmp_path: Path
) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(6), chunk_size=4000)
    file.write_bytes(damage(file.read_bytes()))
    assert lacks(file, told) == left


@pytest.mark.parametrize("chunked", [True, False])
def test_messages_need_not_be_in_order_in_a_file(chunked: bool, tmp_path: Path) -> None:
    source = write_mcap(tmp_path / "in.mcap", scene(4)[::-1], chunk_size=6000, use_chunking=chunked)
    with BagReader(source) as bag:
        times = [message.log_ns for _, message in bag.messages()]
    assert len(times) == 12
    assert times == sorted(times)


def test_files_that_overlap_are_merged_by_time(tmp_path: Path) -> None:
    with BagReader(split_bag(tmp_path / "in", [scene(4)[1::2], scene(4)[::2]])) as bag:
        read = [(connection.topic, message.log_ns) for connection, message in bag.messages()]
    assert [log_ns for _, log_ns in read] == [log_ns for _, log_ns, _, _ in scene(4)]


def test_what_belongs_to_no_topic_is_told(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "in", scene(3), StoragePlugin.SQLITE3) / "in.db3"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(
            "INSERT INTO messages(topic_id, timestamp, data) VALUES(77, 5, x'00'), (1, 'now', x'')"
        )
    told = r"messages without a time or data: 1.* messages of no topic of the file: 1"
    with pytest.raises(InputError, match=told):
        BagReader(file)
    assert caption(file, tmp_path / "out", partial=True).frames == 3


def test_a_damaged_database_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "in", scene(40), StoragePlugin.SQLITE3) / "in.db3"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\x55" * 4096
    file.write_bytes(data)
    assert 20 < lacks(file, r"database is damaged \(.*\.recover") < 40


def test_compressed_data_that_is_cut_is_told(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(40), StoragePlugin.SQLITE3, CompressionMode.FILE)
    file = source / "in.db3.zstd"
    file.write_bytes(file.read_bytes()[:-900])
    assert 20 < lacks(source, "ends too early: it was cut off") < 40


def test_files_of_two_kinds_are_no_bag(tmp_path: Path) -> None:
    source = split_bag(tmp_path / "in", [scene(4)[:6], scene(4)[6:]], StoragePlugin.SQLITE3)
    (source / "in_1.db3").unlink()
    diary = Foreign("/notes", "json", ("diary", "jsonschema", b"\xff"))
    write_mcap(source / "in_1.mcap", scene(4)[6:], [diary], extras=True)
    assert lacks(source, r"in_1\.mcap: its storage is mcap, that of in_0\.db3 is sqlite3") == 2
    assert caption(source, tmp_path / "out", partial=True).frames == 2


def test_what_is_lost_is_told_where_nothing_is_left_to_caption(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3), chunk_size=5000)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"none at all. The bag is not whole: .* the middle of a"):
        caption(file, tmp_path / "out", partial=True)


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
        BagReader(file)
    assert ("mcap recover" in str(error.value)) == data.startswith(b"\x89MCAP0")


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(2), compression=CompressionType.LZ4)
    file.write_bytes(file.read_bytes().replace(b"\x03\x00\x00\x00lz4", b"\x03\x00\x00\x00lzo"))
    with pytest.raises(InputError, match="compressed with 'lzo'; known here are lz4 and zstd") as e:
        BagReader(file)
    assert "recover" not in str(e.value)
