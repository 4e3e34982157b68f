"""Channels that are not ROS 2's, and files inside an MCAP file, are copied as they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bag_support import (
    START,
    Foreign,
    caption,
    contents,
    edit_metadata,
    held,
    scene,
    write_bag,
    write_mcap,
)
from mcap.reader import make_reader
from mcap.writer import CompressionType
from rosbags.rosbag2 import StoragePlugin

from perceptiondlm_ros.errors import InputError

JSON = Foreign("/notes", "json", ("diary", "jsonschema", b'{"type": "object"}'), b'{"a": "\xc3"}')
PROTOBUF = Foreign("/log", "protobuf", ("foxglove.Log", "protobuf", b"\n\x90\xff\xfe\x80"))
SCHEMALESS = Foreign("/raw", "", None, b"")
UNKNOWN = Foreign("/lidar", "x-ours", ("scan", "x-ours/1", b"\x00"), metadata=())
ROS1 = Foreign("/old", "ros1", ("std_msgs/String", "ros1msg", b"string data\n"))
# As recorders of ROS 2 write the events of services, and actions whose definition they don't find.
EVENT = b"\x00\x01\x00\x00" + bytes(20)
SERVICE = Foreign("/a/_service_event", "cdr", ("std_srvs/srv/A_Event", "ros2msg", b"SRV: "), EVENT)
ACTION = Foreign("/go/_action/feedback", "cdr", ("go/action/Go_FeedbackMessage", "", b""), EVENT)

Written = tuple[set[Any], list[Any], list[Any], list[Any]]


def read(path: Path) -> Written:
    """Channels, messages, attachments and metadata by the reader of another library."""
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        messages = [
            (channel.topic, sent.log_time, sent.publish_time, sent.sequence, sent.data)
            for _, channel, sent in reader.iter_messages()
        ]
        summary = reader.get_summary()
        assert summary is not None
        channels = set()
        for channel in summary.channels.values():
            schema = summary.schemas.get(channel.schema_id)
            told = (schema.name, schema.encoding, schema.data) if schema else None
            metadata = tuple(sorted(channel.metadata.items()))
            channels.add((channel.topic, channel.message_encoding, told, metadata))
        notes = [(note.name, note.metadata) for note in reader.iter_metadata()]
        notes = [note for note in notes if note[0] != "rosbag2"]
        return channels, sorted(messages), list(reader.iter_attachments()), notes


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD, "chunk_size": 2000},
        {"use_chunking": False},
        {"use_statistics": False, "repeat_channels": False, "repeat_schemas": False},
        {"profile": "", "chunk_size": 5000},
    ],
    ids=["lz4", "zstd", "no chunks", "no summary", "no profile"],
)
def test_all_of_them_are_copied_byte_by_byte(options: dict[str, Any], tmp_path: Path) -> None:
    foreign = [JSON, PROTOBUF, SCHEMALESS, UNKNOWN, ROS1, SERVICE, ACTION]
    source = write_mcap(tmp_path / "in.mcap", scene(4), foreign, extras=True, **options)
    whole = write_mcap(tmp_path / "whole.mcap", scene(4), foreign, extras=True)
    summary = caption(source, tmp_path / "out", descriptions="/captions")
    assert (summary.frames, summary.lacking) == (4, [])
    assert summary.foreign == [
        *("/lidar (x-ours)", "/log (protobuf)", "/notes (json)", "/old (ros1)"),
        "/raw (no encoding)",
    ]
    channels, messages, attachments, notes = read(tmp_path / "out" / "out.mcap")
    before = read(whole)
    assert {channel for channel in channels if channel[0] != "/captions"} == before[0]
    assert [message for message in messages if message[0] != "/captions"] == before[1]
    assert (attachments, notes) == before[2:]
    held(tmp_path / "out")  # is whole as well


def test_a_folder_has_them_in_its_metadata(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    write_mcap(source / "in.mcap", scene(2), [JSON])
    topic = {"name": "/notes", "type": "diary", "serialization_format": "json"}
    entry = {"topic_metadata": topic, "message_count": 7}

    def add(said: dict[str, Any]) -> None:
        said["topics_with_message_count"].append(entry)
        said["message_count"] += 7
        said["files"][0]["message_count"] += 7

    with pytest.raises(InputError, match=r"/notes: the files hold 7 messages; .* counts 0"):
        caption(source, tmp_path / "out")
    edit_metadata(source, add)
    assert caption(source, tmp_path / "out").frames == 2
    held(tmp_path / "out")  # is whole as well


def test_topics_of_other_formats_in_sqlite_are_copied(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2), StoragePlugin.SQLITE3) / "in.db3"
    with closing(sqlite3.connect(source)) as database:
        database.executescript(
            "INSERT INTO topics VALUES(9, '/cbor', 'a/B', 'cbor', '', ''),"
            "(10, '/odd', 'our_msgs/msg/Odd', 'cdr', '', 'RIHS');"
            "INSERT INTO messages(topic_id, timestamp, data)"
            f"VALUES(9, {START}, x'00ff10'), (10, {START}, x'00ff10')"
        )
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.foreign) == (2, ["/cbor (cbor)"])
    with closing(sqlite3.connect(tmp_path / "out" / "out.db3")) as database:
        rows = database.execute(
            "SELECT name, type, serialization_format, type_description_hash, data FROM topics "
            "JOIN messages ON topic_id = topics.id WHERE timestamp = ? ORDER BY name",
            (START,),
        ).fetchall()
    assert rows == [
        ("/cbor", "a/B", "cbor", "", b"\x00\xff\x10"),
        ("/odd", "our_msgs/msg/Odd", "cdr", "RIHS", b"\x00\xff\x10"),
    ]


def test_a_foreign_image_is_no_image(tmp_path: Path) -> None:
    other = Foreign("/camera", "json", ("sensor_msgs/msg/Image", "jsonschema", b"{}"))
    source = write_mcap(tmp_path / "in.mcap", scene(2), [other])
    assert caption(source, tmp_path / "out").frames == 2
    old = [Foreign("/image", "ros1", ("sensor_msgs/Image", "ros1msg", b""))]
    source = write_mcap(tmp_path / "old.mcap", scene(1)[1:2], old, profile="ros1")
    with pytest.raises(
        InputError, match=r"recorded with ROS 1; .*/image \[sensor_msgs/Image, ros1\]"
    ):
        caption(source, tmp_path / "none")


def test_a_name_that_is_not_utf_8_does_no_harm_and_is_told(tmp_path: Path) -> None:
    diary = Foreign("/notXs", "json", ("diXry", "jsonschema", b"{}"), metadata=(("bX", "yX"),))
    source = write_mcap(tmp_path / "in.mcap", scene(3), [diary], use_chunking=False, extras=True)
    data = source.read_bytes()
    for name in (b"notXs", b"diXry", b"bX", b"yX"):
        data = data.replace(name, name.replace(b"X", b"\xe9"))
    source.write_bytes(data.replace("K\u00e4the".encode(), b"Kaethe"))
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.lacking) == (3, [])
    assert summary.foreign == ["/not\ufffds (json)"]
    assert summary.notes == [
        "in.mcap: /not\ufffds: what its channel says is not all UTF-8, and is written with U+FFFD"
    ]
    source.write_bytes(data.replace("K\u00e4the".encode(), b"K\xe4 the"))
    told = caption(source, tmp_path / "more").notes
    assert "in.mcap: the metadata at byte " in told[0] and "not all UTF-8" in told[0]


def test_notes_that_are_damaged_are_left_out_and_told(tmp_path: Path) -> None:
    source = write_mcap(tmp_path / "in.mcap", scene(3), use_chunking=False, extras=True)
    data = source.read_bytes()
    source.write_bytes(data.replace(b"\x06\0\0\0driver", b"\xff\0\0\0driver"))
    with pytest.raises(InputError, match=r"in\.mcap: the metadata at byte \d+ is damaged: a field"):
        caption(source, tmp_path / "out")
    assert caption(source, tmp_path / "out", partial=True).frames == 3
    assert len(contents(tmp_path / "out").described) == 3, "rosbags reads what is all ROS 2's"
