"""Messages from bytes: what is taken, what is refused, and in which words."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from bag_support import START, STORE, detections, image

from perceptiondlm_ros.offline.decoding import DamagedMessageError, Decoder, stamp_of
from perceptiondlm_ros.offline.definitions import COMPRESSED_IMAGE, DETECTIONS, IMAGE

DECODER = Decoder(STORE)
BOXES = [(1.0, 2.0, 3.0, 5.0), (6.0, 7.0, 8.0, 9.0)]


def raw(message: Any, kind: str = DETECTIONS, **options: bool) -> bytes:
    return bytes(STORE.serialize_cdr(message, kind, **options))


def labels(data: bytes) -> list[str]:
    found = DECODER.decode(data, DETECTIONS).detections
    return [detection.results[0].hypothesis.class_id for detection in found]


@pytest.mark.parametrize("little_endian", [True, False])
def test_messages_of_either_byte_order_are_as_they_were(little_endian: bool) -> None:
    for message, kind in ((detections(START, BOXES), DETECTIONS), (image(START), IMAGE)):
        data = raw(message, kind, little_endian=little_endian)
        assert raw(DECODER.decode(data, kind), kind) == raw(message, kind)


def test_pixels_are_not_copied() -> None:
    data = raw(image(START), IMAGE)
    pixels = DECODER.decode(data, IMAGE).data
    assert pixels.dtype == np.uint8
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"t\xeate", "t\ufffdte"),  # Latin-1
        (b"\xff\xfe\x00a", "\ufffd\ufffd"),  # UTF-16
        (b"\xe2\x82ab", "\ufffdab"),  # cut in the middle of a character
        (b"\xed\xa0\x80x", "\ufffd\ufffd\ufffdx"),  # half of a surrogate pair
        ("té".encode() + b"e", "tée"),
        (b"a\x00bc", "a"),
        (b"\x00\x00\x00\x00", ""),
    ],
)
def test_text_that_is_not_utf_8_is_read_with_the_replacement_character(
    sent: bytes, read: str
) -> None:
    message = detections(START, BOXES)
    message.detections[0].results[0].hypothesis.class_id = "mark"
    assert labels(raw(message).replace(b"mark", sent)) == [read, "cup"]


def test_text_needs_no_zero_byte_at_its_end() -> None:
    assert labels(raw(detections(START, BOXES)).replace(b"cup\0", b"cups", 1)) == ["cups", "cup"]


def test_bytes_after_the_message_are_ignored() -> None:
    assert labels(raw(detections(START, BOXES)) + b"\xff" * 9) == ["cup", "cup"]


@pytest.mark.parametrize("kind", [COMPRESSED_IMAGE, DETECTIONS, IMAGE])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\x00\x03\x00\x00" + bytes(60), "starts with 00 03"),
        (b"\x00\x0b\x00\x00" + bytes(60), "starts with 00 0b"),
        (b"garbage" * 9, "starts with 67 61"),
        (b"\x00\x01\x00\x00", "has 0 bytes"),
        (b"\x00\x01\x00\x00" + bytes(4), "has 4 bytes and would need at least 8"),
        (b"\x00\x01\x00\x00" + bytes(8) + b"\xff" * 4, "claims 4294967295 elements"),
    ],
)
def test_what_is_no_message_is_refused_in_words(data: bytes, told: str, kind: str) -> None:
    with pytest.raises(DamagedMessageError, match=told):
        DECODER.decode(data, kind)


@pytest.mark.parametrize("kind", [DETECTIONS, IMAGE])
def test_a_message_that_was_cut_is_refused_wherever_that_is(kind: str) -> None:
    data = raw(detections(START, BOXES) if kind == DETECTIONS else image(START, width=3), kind)
    for length in range(len(data)):
        with pytest.raises(DamagedMessageError):
            DECODER.decode(data[:length], kind)


def test_a_sequence_inside_that_claims_too_much_is_refused() -> None:
    data = raw(detections(START, BOXES))
    place = data.index(b"cup") - 8  # the number of results of the first detection
    assert struct.unpack_from("<I", data, place) == (1,)
    wrong = data[:place] + struct.pack("<I", 10**6) + data[place + 4 :]
    with pytest.raises(DamagedMessageError, match="claims 1000000 elements"):
        DECODER.decode(wrong, DETECTIONS)


def test_the_stamp_is_read_where_nothing_else_can_be() -> None:
    data = raw(detections(START + 7, BOXES))
    assert stamp_of(data[:12]) == (1000, 7)
    assert stamp_of(raw(detections(START + 7, BOXES), little_endian=False)[:12]) == (1000, 7)
    assert stamp_of(data[:11]) is None
    assert stamp_of(b"\xff" + data[1:]) is None
    assert stamp_of(b"") is None
