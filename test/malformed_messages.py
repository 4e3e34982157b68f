"""Messages as no camera or detector should send them, and good ones to compare with."""

from __future__ import annotations

import array
import io
import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from hypothesis import strategies as st
from PIL import Image as Pillow
from ros_support import detection, header, image, image_of
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from perceptiondlm_ros.messages.encodings import ENCODINGS

GOOD = detection(8, 8, 24, 24, "good", "cup")


def compressed(nanoseconds: int, data: bytes, form: str = "png") -> CompressedImage:
    return CompressedImage(header=header(nanoseconds), format=form, data=array.array("B", data))


def file_of(pixels: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, form)
    return file.getvalue()


PIXELS = np.full((48, 64, 3), 90, np.uint8)
GOOD_PNG, GOOD_JPEG = file_of(PIXELS, "PNG"), file_of(PIXELS, "JPEG")


def good_image(kind: type[Any], nanoseconds: int) -> Any:
    return image(nanoseconds) if kind is Image else compressed(nanoseconds, GOOD_PNG)


def ids(nanoseconds: int) -> Image:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[10:20, 10:15] = 1
    return image_of(pixels, "mono8", nanoseconds)


texts = st.sampled_from(["", "\0", "\x1b[2J", "é" * 50, "a" * 5000]) | st.text(max_size=20)
floats = st.floats(-100, 100) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308])
few_bytes = st.binary(max_size=300) | st.integers(0, 20_000).map(bytes)
sizes = st.integers(0, 70) | st.sampled_from([48, 64, 2**16, 2**31, 2**32 - 1])
encodings = texts | st.sampled_from([*ENCODINGS, "32SC1", "32FC1"])
images = st.builds(
    Image,
    width=sizes,
    height=sizes,
    step=sizes,
    encoding=encodings,
    is_bigendian=st.integers(0, 255),
    data=few_bytes.map(lambda data: array.array("B", data)),
)
formats = texts | st.sampled_from(["16UC1; compressedDepth", "bayer_rggb8; png compressed"])
files = few_bytes | st.tuples(
    st.sampled_from([GOOD_PNG, GOOD_JPEG]), st.integers(0, 700), st.binary(max_size=9)
).map(lambda cut: cut[0][: cut[1]] + cut[2])
compressed_images = st.builds(
    CompressedImage, format=formats, data=files.map(lambda data: array.array("B", data))
)


@st.composite
def any_detection(draw: st.DrawFn) -> Detection2D:
    found = Detection2D(id=draw(texts))
    found.bbox.center.position.x, found.bbox.center.position.y = draw(floats), draw(floats)
    found.bbox.center.theta = draw(floats)
    found.bbox.size_x, found.bbox.size_y = draw(floats), draw(floats)
    for _ in range(draw(st.integers(0, 3))):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = draw(texts), draw(floats)
        result.pose.pose.position.x = draw(floats)
        found.results.append(result)
    return found


arrays = st.builds(Detection2DArray, detections=st.lists(any_detection(), min_size=1, max_size=4))
wrong_stamps = st.sampled_from([Time(), Time(sec=2**31 - 1, nanosec=2**32 - 1)]) | st.builds(
    Time, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, 2**32 - 1)
)


def mostly(good: Any, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 2).flatmap(lambda n: others if n == 0 else st.just(good))


@st.composite
def any_frame(draw: st.DrawFn, kind: type[Any], stamp: int) -> tuple[Any, Image, Detection2DArray]:
    """A frame of which some parts are good and others are not, the stamps among them."""
    of_kind = images if kind is Image else compressed_images
    parts = (
        draw(mostly(good_image(kind, stamp), of_kind)),
        draw(mostly(ids(stamp), images)),
        draw(arrays),
    )
    same = draw(mostly(header(stamp).stamp, wrong_stamps))
    frame_id = draw(texts)
    for part in parts:
        wrong = draw(st.integers(0, 4)) == 0
        part.header = Header(stamp=draw(wrong_stamps) if wrong else same, frame_id=frame_id)
    return parts
