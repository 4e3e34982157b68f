"""metadata.yaml: what a recorder says of its bag, and what is said of the bag with captions.

It is only held against the files, never taken for them: a wrong letter in it must not end up in a
new bag.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from rosbags.interfaces import QosDurability, QosHistory, QosLiveliness, QosReliability
from ruamel.yaml import YAML

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.stored import Connection

FILE: Final = "metadata.yaml"
_NEWEST: Final = 9
WRITTEN: Final = 8
"""The newest in which quality of service has the form that Humble reads."""


class _Time(msgspec.Struct):
    sec: int
    nsec: int


class Profile(msgspec.Struct):
    """Of quality of service."""

    history: QosHistory
    depth: int
    reliability: QosReliability
    durability: QosDurability
    deadline: _Time
    lifespan: _Time
    liveliness: QosLiveliness
    liveliness_lease_duration: _Time
    avoid_ros_namespace_conventions: bool


_NAMED: Final[dict[str, Any]] = {
    "history": QosHistory,
    "reliability": QosReliability,
    "durability": QosDurability,
    "liveliness": QosLiveliness,
}


class StatedTopic(msgspec.Struct):
    """A topic as metadata.yaml describes it; older recorders leave out what has a default."""

    name: str
    type: str
    serialization_format: str
    offered_qos_profiles: str | list[Any] | None = None
    type_description_hash: str | None = None


class _CountedTopic(msgspec.Struct):
    topic_metadata: StatedTopic
    message_count: int


class _CountedFile(msgspec.Struct):
    path: str
    message_count: int


class StatedBag(msgspec.Struct):
    """What metadata.yaml says of a bag."""

    version: int
    storage_identifier: str
    relative_file_paths: list[str]
    message_count: int
    topics_with_message_count: list[_CountedTopic]
    compression_format: str | None = None
    compression_mode: str | None = None
    files: list[_CountedFile] | None = None
    custom_data: Any = None

    def __post_init__(self) -> None:
        if not 1 <= self.version <= _NEWEST:
            raise ValueError(f"its version is {self.version}; known here are 1 to {_NEWEST}")
        mode = (self.compression_mode or "none").lower()
        self.compression_mode = "" if mode == "none" else mode
        if self.compression_mode not in ("", "file", "message"):
            raise ValueError(f"its compression_mode is {mode!r}")
        if self.compression_mode and self.compression_format != "zstd":
            raise ValueError(f"its compression_format is {self.compression_format!r}, not zstd")
        self.relative_file_paths = [PurePath(path).name for path in self.relative_file_paths]
        for entry in self.topics_with_message_count:
            profiles(entry.topic_metadata.offered_qos_profiles or "")


class _Document(msgspec.Struct):
    rosbag2_bagfile_information: StatedBag


def read_metadata(path: Path) -> StatedBag:
    """What a metadata.yaml says.

    Raises:
        InputError: it can't be read, or lacks something.
    """
    try:
        everything = YAML(typ="safe").load(path.read_text("utf-8"))
        return msgspec.convert(everything, _Document).rosbag2_bagfile_information
    except OSError as error:
        raise InputError(f"{path.name} can't be read: {error}") from error
    except Exception as error:  # the parser raises anything on damaged files
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path.name} is damaged or not that of a bag: {told}") from error


def profiles(said: str | list[Any]) -> list[Profile]:
    """Profiles of quality of service, from YAML or what was read from it.

    Raises:
        ValueError: they are damaged, or name something unknown.
    """
    try:
        read = YAML(typ="safe").load(said) if isinstance(said, str) else said
        return msgspec.convert([_numbered(entry) for entry in read or []], list[Profile])
    except Exception as error:  # the parser raises anything on damaged text
        told = " ".join(str(error).split())
        raise ValueError(f"offered_qos_profiles can't be read: {told}") from error


def _numbered(entry: dict[str, Any]) -> dict[str, Any]:
    """A profile with numbers for names."""
    named = {name: entry[name] for name in _NAMED if isinstance(entry.get(name), str)}
    return entry | {name: _NAMED[name][value.upper()].value for name, value in named.items()}


def qos_text(said: str | list[Any]) -> str:
    """Profiles in the form that is written here; text that has it already stays as it is.

    Raises:
        ValueError: they are damaged, or name something unknown.
    """
    read = profiles(said)
    if isinstance(said, str):
        plain = YAML(typ="safe").load(said) or []
        if all(isinstance(entry[name], int) for entry in plain for name in _NAMED):
            return said
    return _yaml(msgspec.to_builtins(read)).strip()


def metadata_text(
    storage: str,
    file: str,
    connections: Sequence[Connection],
    first_ns: int,
    last_ns: int,
    compression_mode: str,
) -> str:
    """A metadata.yaml for a bag of one file."""
    when = {
        "starting_time": {"nanoseconds_since_epoch": first_ns},
        "duration": {"nanoseconds": last_ns - first_ns},
        "message_count": sum(connection.msgcount for connection in connections),
    }
    told = {
        "version": WRITTEN,
        "storage_identifier": storage,
        "relative_file_paths": [file],
        **when,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": connection.topic,
                    "type": connection.msgtype,
                    "serialization_format": connection.encoding,
                    "offered_qos_profiles": connection.qos,
                    "type_description_hash": connection.digest,
                },
                "message_count": connection.msgcount,
            }
            for connection in connections
        ],
        "compression_format": "zstd" if compression_mode else "",
        "compression_mode": compression_mode,
        "files": [{"path": file, **when}],
        "custom_data": None,
        "ros_distro": "unknown",
    }
    return _yaml({"rosbag2_bagfile_information": told}, flow=False)


def _yaml(value: object, flow: bool | None = None) -> str:
    yaml, text = YAML(typ="safe"), StringIO()
    yaml.default_flow_style = flow
    yaml.dump(value, text)
    return text.getvalue()
