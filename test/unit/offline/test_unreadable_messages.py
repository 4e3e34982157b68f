"""A message that can't be decoded is skipped, counted and named, and the run goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import bag_support
import pytest
from bag_support import LATE, MS, START, STORE, FakeCaptioner, caption, contents, serialized
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.cli.main import main
from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.offline.definitions import COMPRESSED_IMAGE, DETECTIONS, IMAGE

STEP = 100 * MS
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "wrong byte order": lambda data: b"\x00\x00" + data[2:],
    "frame_id beyond the end": lambda data: data[:12] + b"\xff\xff\xff\x7f" + data[16:],
    "noise": lambda data: bytes(range(1, 200)),
}


def write(
    path: Path, changed: dict[tuple[str, int], Any], frames: int = 6, kind: str = IMAGE
) -> Path:
    """Frames at 10 Hz; `changed` makes other bytes of the messages of a topic and a number."""
    messages = []
    for number in range(frames):
        stamp = START + number * STEP
        sent = bag_support.image(stamp, number)
        if kind == COMPRESSED_IMAGE:
            sent = STORE.types[kind](header=sent.header, format="jpeg", data=sent.data)
        found = bag_support.detections(stamp, [(2.0, 2.0, 12.0, 10.0)])
        for topic, type_name, message in (
            ("/image", kind, sent),
            ("/detections", DETECTIONS, found),
        ):
            data = changed.get((topic, number), bytes)(serialized(type_name, message))
            messages.append((topic, stamp + LATE, type_name, data))
    return bag_support.write_bag(path, messages)


def copied(bag: Path) -> list[tuple[str, int, bytes]]:
    return [message for message in contents(bag).raw if message[0] in ("/image", "/detections")]


def test_text_that_is_not_utf_8_is_no_damage(tmp_path: Path) -> None:
    def latin(data: bytes) -> bytes:
        return data.replace(b"cup", b"c\xeap").replace(b"camera", b"cam\xe9ra")

    source = write(tmp_path / "in", {("/detections", 2): latin, ("/image", 2): latin})
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.matching.unreadable) == (6, {})
    message = contents(tmp_path / "out").described[2][1]
    assert message.regions[0].label == "c\ufffdp"
    assert message.header.frame_id == "cam\ufffdra"
    assert copied(tmp_path / "out") == contents(source).raw


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_other_frames_are_captioned_and_all_is_copied(damage: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in", {("/detections", 2): damage, ("/image", 4): damage})
    summary = caption(source, tmp_path / "out", tolerance=0.0)
    described = contents(tmp_path / "out").described
    assert [(log_ns - START) // STEP for log_ns, _ in described] == [0, 1, 3, 5]
    assert [found.count for found in summary.matching.unreadable.values()] == [1, 1]
    assert summary.matching.unmatched == 1
    assert copied(tmp_path / "out") == contents(source).raw


def test_an_image_that_can_t_be_read_is_as_one_that_was_lost(tmp_path: Path) -> None:
    """Its detections have the nearest one, as in the node."""
    source = write(tmp_path / "in", {("/image", 2): DAMAGE["cut"]})
    summary = caption(source, tmp_path / "out", tolerance=0.15)
    assert (summary.frames, summary.matching.matched_nearest) == (6, 1)
    texts = [message.regions[0].caption[0] for _, message in contents(tmp_path / "out").described]
    assert texts == ["0", "1", "1", "3", "4", "5"]


def test_each_is_named_with_its_stamp_or_else_its_log_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perceptiondlm_ros.cli.bag.load_captioner", lambda _: FakeCaptioner())
    changed = {("/detections", n): DAMAGE["cut"] for n in range(1, 13)}
    changed[("/image", 3)] = DAMAGE["empty"]
    source = write(tmp_path / "in", changed, frames=14)
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    captioned, line, image, _ = capsys.readouterr().out.splitlines()
    assert captioned == "captioned 2 regions in 2 frames"
    assert line.startswith("12 messages of /detections could not be read: at 1000.100000000: it ")
    for number in range(2, 11):
        assert f"; at {1000 + number / 10:.9f}: it has 225 bytes and would need" in line
    assert line.endswith("; and 2 more")
    assert image == (
        "1 message of /image could not be read: logged at 1000.305000000: it is empty and is no "
        "plain CDR"
    )


@pytest.mark.parametrize("passes", [0, 2])
def test_a_run_that_was_interrupted_ends_with_the_same(passes: int, tmp_path: Path) -> None:
    """Frames keep their numbers, and nothing is counted twice."""
    changed = {("/detections", 1): DAMAGE["cut"], ("/image", 4): DAMAGE["noise"]}
    source = write(tmp_path / "in", changed, frames=7)
    whole = caption(source, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(BackendError):
            caption(source, tmp_path / "out", FakeCaptioner(passes))
    left = FakeCaptioner()
    summary = caption(source, tmp_path / "out", left)
    assert left.passes + summary.resumed == summary.frames
    assert summary.resumed == 2 * passes
    assert summary.matching == whole.matching
    assert contents(tmp_path / "out").raw == contents(tmp_path / "whole").raw


def test_where_no_detections_can_be_read_the_error_says_so(tmp_path: Path) -> None:
    source = write(tmp_path / "in", {("/detections", n): DAMAGE["cut"] for n in range(6)})
    with pytest.raises(InputError, match="6 messages of /detections could not be read: at 1000"):
        caption(source, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("first", [1, 8])
def test_messages_that_are_compressed_one_by_one_are_copied_as_they_are(
    first: int, tmp_path: Path
) -> None:
    """One that is no compressed message says nothing of the others, even if it is the first."""
    source = bag_support.write_bag(
        tmp_path / "in", bag_support.scene(8), StoragePlugin.SQLITE3, CompressionMode.MESSAGE
    )

    def stored(bag: Path) -> list[tuple[bytes]]:
        with closing(sqlite3.connect(bag / f"{bag.name}.db3")) as database:
            return database.execute(
                "SELECT data FROM messages JOIN topics ON topics.id = topic_id "
                "WHERE name != '/region_captioner/descriptions' ORDER BY messages.id"
            ).fetchall()

    with closing(sqlite3.connect(source / "in.db3")) as database:
        for number, changed in ((first, "x'00' || substr(data, 2)"), (13, "substr(data, 1, 20)")):
            database.execute(
                f"UPDATE messages SET data = CAST({changed} AS BLOB) WHERE id = ?", (number,)
            )
        database.commit()
    summary = caption(source, tmp_path / "out", tolerance=0.0)
    told = [line.told(topic) for topic, line in summary.matching.unreadable.items()]
    assert "its compressed data ends too early" in " ".join(told)
    assert sum(line.count for line in summary.matching.unreadable.values()) == 1 + (first == 1)
    assert summary.frames == 8 - summary.matching.unmatched
    assert stored(tmp_path / "out") == stored(source)


def test_compressed_images_are_decoded_alike(tmp_path: Path) -> None:
    """An odd format is no damage; what can't be decoded as a picture drops its regions, as ever."""

    def odd(data: bytes) -> bytes:
        return data.replace(b"jpeg", b"jp\xffg")

    changed = {("/image", 0): DAMAGE["cut"], ("/image", 1): odd, ("/image", 2): odd}
    source = write(tmp_path / "in", changed, frames=3, kind=COMPRESSED_IMAGE)
    summary = caption(source, tmp_path / "out", tolerance=0.0)
    assert summary.matching.unreadable["/image"].count == 1
    assert (summary.frames, summary.regions, summary.matching.unmatched) == (2, 0, 1)
    assert sum(summary.dropped.values()) == 2
