"""Every encoding gives the right colours, those of cv_bridge."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_messages import compressed_images, images
from ros_support import image_of
from sensor_msgs.msg import CompressedImage, Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.images import decode_image, image_numbers, image_to_rgb

RANDOM = np.random.default_rng(7)
HEIGHT, WIDTH = 12, 18
RGB = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
RGB16 = RANDOM.integers(0, 2**16, (HEIGHT, WIDTH, 3), np.uint16)
PACKED = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 2), np.uint8)
# Brightness, then colours at half the resolution, as one array of rows.
NV12 = RANDOM.integers(0, 256, (HEIGHT * 3 // 2, WIDTH, 1), np.uint8)


def narrowed(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257).astype(np.uint8)


def converted(pixels: np.ndarray, code: str) -> np.ndarray:
    return narrowed(cv2.cvtColor(pixels, getattr(cv2, f"COLOR_{code}")))


ENCODED = {
    **dict.fromkeys(("yuv422", "uyvy"), (PACKED, converted(PACKED, "YUV2RGB_UYVY"))),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), (PACKED, converted(PACKED, "YUV2RGB_YUY2"))),
    "nv12": (NV12, converted(NV12, "YUV2RGB_NV12")),
    "nv21": (NV12, converted(NV12, "YUV2RGB_NV21")),
}
"""What is sent, and what is to come of it."""
for bits, rgb in ((8, RGB), (16, RGB16)):
    bgr, one = rgb[:, :, ::-1], rgb[:, :, :1]
    for name, sent in (("rgb", rgb), ("bgr", bgr)):
        ENCODED[f"{name}{bits}"] = sent, narrowed(rgb)
        ENCODED[f"{name}a{bits}"] = np.concatenate([sent, one], axis=2), narrowed(rgb)
    for name in (f"mono{bits}", f"{bits}UC1"):
        ENCODED[name] = one, narrowed(one).repeat(3, axis=2)
    for name, code in (("rggb", "BG"), ("grbg", "GB"), ("gbrg", "GR"), ("bggr", "RG")):
        ENCODED[f"bayer_{name}{bits}"] = one, converted(one, f"Bayer{code}2RGB")


DEEP = [name for name in ENCODED if name.startswith("16U") or name.endswith("16")]

# Of the others cv_bridge knows no colours, or not as cameras send them.
BRIDGED = [name for name in ENCODED if not name.startswith(("8U", "16U", "nv", "uyvy", "yuyv"))]


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big: bool = False) -> Image:
    rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")))
    rows = np.pad(rows.view(np.uint8).reshape(len(rows), -1), ((0, 0), (0, padding)))
    sent = image_of(rows, encoding)
    sent.height, sent.width, sent.is_bigendian = HEIGHT, WIDTH, big
    return sent


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 1, 8])
@pytest.mark.parametrize("encoding", ENCODED)
def test_every_encoding_padding_and_byte_order(encoding: str, padding: int, big: bool) -> None:
    sent, expected = ENCODED[encoding]
    for bits in (0, 16) if encoding in DEEP else (0, 12, 16):  # which 8 bits don't look at
        result = decode_image(message(sent, encoding, padding, big), bits)
        assert result.pixels.dtype == np.uint8 and result.low_bits == 0
        np.testing.assert_array_equal(result.pixels, expected)


@pytest.mark.parametrize("encoding", DEEP)
@given(bits=st.integers(8, 15), big=st.booleans(), padding=st.sampled_from([0, 2]))
@settings(max_examples=10)
def test_significant_bits_are_stretched_over_the_full_range_and_more_refused(
    encoding: str, bits: int, big: bool, padding: int
) -> None:
    full, _ = ENCODED[encoding]
    sent = full >> (16 - bits)
    result = decode_image(message(sent, encoding, padding, big), bits)
    expected = image_to_rgb(message(full, encoding))
    assert np.abs(result.pixels.astype(int) - expected).max() <= (2 if bits == 8 else 1)
    assert not result.low_bits, "it was told"
    sent[HEIGHT // 2, WIDTH // 2, 0] = 1 << bits
    with pytest.raises(InputError, match=f"above {2**bits - 1}, expected {bits} signif"):
        decode_image(message(sent, encoding), bits)


@pytest.mark.parametrize("encoding", DEEP)
@pytest.mark.parametrize(
    ("brightest", "told"),
    [(0, 0), (1, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 0)],
)
def test_an_image_of_the_lowest_bits_alone_is_told(
    encoding: str, brightest: int, told: int
) -> None:
    sent = np.zeros_like(ENCODED[encoding][0])
    sent[HEIGHT // 2, WIDTH // 2, 0] = brightest
    if "a1" in encoding:
        sent[:, :, 3] = 65535  # alpha shows nothing
    assert decode_image(message(sent, encoding)).low_bits == told
    assert decode_image(message(sent, encoding), 16).low_bits == 0


# Strong red, green and blue: a mix-up of channels or of a mosaic's pixels would show.
PAINTS = [(220, 30, 60), (40, 200, 90), (30, 60, 210), (128, 128, 128)]


@pytest.mark.parametrize("paint", PAINTS, ids=str)
@pytest.mark.parametrize("encoding", [name for name in ENCODED if "UC1" not in name])
def test_an_image_of_one_colour_keeps_it(encoding: str, paint: tuple[int, int, int]) -> None:
    """By the formats' definitions, not by another library."""
    red, green, blue = paint
    y = round(16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256)
    u = round(128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256)
    v = round(128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256)
    name = encoding.removesuffix("16").removesuffix("8").removeprefix("bayer_")
    quad = [y, u, y, v] if name in ("yuyv", "yuv422_yuy2") else [u, y, v, y]
    numbers = [{"r": red, "g": green, "b": blue}.get(letter, 7) for letter in name]
    if encoding.startswith("bayer"):
        sent = np.tile(np.reshape(numbers, (2, 2)), (HEIGHT // 2, WIDTH // 2))[:, :, None]
    elif encoding.startswith("mono"):
        sent = np.full((HEIGHT, WIDTH, 1), green)
    elif encoding.startswith("nv"):
        chroma = np.tile([u, v] if name == "nv12" else [v, u], (HEIGHT // 2, WIDTH // 2))
        sent = np.concatenate([np.full((HEIGHT, WIDTH), y), chroma])[:, :, None]
    elif encoding.startswith(("yu", "uyvy")):
        sent = np.tile(quad, (HEIGHT, WIDTH // 2))[:, :, None]
    else:
        sent = np.tile(numbers, (HEIGHT, WIDTH, 1))
    sent = sent.astype(np.uint16) * 257 if encoding in DEEP else sent.astype(np.uint8)
    result = image_to_rgb(message(sent, encoding))
    expected = (green,) * 3 if encoding.startswith("mono") else paint
    assert np.abs(result.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("encoding", BRIDGED)
def test_cv_bridge_gives_the_same(encoding: str) -> None:
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        pytest.skip("a cv_bridge that was built for NumPy 1 ends the process under NumPy 2")
    cv_bridge = pytest.importorskip("cv_bridge")
    sent, _ = ENCODED[encoding]
    bridged = cv_bridge.CvBridge().imgmsg_to_cv2(message(sent, encoding), "rgb8")
    np.testing.assert_array_equal(image_to_rgb(message(sent, encoding)), bridged)


@pytest.mark.parametrize("name", ["nv16", "nv61", "nv24", "nv42"])
def test_colours_of_more_resolution_than_nv12(name: str) -> None:
    """Where neighbours have one colour, the resolution of the colours makes no difference."""
    y, small = NV12[:HEIGHT], NV12[HEIGHT:].reshape(HEIGHT // 2, WIDTH // 2, 2)
    chroma = small.repeat(2, axis=0)
    if name in ("nv24", "nv42"):
        chroma = chroma.repeat(2, axis=1)
    sent = message(y, name)
    sent.data = array.array("B", y.tobytes() + chroma.tobytes())
    expected = ENCODED["nv12" if name in ("nv16", "nv24") else "nv21"][1]
    np.testing.assert_array_equal(image_to_rgb(sent), expected)


@pytest.mark.parametrize("encoding", ["nv12", "nv16", "nv24", "yuv422", "yuyv", "bayer_rggb8"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (2, 7), (9, 2)])
def test_odd_sizes(encoding: str, width: int, height: int) -> None:
    step = 2 * width + 2
    sent = Image(height=height, width=width, encoding=encoding, step=step)
    sent.data = array.array("B", bytes(step * height * 3))
    assert image_to_rgb(sent).shape == (height, width, 3)


def test_what_needs_no_conversion_is_not_copied_even_without_the_last_rows_padding() -> None:
    sent = message(RGB, "rgb8", padding=5)
    sent.data = sent.data[:-5]
    result = image_to_rgb(sent)
    np.testing.assert_array_equal(result, RGB)
    assert np.shares_memory(result, np.frombuffer(sent.data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        result[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("encoding", "advice"),
    [
        ("8UC3", 'leaves open which channel is red: publish it as bgr8, .* or rgb8; .*, "bgr8"'),
        ("8UC4", "publish it as bgra8, .* or rgba8"),
        ("16UC3", "publish it as bgr16, .* or rgb16"),
        ("16UC4", "publish it as bgra16, .* or rgba16"),
        ("8UC2", "publish it as yuv422 .* as yuv422_yuy2"),
        ("32FC1", "distances mostly: remap image to the camera's picture"),
        ("32SC1", "distances mostly"),
        ("32FC3", "publish it as rgb8 or bgr8, scaled to 0 to 255"),
        ("8SC3", "publish it as rgb8 or bgr8, scaled"),
        ("RGB8", "publish it as rgb8"),
        ("bgr", "publish it as bgr8"),
        ("rggb8", "publish it as bayer_rggb8"),
        ("YUYV ", "publish it as yuyv"),
        ("rgb8; jpeg compressed bgr8", "set image_transport:=compressed"),
        ("", "let the driver or node that publishes it say what it is"),
        ("yuv420p", "convert the stream to rgb8"),
        ("a\x00b", "convert the stream to rgb8"),
    ],
)
def test_other_encodings_are_named_with_the_known_ones_and_what_to_do(
    encoding: str, advice: str
) -> None:
    with pytest.raises(InputError, match=f"expected one of rgb8, bgr8, .*; .*{advice}") as raised:
        image_to_rgb(message(RGB, encoding))
    assert f"got {encoding!r}" in str(raised.value)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "nv12", "yuv422"])
@pytest.mark.parametrize(
    "change",
    [
        {"step": 5},
        {"height": 2 * HEIGHT},
        {"width": 0},
        {"height": 0},
        {"data": array.array("B")},
        {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
    ],
    ids=str,
)
def test_data_that_do_not_fit_their_size_are_refused(
    encoding: str, change: dict[str, object]
) -> None:
    sent = message(ENCODED[encoding][0], encoding)
    for name, value in change.items():
        setattr(sent, name, value)
    with pytest.raises(InputError, match=r"image data: got .*, expected .*; check the driver"):
        image_to_rgb(sent)


def test_numbers_of_one_channel() -> None:
    numbers = np.array([[1, -2, 3], [2**31 - 1, -(2**31), 0]], np.int32)
    big = numbers.astype(">i4")
    for rows, is_big in ((numbers, 0), (big, 1)):
        sent = Image(height=2, width=3, step=12, is_bigendian=is_big)
        sent.data = array.array("B", rows.tobytes())
        result = image_numbers(sent, np.int32)
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, numbers)


@settings(max_examples=300)
@given(images | compressed_images)
def test_any_message_is_converted_or_refused_with_the_reason(sent: Image | CompressedImage) -> None:
    try:
        result = image_to_rgb(sent)
    except InputError as error:
        reason = str(error)
    else:
        assert result.dtype == np.uint8 and result.shape[2] == 3
        assert isinstance(sent, CompressedImage) or result.shape[:2] == (sent.height, sent.width)
        return
    assert "got" in reason and "expected" in reason and "; " in reason
