"""Which topics of a bag are captioned, and whether their messages can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.bag_reading.stored import CDR, Connection
from perceptiondlm_ros.offline.definitions import (
    COMPRESSED_IMAGE,
    DETECTIONS,
    IMAGE,
    type_hash,
)

IMAGE_TYPES: Final = (IMAGE, COMPRESSED_IMAGE)


@dataclass(frozen=True)
class Topics:
    """The topics of a bag that are read, and the one that is added. masks: None: there are none."""

    image: str
    detections: str
    descriptions: str
    masks: str | None = None

    @property
    def read(self) -> set[str]:
        return {self.image, self.detections} | ({self.masks} if self.masks else set())


def choose_topics(
    bag: BagReader,
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
    if descriptions in {connection.topic for connection in bag.connections}:
        raise InputError(
            f"--descriptions: the bag has a topic {descriptions} already; name another one"
        )
    try:
        return Topics(
            image=_choose(bag, "--image", image, IMAGE_TYPES),
            detections=_choose(bag, "--detections", detections, (DETECTIONS,)),
            descriptions=descriptions,
            masks=_choose(bag, "--masks", masks, (IMAGE,)) if masks else None,
        )
    except InputError as error:
        raise InputError(f"{error}{bag.losses}") from error


def connections_of(
    bag: BagReader, topic: str, types: Collection[str], store: Typestore
) -> list[Connection]:
    """The connections of a topic that have one of these types.

    Raises:
        InputError: they were recorded with other definitions than the store's.
    """
    found = [
        connection
        for connection in bag.connections
        if connection.topic == topic and _is_of(connection, types)
    ]
    for connection in found:
        digest = type_hash(connection)
        if digest and digest != store.hash_rihs01(connection.msgtype):
            raise InputError(
                f"{topic}: its {connection.msgtype} has other fields than the one that is known "
                "here (vision_msgs 4, of Humble and newer); convert the bag first"
            )
    return found


def _is_of(connection: Connection, types: Collection[str]) -> bool:
    return connection.msgtype in types and connection.encoding == CDR


def _choose(bag: BagReader, option: str, given: str | None, types: tuple[str, ...]) -> str:
    fitting: Counter[str] = Counter()
    for connection in bag.connections:
        if _is_of(connection, types):
            fitting[connection.topic] += connection.msgcount
    kind = " or ".join(name.replace("/msg/", "/") for name in types)
    told = ", ".join(f"{topic} ({count})" for topic, count in sorted(fitting.items()))
    if given is not None:
        if given not in fitting:
            named = ", ".join(sorted(_named(c) for c in bag.connections if c.topic == given))
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
    others = ", ".join(sorted({_named(c) for c in bag.connections if c.msgcount}))
    if any(connection.encoding == "ros1" for connection in bag.connections):
        raise InputError(
            f"{option}: the bag was recorded with ROS 1; convert the .bag that it was made from "
            f"with rosbags-convert. It has {others}"
        )
    raise InputError(
        f"{option}: the bag has no messages of {kind}; it has {others or 'none at all'}"
    )


def _named(connection: Connection) -> str:
    encoding = "" if connection.encoding == CDR else f", {connection.encoding}"
    return f"{connection.topic} [{connection.msgtype or 'no type'}{encoding}]"
