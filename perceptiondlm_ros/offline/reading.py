"""A bag that is to be captioned: opens it, settles which of its topics to take."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag import Bag
from perceptiondlm_ros.offline.definitions import (
    COMPRESSED_IMAGE,
    DETECTIONS,
    IMAGE,
    type_hash,
)
from perceptiondlm_ros.offline.storage import CDR, Connection

IMAGE_TYPES: Final = (IMAGE, COMPRESSED_IMAGE)


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


def opened(
    path: Path, partial: bool = False, step: Callable[[int], object] = lambda read: None
) -> Bag:
    """The bag, open; use it with `with`. All of it was read once when this returns.

    Args:
        partial: take what can be read; `Bag.lacking` says what can't.
        step: is called with the number of bytes that were read.

    Raises:
        InputError: there is none, nothing of it can be read or, unless `partial`, not all of it.
    """
    try:
        return Bag(path, partial, step)
    except (InputError, OSError) as error:
        raise InputError(f"bag {path}: {error}") from error


def choose_topics(
    reader: Bag,
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


def _choose(reader: Bag, option: str, given: str | None, types: tuple[str, ...]) -> str:
    fitting: dict[str, int] = {}
    for connection in reader.connections:
        if connection.msgtype in types and connection.encoding == CDR:
            counted = fitting.get(connection.topic, 0) + connection.msgcount
            fitting[connection.topic] = counted
    kind = " or ".join(name.replace("/msg/", "/") for name in types)
    told = ", ".join(f"{topic} ({count})" for topic, count in sorted(fitting.items()))
    if given is not None:
        if given not in fitting:
            named = ", ".join(sorted(_named(c) for c in reader.connections if c.topic == given))
            raise InputError(
                f"{option}: the bag has no topic {given} of {kind}; there is "
                f"{told or named or 'none'}"
            )
        return given
    filled = [topic for topic, count in fitting.items() if count]
    if len(filled) == 1:
        return filled[0]
    if filled:
        raise InputError(f"{option}: the bag has several topics of {kind}; name one of {told}")
    others = sorted({_named(c) for c in reader.connections if c.msgcount})
    if any(connection.encoding == "ros1" for connection in reader.connections):
        raise InputError(
            f"{option}: the bag was recorded with ROS 1; convert the .bag that it was made from "
            f"with rosbags-convert. It has {', '.join(others)}"
        )
    raise InputError(
        f"{option}: the bag has no messages of {kind}; it has {', '.join(others) or 'none at all'}"
    )


def _named(connection: Connection) -> str:
    encoding = "" if connection.encoding == CDR else f", {connection.encoding}"
    return f"{connection.topic} [{connection.msgtype or 'no type'}{encoding}]"
