"""JPEG and PNG as they come from image_transport, and what only claims to be one."""

from __future__ import annotations

import array
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.images import decode_image, image_to_rgb

RANDOM = np.random.default_rng(7)
BGR = RANDOM.integers(0, 256, (12, 18, 3), np.uint8)
RGB = BGR[:, :, ::-1]
GREY = BGR[:, :, :1]
GREY16 = RANDOM.integers(0, 2**16, (12, 18, 1), np.uint16)


def encoded(extension: str, pixels: np.ndarray, **fields: Any) -> CompressedImage:
    done, data = cv2.imencode(extension, pixels)
    assert done
    return CompressedImage(data=array.array("B", data.tobytes()), **fields)


def test_png_is_exact_and_jpeg_as_opencv_reads_it() -> None:
    np.testing.assert_array_equal(image_to_rgb(encoded(".png", BGR, format="png")), RGB)
    smooth = cv2.resize(BGR, (160, 120), interpolation=cv2.INTER_CUBIC)
    sent = encoded(".jpg", smooth, format="rgb8; jpeg compressed bgr8")
    expected = cv2.imdecode(np.frombuffer(sent.data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(image_to_rgb(sent).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (GREY, GREY.repeat(3, axis=2)),
        (GREY16, np.rint(GREY16 / 257).astype(np.uint8).repeat(3, axis=2)),
        (np.concatenate([BGR, GREY], axis=2), RGB),
    ],
    ids=["grey", "grey of 16 bits", "colours with alpha"],
)
def test_png_of_other_channels(sent: np.ndarray, expected: np.ndarray) -> None:
    result = image_to_rgb(encoded(".png", sent, format="mono16; png compressed mono16"))
    np.testing.assert_array_equal(result, expected)


BGR16 = RANDOM.integers(0, 2**16, (12, 18, 3), np.uint16)
BGRA16 = np.concatenate([BGR16, np.full((12, 18, 1), 65535, np.uint16)], axis=2)
DEEP = {
    "mono16; png compressed mono16": GREY16,
    "bayer_grbg16; png compressed ": GREY16,
    "rgb16; png compressed bgr16": BGR16,
    "rgba16; png compressed bgra16": BGRA16,
}


def dark(pixels: np.ndarray, bits: int) -> np.ndarray:
    """The same picture in the lowest bits; alpha stays."""
    lowered = pixels >> (16 - bits)
    if pixels.shape[2] == 4:
        lowered[:, :, 3] = pixels[:, :, 3]
    return lowered


@pytest.mark.parametrize("form", DEEP)
def test_the_lowest_bits_of_a_png_are_told_or_stretched(form: str) -> None:
    full, low = DEEP[form], dark(DEEP[form], 12)
    assert decode_image(encoded(".png", full, format=form)).low_bits == 0
    sent = encoded(".png", low, format=form)
    assert (decode_image(sent).low_bits, decode_image(sent, 16).low_bits) == (12, 0)
    stretched = decode_image(sent, 12)
    expected = image_to_rgb(encoded(".png", full, format=form))
    assert np.abs(stretched.pixels.astype(int) - expected).max() <= 1
    with pytest.raises(InputError, match=r"above 4095.* set image\.significant_bits or --sig"):
        decode_image(encoded(".png", full, format=form), 12)


def test_a_mosaic_in_a_png_is_interpolated() -> None:
    sent = encoded(".png", GREY, format="bayer_grbg8; png compressed ")
    np.testing.assert_array_equal(image_to_rgb(sent), cv2.cvtColor(GREY, cv2.COLOR_BayerGB2RGB))
    sent.format = "bayer_grbg8; jpeg compressed mono8"
    np.testing.assert_array_equal(image_to_rgb(sent), GREY.repeat(3, axis=2))


def test_broken_files_are_refused_with_the_reason() -> None:
    good = encoded(".png", BGR, format="png")
    for data in (b"", b"hello", bytes(good.data)[:60], b"GIF89a" + bytes(20)):
        sent = CompressedImage(format="png", data=array.array("B", data))
        with pytest.raises(InputError, match=r"got \d+ bytes of format 'png'.*expected jpeg or"):
            image_to_rgb(sent)


def test_depth_is_refused() -> None:
    with pytest.raises(InputError, match="which is depth"):
        image_to_rgb(CompressedImage(format="16UC1; compressedDepth png"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_few_bytes_that_claim_many_pixels_are_refused_undecoded() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + check

    size = (12_000).to_bytes(4, "big") * 2
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\x02\0\0\0") + chunk(b"IDAT", b"")
    with pytest.raises(InputError, match="got 12000x12000 pixels"):
        image_to_rgb(CompressedImage(format="png", data=array.array("B", data)))
