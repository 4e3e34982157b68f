"""What a died recorder left in the logs beside its SQLite file is read, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bag_support import caption, contents, died, scene, split_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import InputError

Files = dict[str, tuple[bytes, int]]


def files(folder: Path) -> Files:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def raw(messages: list[tuple[str, int, str, object]]) -> list[tuple[str, int]]:
    return [(topic, log_ns) for topic, log_ns, _, _ in messages]


@pytest.mark.parametrize("settled", [0, 5, 12])
def test_the_write_ahead_log_is_read_and_nothing_is_changed(settled: int, tmp_path: Path) -> None:
    messages = scene(4)
    file = died(tmp_path / "in" / "in_0.db3", messages, settled)
    before = files(file.parent)
    assert bool(before.get("in_0.db3-wal", (b"", 0))[0]) == (settled < len(messages))
    summary = caption(file, tmp_path / "out", descriptions="/captions")
    assert (summary.frames, summary.lacking, summary.notes) == (4, [], [])
    assert files(file.parent) == before
    after = [(topic, log_ns) for topic, log_ns, _ in contents(tmp_path / "out").raw]
    assert sorted(m for m in after if m[0] != "/captions") == sorted(raw(messages))


@pytest.mark.parametrize("page", [512, 4096, 65536])
def test_all_of_a_recording_may_be_in_the_log(page: int, tmp_path: Path) -> None:
    """As after a power cut, where not even the first page of the database came to the disk."""
    file = died(tmp_path / "in" / "in_0.db3", scene(4), page=page)
    file.write_bytes(b"")
    before = files(file.parent)
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (4, [])
    assert files(file.parent) == before
    log = file.with_name("in_0.db3-wal")
    log.write_bytes(log.read_bytes()[:3000])  # nothing whole is in it
    before = files(file.parent)
    with pytest.raises(InputError, match=r"no tables messages|can't be read"):
        caption(file, tmp_path / "nothing", partial=True)
    assert files(file.parent) == before


def test_a_log_beside_any_file_of_a_split_bag_is_read(tmp_path: Path) -> None:
    """metadata.yaml as `ros2 bag reindex` writes it, with the log still there."""
    parts = [scene(6)[:9], scene(6)[9:]]
    source = split_bag(tmp_path / "in", parts, StoragePlugin.SQLITE3)
    for number, settled in enumerate((9, 1)):
        (source / f"in_{number}.db3").unlink()
        died(source / f"in_{number}.db3", parts[number], settled)
    before = files(source)
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (6, [])
    assert files(source) == before
    (source / "in_1.db3-wal").unlink()
    with pytest.raises(InputError, match=r"/image: the files hold 4 messages; .* counts 6"):
        caption(source, tmp_path / "less")
    assert caption(source, tmp_path / "less", partial=True).frames == 3


def test_a_log_without_its_database_is_told(tmp_path: Path) -> None:
    parts = [scene(6)[:9], scene(6)[9:]]
    source = split_bag(tmp_path / "in", parts, StoragePlugin.SQLITE3, CompressionMode.FILE)
    assert caption(source, tmp_path / "whole").lacking == []
    (source / "in_1.db3-wal").touch()
    assert caption(source, tmp_path / "empty").lacking == []
    (source / "in_1.db3-wal").write_bytes(b"7")
    with pytest.raises(InputError, match=r"in_1\.db3-wal: it can't be read without in_1\.db3"):
        caption(source, tmp_path / "out")
    assert caption(source, tmp_path / "out", partial=True).frames == 6


def test_what_was_not_finished_is_told_and_what_is_damaged_is_an_error(tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(40), 3, unfinished=30)
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (30, [])
    assert "had not finished" in summary.notes[0]

    log = file.with_name("in_0.db3-wal")
    whole = log.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        whole[: len(whole) // 4] + b"\x55" + whole[len(whole) // 4 + 1 :],
        whole[:40] + b"\x55\x55\x55\x55" + whole[44:],  # salts of the first page
        whole[:9] + b"\x55" + whole[10:],
        whole[:20],
    ):
        log.write_bytes(damaged)
        with pytest.raises(InputError, match=r"in_0\.db3-wal: .* damaged or cut off"):
            caption(file, tmp_path / "less")
        assert not (tmp_path / "less").exists()


@pytest.mark.parametrize("page", [512, 1024, 65536])
def test_pages_may_have_any_size(page: int, tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(4), 3, page=page)
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking, summary.notes) == (4, [], [])
    log = file.with_name("in_0.db3-wal")
    data = bytearray(log.read_bytes())
    data[-3] ^= 1
    log.write_bytes(data)
    with pytest.raises(InputError, match=r"in_0\.db3-wal: its last pages \(\d+\) are damaged"):
        caption(file, tmp_path / "less")
    summary = caption(file, tmp_path / "less", partial=True)
    assert (summary.frames, summary.notes) == (3, [])  # what was cut off had been finished


def test_a_log_of_an_earlier_round_is_no_damage(tmp_path: Path) -> None:
    """After a checkpoint a log begins anew, over what was there."""
    file = died(tmp_path / "in" / "in_0.db3", scene(4), 10, checkpoint="RESTART")
    assert file.with_name("in_0.db3-wal").stat().st_size > 50_000
    assert caption(file, tmp_path / "out").frames == 4


def test_half_a_transaction_is_undone_in_a_copy(tmp_path: Path) -> None:
    file = died(tmp_path / "in" / "in_0.db3", scene(40), journal="DELETE", unfinished=30)
    before = files(file.parent)
    assert set(before) == {"in_0.db3", "in_0.db3-journal"}
    summary = caption(file, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (30, [])
    assert files(file.parent) == before


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    file = died(tmp_path / "100% mine? #1" / "in_0.db3", scene(2), 1)
    assert caption(file, tmp_path / "out").frames == 2


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
    assert caption(links / file.name, tmp_path / "out").frames == 4
    if names[0] == "in_0.db3":
        (links / "in_0.db3-wal").unlink()
        assert caption(links / file.name, tmp_path / "again").frames == 4
    assert files(store) == before
