"""What a died recorder left in the logs beside its SQLite file is read, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bag_support import caption, died, lacks, scene, split_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def read(source: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """Topics and log times of all messages, and what else is told; nothing is changed."""
    folder = source if source.is_dir() else source.parent
    before = files(folder)
    with BagReader(source) as bag:
        found = [(connection.topic, message.log_ns) for connection, message in bag.messages()]
        assert len(found) == bag.count()
    assert files(folder) == before
    return found, bag.notes


def recorded(frames: int) -> tuple[list[tuple[str, int]], list[str]]:
    """What `read` returns where nothing is left out."""
    return [(topic, log_ns) for topic, log_ns, _, _ in scene(frames)], []


@pytest.mark.parametrize("settled", [0, 5, 12])
def test_the_write_ahead_log_is_read(settled: int, tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(4), settled)
    before = files(file.parent)
    assert bool(before.get("in_0.db3-wal", (b"", 0))[0]) == (settled < 12)
    assert read(file) == recorded(4)
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking, summary.notes) == (4, [], [])
    assert files(file.parent) == before


@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_all_of_a_recording_may_be_in_the_log(page: int, tmp_path: Path) -> None:
    """As after a power cut, where not even the first page of the database came to the disk."""
    file = died(tmp_path / "in" / "in_0.db3", scene(4), page=page)
    file.write_bytes(b"")
    assert read(file) == recorded(4)
    log = file.with_name("in_0.db3-wal")
    log.write_bytes(log.read_bytes()[:3000])  # nothing whole is in it
    before = files(file.parent)
    with pytest.raises(InputError, match=r"no tables messages|can't be read"):
        BagReader(file, partial=True)
    assert files(file.parent) == before


def test_a_log_beside_any_file_of_a_split_bag_is_read(tmp_path: Path) -> None:
    """metadata.yaml as `ros2 bag reindex` writes it, with the log still there."""
    parts = [scene(6)[:9], scene(6)[9:]]
    source = split_bag(tmp_path / "in", parts, StoragePlugin.SQLITE3)
    for number, settled in enumerate((9, 1)):
        (source / f"in_{number}.db3").unlink()
        died(source / f"in_{number}.db3", parts[number], settled)
    assert read(source) == recorded(6)
    (source / "in_1.db3-wal").unlink()
    assert lacks(source, r"/image: the files hold 4 messages; .* counts 6") == 3


def test_a_log_without_its_database_is_told(tmp_path: Path) -> None:
    parts = [scene(6)[:9], scene(6)[9:]]
    source = split_bag(tmp_path / "in", parts, StoragePlugin.SQLITE3, CompressionMode.FILE)
    (source / "in_1.db3-wal").touch()
    assert read(source) == recorded(6)
    (source / "in_1.db3-wal").write_bytes(b"7")
    assert lacks(source, r"in_1\.db3-wal: it can't be read without in_1\.db3") == 6


def test_what_was_not_finished_is_told_and_what_is_damaged_is_an_error(tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(40), 3, unfinished=30)
    found, (told,) = read(file)
    assert found == recorded(40)[0][:-30]
    assert "had not finished" in told
    log = file.with_name("in_0.db3-wal")
    whole = log.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[: len(whole) // 4] + b"\x55" + whole[len(whole) // 4 + 1 :],
        whole[:40] + b"\x55\x55\x55\x55" + whole[44:],  # salts of the first page
        whole[:9] + b"\x55" + whole[10:],
        whole[:900],
        whole[:20],
    ):
        log.write_bytes(damaged)
        with pytest.raises(InputError, match=r"in_0\.db3-wal: .* damaged or cut off"):
            BagReader(file)


@pytest.mark.parametrize("page", [512, 1024, 65536])
def test_pages_may_have_any_size(page: int, tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(4), 3, page=page)
    assert read(file) == recorded(4)
    log = file.with_name("in_0.db3-wal")
    data = bytearray(log.read_bytes())
    data[-3] ^= 1
    log.write_bytes(data)
    assert lacks(file, r"in_0\.db3-wal: its last pages \(\d+\) are damaged") == 3
    with BagReader(file, partial=True) as bag:
        assert bag.notes == []  # what was cut off had been finished


def test_a_log_of_an_earlier_round_is_no_damage(tmp_path: Path) -> None:
    """After a checkpoint a log begins anew, over what was there."""
    file = died(tmp_path / "in" / "in_0.db3", scene(4), 10, checkpoint="RESTART")
    assert file.with_name("in_0.db3-wal").stat().st_size > 50_000
    assert read(file) == recorded(4)


def test_half_a_transaction_is_undone_in_a_copy(tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(40), journal="DELETE", unfinished=30)
    assert set(files(file.parent)) == {"in_0.db3", "in_0.db3-journal"}
    assert read(file) == (recorded(40)[0][:-30], [])


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    assert read(died(tmp_path / "100% mine? #1" / "in_0.db3", scene(2), 1)) == recorded(2)


@pytest.mark.parametrize("names", [("in_0.db3", "in_0.db3-wal"), ("5c1e", "77aa")])
def test_links_have_their_logs_at_either_end(names: tuple[str, str], tmp_path: Path) -> None:
    """A recorder's own files linked, or a store that names files by their contents."""
    store, links = tmp_path / "store", tmp_path / "links"
    file = died(store / "in_0.db3", scene(4), 2)
    links.mkdir()
    for name, renamed in zip(("in_0.db3", "in_0.db3-wal"), names, strict=True):
        (store / name).rename(store / renamed)
        (links / name).symlink_to(store / renamed)
    before = files(store)
    assert read(links / file.name) == recorded(4)
    if names[0] == "in_0.db3":
        (links / "in_0.db3-wal").unlink()
        assert read(links / file.name) == recorded(4)
    assert files(store) == before
