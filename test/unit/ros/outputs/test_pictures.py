"""The annotated image: drawn for who looks, as what he asks for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from output_support import SECOND, Stage, region, result, stage
from PIL import Image as Picture
from rclpy.parameter import Parameter
from ros_support import header
from sensor_msgs.msg import CompressedImage, Image

from perceptiondlm_ros.drawing.colours import track_colour
from perceptiondlm_ros.messages.images import image_to_rgb
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros.outputs import pictures
from perceptiondlm_ros.ros.outputs.pictures import AnnotatedImage, annotated_pixels, jpeg
from perceptiondlm_ros.ros.outputs.results import Waiting


class Counted:
    """Counts the calls of a function of the module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.calls = 0
        self._call = getattr(pictures, name)
        monkeypatch.setattr(pictures, name, self)

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        return self._call(*arguments)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    names = ("annotated_pixels", "rgb_to_image", "jpeg")
    return {name: Counted(monkeypatch, name) for name in names}


def publish(at: Stage, number: int) -> None:
    at.publish(result([region()], number * SECOND, sequence=number))


def test_nothing_is_drawn_or_encoded_for_nobody(work: dict[str, Counted]) -> None:
    def calls() -> list[int]:
        return [work[name].calls for name in ("annotated_pixels", "rgb_to_image", "jpeg")]

    with stage(lambda node, warn: AnnotatedImage(node)) as at:
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
        assert [picture.header for picture in (*seen, *packed)] == [
            header(2 * SECOND),
            header(3 * SECOND),
            header(3 * SECOND),
        ]


def test_only_a_jpeg_is_encoded_for_who_wants_that_alone(work: dict[str, Counted]) -> None:
    with stage(lambda node, warn: AnnotatedImage(node)) as at:
        at.node.set_parameters([Parameter("annotated_image.jpeg_quality", value=20)])
        packed = at.listen(CompressedImage, "annotated_image/compressed")
        at.until(at.output.wanted, "a viewer")
        publish(at, 1)
        at.until(lambda: bool(packed), "a picture")
        assert [work[name].calls for name in ("rgb_to_image", "jpeg")] == [0, 1]
        poor = len(packed[0].data)
        at.node.set_parameters([Parameter("annotated_image.jpeg_quality", value=95)])
        publish(at, 2)
        at.until(lambda: len(packed) == 2, "the next picture")
        assert len(packed[1].data) > 1.5 * poor


def test_an_unreadable_image_draws_nothing() -> None:
    output = AnnotatedImage.__new__(AnnotatedImage)
    assert list(output.render(result(pixels=None))) == []


def test_a_jpeg_is_the_picture() -> None:
    pixels = annotated_pixels(np.full((240, 320, 3), 90, np.uint8), result([region()]))
    message = jpeg(pixels, header(SECOND), 90)
    decoded = np.asarray(Picture.open(io.BytesIO(bytes(message.data))))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 3
    assert message.header == header(SECOND)
    assert message.format == "rgb8; jpeg compressed bgr8"


def test_age_draft_and_mask_reach_the_picture() -> None:
    pixels = np.full((240, 320, 3), 90, np.uint8)
    mask = np.zeros((240, 320), bool)
    mask[70:110, 110:170] = True
    old = region(source=RegionDescription.REUSED, made=0)
    draft = region(source=RegionDescription.DRAFT)
    drawn = [
        annotated_pixels(pixels, result([region()])),
        annotated_pixels(pixels, result([old])),
        annotated_pixels(pixels, result([draft])),
        annotated_pixels(pixels, result([region()], masks=(mask,))),
    ]
    for index, picture in enumerate(drawn):
        assert all((picture != other).any() for other in drawn[index + 1 :])


def test_a_region_that_waits_for_its_caption_is_outlined_in_its_colour() -> None:
    pixels = np.full((240, 320, 3), 90, np.uint8)
    waiting = Waiting("7", "7", "cup", 0, (100.0, 60.0, 180.0, 120.0))
    drawn = annotated_pixels(pixels, result(waiting=(waiting,)))
    assert tuple(drawn[90, 100]) == track_colour("7", "cup", 0)
    assert (drawn != 90).any(axis=2).mean() < 0.04, "no label"


def test_the_message_is_the_picture() -> None:
    pixels = np.full((48, 64, 3), 90, np.uint8)
    drawn = annotated_pixels(pixels, result([region((8, 8, 24, 24))]))
    message = pictures.rgb_to_image(drawn, header(5))
    assert (image_to_rgb(message) == drawn).all() and (drawn != pixels).any()
