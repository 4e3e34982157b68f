"""What of a message is refused, and in which words; test_malformed_bytes holds the rest to ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bag_support import START, STORE, detections, image, serialized

from perceptiondlm_ros.offline.decoding import DamagedMessageError, Decoder, stamp_of
from perceptiondlm_ros.offline.definitions import COMPRESSED_IMAGE, DETECTIONS, IMAGE

DECODER = Decoder(STORE)
FOUND = detections(START + 7, [(1.0, 2.0, 3.0, 5.0), (6.0, 7.0, 8.0, 9.0)])


def test_pixels_are_not_copied() -> None:
    data = serialized(IMAGE, image(START))
    pixels = DECODER.decode(data, IMAGE).data
    assert pixels.dtype == np.uint8
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("kind", [COMPRESSED_IMAGE, DETECTIONS, IMAGE])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\x00\x03\x00\x00" + bytes(60), "starts with 00 03"),
        (b"garbage" * 9, "starts with 67 61"),
        (b"\x00\x01\x00\x00", "has 0 bytes"),
        (b"\x00\x01\x00\x00" + bytes(4), "has 4 bytes and would need at least 8"),
        (b"\x00\x01\x00\x00" + bytes(8) + b"\xff" * 4, "claims 4294967295 elements"),
    ],
)
def test_what_is_no_message_is_refused_in_words(data: bytes, told: str, kind: str) -> None:
    with pytest.raises(DamagedMessageError, match=told):
        DECODER.decode(data, kind)


@pytest.mark.parametrize(("kind", "message"), [(DETECTIONS, FOUND), (IMAGE, image(START, width=3))])
def test_a_message_that_was_cut_is_refused_wherever_that_is(kind: str, message: Any) -> None:
    data = serialized(kind, message)
    for length in range(len(data)):
        with pytest.raises(DamagedMessageError):
            DECODER.decode(data[:length], kind)


def test_the_stamp_is_read_where_nothing_else_can_be() -> None:
    data = serialized(DETECTIONS, FOUND)
    other_order = bytes(STORE.serialize_cdr(FOUND, DETECTIONS, little_endian=False))
    assert stamp_of(data[:12]) == stamp_of(other_order[:12]) == (1000, 7)
    assert stamp_of(data[:11]) is stamp_of(b"\xff" + data[1:]) is stamp_of(b"") is None
