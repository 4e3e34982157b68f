"""metadata.yaml: what a recorder says of its bag, and what is said of the bag with captions.

It is only held against the files, never taken for them: a wrong letter in it must not end up in a
new bag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePath
from typing import Any, Final

from rosbags.interfaces import QosDurability, QosHistory, QosLiveliness, QosReliability
from ruamel.yaml import YAML

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.stored import Connection

FILE: Final = "metadata.yaml"
_NEWEST: Final = 9
WRITTEN: Final = 8
"""The newest in which quality of service has the form that Humble reads."""

_TOP: Final = "rosbag2_bagfile_information"
_NAMED: Final = {
    "history": QosHistory,
    "reliability": QosReliability,
    "durability": QosDurability,
    "liveliness": QosLiveliness,
}
Profile = dict[str, Any]
"""Of quality of service, by name."""


@dataclass(frozen=True)
class StatedBag:
    """What metadata.yaml says of a bag.

    topics: as connections, without definitions. counts: messages by file, where it tells.
    custom: whether there is something of the user's own.
    """

    storage: str
    files: tuple[str, ...]
    count: int
    topics: tuple[Connection, ...]
    compression_mode: str
    counts: dict[str, int]
    custom: bool


def read_metadata(path: Path) -> StatedBag:
    """What a metadata.yaml says.

    Raises:
        InputError: it can't be read, or lacks something.
    """
    try:
        everything = YAML(typ="safe").load(path.read_text("utf-8"))
        return _stated(_typed(_typed(everything, dict), dict, _TOP))
    except OSError as error:
        raise InputError(f"{path.name} can't be read: {error}") from error
    except Exception as error:  # the parser raises anything on damaged files
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path.name} is damaged or not that of a bag: {told}") from error


def _stated(said: dict[str, Any]) -> StatedBag:
    version = _typed(said, int, "version")
    if not 1 <= version <= _NEWEST:
        raise ValueError(f"its version is {version}; known here are 1 to {_NEWEST}")
    mode = _typed(said, str, "compression_mode", "").lower()
    if mode not in ("", "none", "file", "message"):
        raise ValueError(f"its compression_mode is {mode!r}")
    if mode in ("file", "message") and said.get("compression_format") != "zstd":
        raise ValueError(f"its compression_format is {said.get('compression_format')!r}, not zstd")
    return StatedBag(
        storage=_typed(said, str, "storage_identifier"),
        files=tuple(map(_file_name, _typed(said, list, "relative_file_paths"))),
        count=_typed(said, int, "message_count"),
        topics=tuple(map(_topic, _typed(said, list, "topics_with_message_count"))),
        compression_mode="" if mode == "none" else mode,
        counts={
            _file_name(_typed(file, str, "path")): _typed(file, int, "message_count")
            for file in _typed(said, list, "files", [])
        },
        custom=bool(said.get("custom_data")),
    )


def _file_name(path: object) -> str:
    return PurePath(_typed(path, str)).name


def _topic(entry: object) -> Connection:
    said = _typed(_typed(entry, dict), dict, "topic_metadata")
    return Connection(
        id=0,
        topic=_typed(said, str, "name"),
        msgtype=_typed(said, str, "type"),
        encoding=_typed(said, str, "serialization_format"),
        digest=_typed(said, str, "type_description_hash", ""),
        qos=qos_text(said.get("offered_qos_profiles") or ""),
        msgcount=_typed(entry, int, "message_count"),
    )


def _typed(value: Any, kind: type, key: str | None = None, default: object = ...) -> Any:
    """A value, or what a mapping has under a key, if it is of this type."""
    if key is not None:
        if key not in value and default is ...:
            raise ValueError(f"it has no {key}")
        value = value.get(key, default)
        if value is None and default is not ...:
            return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key or 'an entry'} is {value!r}, not of type {kind.__name__}")
    return value


def profiles(said: str | list[Any]) -> list[Profile]:
    """Profiles of quality of service, with numbers for names, from YAML or what was read from it.

    Raises:
        ValueError: they are damaged, or name something unknown.
    """
    try:
        read = YAML(typ="safe").load(said) if isinstance(said, str) else said
        return [_profile(entry) for entry in _typed(read or [], list)]
    except Exception as error:  # the parser raises anything on damaged text
        told = " ".join(str(error).split())
        raise ValueError(f"offered_qos_profiles can't be read: {told}") from error


def _profile(entry: object) -> Profile:
    said = _typed(entry, dict)
    found: Profile = {"depth": _typed(said, int, "depth")}
    for name, known in _NAMED.items():
        value = said.get(name)
        found[name] = (known(value) if isinstance(value, int) else known[value.upper()]).value
    for name in ("deadline", "lifespan", "liveliness_lease_duration"):
        time = _typed(said, dict, name)
        found[name] = {unit: _typed(time, int, unit) for unit in ("sec", "nsec")}
    plain = found["avoid_ros_namespace_conventions"] = said.get("avoid_ros_namespace_conventions")
    if not isinstance(plain, bool):
        raise ValueError(f"avoid_ros_namespace_conventions is {plain!r}")
    return found


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
    return _yaml(read).strip()


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
    return _yaml({_TOP: told}, flow=False)


def _yaml(value: object, flow: bool | None = None) -> str:
    yaml, text = YAML(typ="safe"), StringIO()
    yaml.default_flow_style = flow
    yaml.dump(value, text)
    return text.getvalue()
