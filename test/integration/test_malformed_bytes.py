"""Whatever bytes a message has, offline and ROS's middleware read them alike."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from bag_support import STORE
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_messages import arrays, compressed_images, images
from rclpy.serialization import deserialize_message, serialize_message
from ros_support import detection
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from perceptiondlm_ros.offline.decoding import DamagedMessageError, Decoder

DECODER = Decoder(STORE)
MESSAGES = {Image: images, CompressedImage: compressed_images, Detection2DArray: arrays}


def name_of(kind: type[Any]) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def offline(data: bytes, kind: type[Any]) -> bytes | str:
    """What is read, written again in the one way that is right; else why it can't be read."""
    try:
        message = DECODER.decode(data, name_of(kind))
    except DamagedMessageError as error:
        return str(error)
    return bytes(STORE.serialize_cdr(message, name_of(kind)))


def live(data: bytes, kind: type[Any]) -> bytes | None:
    """The same of ROS; None: it can't be read."""
    try:
        message = deserialize_message(data, kind)
    except Exception:  # noqa: BLE001, its class is private
        return None
    return bytes(
        STORE.serialize_cdr(
            DECODER.decode(serialize_message(message), name_of(kind)), name_of(kind)
        )
    )


def same(data: bytes, kind: type[Any]) -> None:
    found, expected = offline(data, kind), live(data, kind)
    if isinstance(found, bytes):
        assert found == expected
    elif expected is not None:
        # ROS leaves out what a sequence inside of the message claims and the message hasn't, and
        # all that follows; and it takes encapsulations of other kinds for plain ones.
        assert "claims" in found or "no plain CDR" in found, found


@st.composite
def serialised(draw: st.DrawFn) -> tuple[bytes, type[Any]]:
    kind = draw(st.sampled_from(list(MESSAGES)))
    message = draw(MESSAGES[kind])
    message.header = Header(frame_id=draw(st.text(max_size=5)))
    return bytes(serialize_message(message)), kind


def replaced(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


@settings(max_examples=400)
@given(text=st.binary(max_size=12).map(lambda text: b"ab" + text), data=st.data())
def test_text_of_any_bytes_is_read_as_ros_reads_it(text: bytes, data: st.DataObject) -> None:
    mark = "ab" + "#" * (len(text) - 2)
    kind = data.draw(st.sampled_from(list(MESSAGES)))
    message = data.draw(MESSAGES[kind])
    message.header.frame_id = mark
    for name in {"encoding", "format"} & set(message.get_fields_and_field_types()):
        setattr(message, name, mark)
    for found in getattr(message, "detections", ()):
        found.id = mark
    raw = bytes(serialize_message(message))
    odd = raw.replace(mark.encode(), text)
    found = offline(odd, kind)
    assert isinstance(found, bytes)
    assert found == live(odd, kind)


counts = st.sampled_from([0, 1, 2, 3, 5, 8, 100, 2**16, 2**31, 2**32 - 1])


@settings(max_examples=400)
@given(
    message=serialised(),
    where=st.floats(0, 1),
    count=counts,
    new=st.binary(min_size=1, max_size=8),
    more=st.binary(max_size=12),
)
def test_messages_whole_and_damaged_are_read_as_ros_reads_them(
    message: tuple[bytes, type[Any]], where: float, count: int, new: bytes, more: bytes
) -> None:
    data, kind = message
    assert offline(data, kind) == live(data, kind)
    place = int(where * len(data))
    length = 4 + int(where * (len(data) - 8)) // 4 * 4
    for damaged in (
        replaced(data, length, struct.pack("<I", count)),
        replaced(data, place, new) + more,
        data[:place] + more,
    ):
        same(damaged, kind)


@settings(max_examples=60)
@given(data=st.binary(max_size=80), kind=st.sampled_from(list(MESSAGES)))
def test_any_bytes_are_read_as_ros_reads_them(data: bytes, kind: type[Any]) -> None:
    same(data, kind)
    same(b"\x00\x01\x00\x00" + data, kind)


@pytest.mark.parametrize("encapsulation", range(12))
def test_of_the_encapsulations_the_plain_ones_are_read(encapsulation: int) -> None:
    message = Image(header=Header(frame_id="camera"), width=2, height=1, encoding="mono8")
    message.data.frombytes(b"ab")
    order = "<>"[encapsulation % 2 == 0]
    raw = bytes([0, encapsulation, 0, 0])
    raw += struct.pack(
        f"{order}iII7sxIII6sBxII2s", 0, 0, 7, b"camera", 1, 2, 6, b"mono8", 0, 0, 2, b"ab"
    )
    same(raw, Image)
    assert isinstance(offline(raw, Image), bytes) == (encapsulation in (0, 1, 6, 7))


def test_half_a_message_of_ros_is_none_offline() -> None:
    """A sequence inside of a message claims more than there is: ROS gives the rest as zeros."""
    message = Detection2DArray()
    message.header.frame_id = "camera"
    message.detections = [detection(1, 2, 3, 4, label="cup")]
    raw = bytes(serialize_message(message))
    place = raw.index(b"cup") - 8
    assert struct.unpack_from("<I", raw, place) == (1,)
    wrong = replaced(raw, place, struct.pack("<I", 10**6))
    half = deserialize_message(wrong, Detection2DArray)
    assert [d.bbox.size_x for d in half.detections] == [0.0]
    assert "claims 1000000 elements" in str(offline(wrong, Detection2DArray))
