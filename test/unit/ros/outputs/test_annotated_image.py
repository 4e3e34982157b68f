"""The annotated image: drawn for who looks, as what he asks for."""

from __future__ import annotations

import io
from unittest.mock import Mock

import numpy as np
import pytest
from output_support import SECOND, Stage, region, result, stage
from PIL import Image as Picture
from rclpy.parameter import Parameter
from ros_support import header
from sensor_msgs.msg import CompressedImage, Image

from perceptiondlm_ros.drawing.annotate import annotate
from perceptiondlm_ros.drawing.colours import track_colour
from perceptiondlm_ros.messages.images import image_to_rgb
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs import annotated_image
from perceptiondlm_ros.ros.outputs.annotated_image import AnnotatedImage, jpeg, rgb_to_image
from perceptiondlm_ros.ros.outputs.result import Result, annotations_of

GREY = np.full((240, 320, 3), 90, np.uint8)
WORK = ("annotate", "rgb_to_image", "jpeg")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[Mock]:
    """Counts the calls of what takes time."""
    counted = [Mock(wraps=getattr(annotated_image, name)) for name in WORK]
    for name, function in zip(WORK, counted, strict=True):
        monkeypatch.setattr(annotated_image, name, function)
    return counted


def publish(at: Stage, number: int) -> None:
    at.publish(result([region()], number * SECOND, sequence=number))


def drawn(given: Result) -> np.ndarray:
    return annotate(GREY, annotations_of(given, 320, 240))


def test_nothing_is_drawn_or_encoded_for_nobody(work: list[Mock]) -> None:
    def calls() -> list[int]:
        return [function.call_count for function in work]

    with stage(lambda node, monitor: AnnotatedImage(node)) as at:
        publish(at, 1)
        seen = at.listen(Image, "annotated_image")
        at.until(at.output.wanted, "a viewer")
        publish(at, 2)
        at.until(lambda: bool(seen), "a picture")
        assert calls() == [1, 1, 0]
        packed = at.listen(CompressedImage, "annotated_image/compressed")
        at.until(lambda: at.output.compressed.get_subscription_count() == 1, "a second viewer")
        publish(at, 3)
        at.until(lambda: len(seen) == 2 and bool(packed), "a picture on both")
        assert calls() == [2, 2, 1], "drawn once for both"
        stamps = [picture.header for picture in (*seen, *packed)]
        assert stamps == [header(number * SECOND) for number in (2, 3, 3)]
        assert not list(at.output.render(result(pixels=None))), "an unreadable image"


def test_only_a_jpeg_is_encoded_for_who_wants_that_alone(work: list[Mock]) -> None:
    with stage(lambda node, monitor: AnnotatedImage(node)) as at:
        at.node.set_parameters([Parameter("annotated_image.jpeg_quality", value=20)])
        packed = at.listen(CompressedImage, "annotated_image/compressed")
        at.until(at.output.wanted, "a viewer")
        publish(at, 1)
        at.until(lambda: bool(packed), "a picture")
        assert [function.call_count for function in work] == [1, 0, 1]
        poor = len(packed[0].data)
        at.node.set_parameters([Parameter("annotated_image.jpeg_quality", value=95)])
        publish(at, 2)
        at.until(lambda: len(packed) == 2, "the next picture")
        assert len(packed[1].data) > 1.5 * poor


def test_a_message_is_the_picture() -> None:
    pixels = drawn(result([region()]))
    assert (image_to_rgb(rgb_to_image(pixels, header(5))) == pixels).all()
    assert (pixels != GREY).any()
    message = jpeg(pixels, header(SECOND), 90)
    decoded = np.asarray(Picture.open(io.BytesIO(bytes(message.data))))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 3
    assert message.header == header(SECOND)
    assert message.format == "rgb8; jpeg compressed bgr8"


def test_age_draft_and_mask_reach_the_picture() -> None:
    mask = np.zeros((240, 320), bool)
    mask[70:110, 110:170] = True
    pictures = [
        drawn(result([region()])),
        drawn(result([region(source=RegionDescription.REUSED, made=0)])),
        drawn(result([region(source=RegionDescription.DRAFT)])),
        drawn(result([region()], masks=(mask,))),
    ]
    for index, picture in enumerate(pictures):
        assert all((picture != other).any() for other in pictures[index + 1 :])


def test_a_region_that_waits_for_its_caption_is_outlined_in_its_colour() -> None:
    picture = drawn(result(waiting=[region()]))
    assert tuple(picture[90, 100]) == track_colour("7", "cup", 0)
    assert (picture != 90).any(axis=2).mean() < 0.04, "no label"
