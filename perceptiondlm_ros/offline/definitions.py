"""The message types that a bag with captions needs, without ROS: read from their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.offline.bag_reading.stored import Connection

FOLDER: Final = Path(__file__).parents[1] / "definitions"
"""Copies of the .msg files that the messages are generated from, a folder a package."""

IMAGE: Final = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE: Final = "sensor_msgs/msg/CompressedImage"
DETECTIONS: Final = "vision_msgs/msg/Detection2DArray"
DESCRIPTIONS: Final = "perceptiondlm_ros/msg/RegionDescriptionArray"

_PACKAGES: Final = ("vision_msgs", "perceptiondlm_ros")


def typestore() -> Typestore:
    """The message types of ROS with vision_msgs and our own.

    Raises:
        PerceptionDLMError: the package was not installed as a whole.
    """
    store = get_typestore(Stores.LATEST)
    for package in _PACKAGES:
        definitions = sorted((FOLDER / package).glob("*.msg"))
        if not definitions:
            raise PerceptionDLMError(
                f"message definitions of {package}: none in {FOLDER / package}; install the "
                "package again, in a checkout with `make setup`"
            )
        for path in definitions:
            store.register(get_types_from_msg(path.read_text(), f"{package}/msg/{path.stem}"))
    return store


def type_hash(connection: Connection) -> str:
    """RIHS01 hash of the message type as it was recorded; empty where the bag doesn't tell."""
    definition = connection.definition
    if connection.digest or definition is None or not definition.data:
        return connection.digest
    store = get_typestore(Stores.EMPTY)
    try:
        text = definition.data.decode()
        if definition.encoding == "ros2msg":
            store.register(get_types_from_msg(text, connection.msgtype))
        elif definition.encoding in ("ros2idl", "omgidl"):
            store.register(get_types_from_idl(text))
        return store.hash_rihs01(connection.msgtype)
    except Exception:  # noqa: BLE001 - anything, on definitions that it doesn't understand
        return ""
