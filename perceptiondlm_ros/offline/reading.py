"""A bag that is to be captioned: opens it, settles which of its topics to take, reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.interfaces.typing import Typesdict
from rosbags.rosbag2 import Reader
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.definitions import (
    COMPRESSED_IMAGE,
    DETECTIONS,
    IMAGE,
)

IMAGE_TYPES: Final = (IMAGE, COMPRESSED_IMAGE)


def _types_from_idl(text: str, name: str) -> Typesdict:
    """As get_types_from_msg is called; the text names its types itself."""
    return get_types_from_idl(text)


_PARSERS: Final = {
    MessageDefinitionFormat.MSG: get_types_from_msg,
    MessageDefinitionFormat.IDL: _types_from_idl,
}


@dataclass(frozen=True)
class Topics:
    """The topics of a bag that are read, and the one that is added."""

    image: str
    detections: str
    descriptions: str
    masks: str | None = None

    @property
    def read(self) -> set[str]:
        return {self.image, self.detections} | ({self.masks} if self.masks else set())


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """The bag, open.

    Raises:
        InputError: there is none, or it can't be read.
    """
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # rosbags raises anything on damaged files
        raise InputError(f"bag {path}: {_what_is_wrong(path, error)}") from error
    try:
        yield reader
    finally:
        reader.close()


def messages(
    reader: Reader, connections: Collection[Connection] = ()
) -> Iterator[tuple[Connection, int, bytes]]:
    """Connection, log time in ns and raw data of each message; of all connections if none is given.

    Raises:
        InputError: the bag is damaged.
    """
    source = reader.messages(connections)
    read = 0
    while True:
        try:
            item = next(source)
        except StopIteration:
            return
        except Exception as error:  # rosbags raises anything on damaged files
            raise InputError(
                f"bag {reader.path}: it is damaged after {read} messages ({error}); recover what "
                "is whole, for instance with `mcap recover`"
            ) from error
        read += 1
        yield item


def choose_topics(
    reader: Reader,
    image: str | None,
    detections: str | None,
    descriptions: str,
    masks: str | None = None,
) -> Topics:
    """The given topics, and for those that are None the only one of the type.

    Raises:
        InputError: a topic isn't there or isn't of its type; several, or none, could be meant; or
            the bag has descriptions of this name already.
    """
    if descriptions in {connection.topic for connection in reader.connections}:
        raise InputError(
            f"--descriptions: the bag has a topic {descriptions} already; name another one"
        )
    return Topics(
        image=_choose(reader, "--image", image, IMAGE_TYPES),
        detections=_choose(reader, "--detections", detections, (DETECTIONS,)),
        descriptions=descriptions,
        masks=_choose(reader, "--masks", masks, (IMAGE,)) if masks else None,
    )


def check_types(connections: Collection[Connection], store: Typestore) -> None:
    """Whether messages of these connections can be read with the store's types.

    Raises:
        InputError: they were recorded with other definitions.
    """
    for connection in connections:
        digest = type_hash(connection)
        if digest and digest != store.hash_rihs01(connection.msgtype):
            raise InputError(
                f"{connection.topic}: its {connection.msgtype} has other fields than the one that "
                "is known here (vision_msgs 4, of Humble and newer); convert the bag first"
            )


def type_hash(connection: Connection) -> str:
    """RIHS01 hash of the message type as it was recorded; empty where the bag doesn't tell."""
    parse = _PARSERS.get(connection.msgdef.format)
    if connection.digest or parse is None or not connection.msgdef.data:
        return connection.digest
    store = get_typestore(Stores.EMPTY)
    try:
        store.register(parse(connection.msgdef.data, connection.msgtype))
        return store.hash_rihs01(connection.msgtype)
    except (TypesysError, KeyError):
        return ""  # a definition that rosbags doesn't understand


def _choose(reader: Reader, option: str, given: str | None, types: tuple[str, ...]) -> str:
    fitting: dict[str, int] = {}
    for connection in reader.connections:
        if connection.msgtype in types:
            counted = fitting.get(connection.topic, 0) + connection.msgcount
            fitting[connection.topic] = counted
    kind = " or ".join(name.replace("/msg/", "/") for name in types)
    told = ", ".join(f"{topic} ({count})" for topic, count in sorted(fitting.items()))
    if given is not None:
        if given not in fitting:
            there = f"; there is {told}" if told else "; there is none"
            raise InputError(f"{option}: the bag has no topic {given} of {kind}{there}")
        return given
    filled = [topic for topic, count in fitting.items() if count]
    if len(filled) == 1:
        return filled[0]
    if filled:
        raise InputError(f"{option}: the bag has several topics of {kind}; name one of {told}")
    others = sorted({f"{c.topic} [{c.msgtype}]" for c in reader.connections if c.msgcount})
    raise InputError(
        f"{option}: the bag has no messages of {kind}; it has {', '.join(others) or 'none at all'}"
    )


def _what_is_wrong(path: Path, error: Exception) -> str:
    if not path.exists():
        return "there is no such file or folder"
    if path.is_dir() and not (path / "metadata.yaml").exists():
        inside = sorted(path.glob("*.mcap")) + sorted(path.glob("*.db3"))
        if inside:
            return (
                "it has no metadata.yaml, as after an interrupted recording; run "
                f"`ros2 bag reindex {path}`, or give {inside[0]} itself"
            )
        return "the folder is no bag: it has no metadata.yaml"
    if path.suffix == ".bag":
        return "it is a bag of ROS 1; convert it with rosbags-convert"
    told = " ".join(str(error).split()) or type(error).__name__
    return f"it can't be read ({told}); an interrupted recording may be mended by `mcap recover`"
