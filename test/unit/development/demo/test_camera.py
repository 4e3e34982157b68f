"""What the camera's detector tells of a scene."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from perceptiondlm_ros.development.demo.camera import calibration, detections
from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.messages.boxes import box_corners
from perceptiondlm_ros.ros.outputs.camera import camera_of


def test_every_visible_object_is_detected_with_its_track_and_box() -> None:
    scene = World(1, 5, 0).at(0)
    boxes = render(scene, masks=False).boxes
    header = Header(stamp=Time(sec=4), frame_id="camera_optical_frame")
    message = detections(scene, boxes, header)
    assert message.header == header
    assert [found.id for found in message.detections] == ["1", "2", "3", "4", "5"]
    for found, box in zip(message.detections, boxes.tolist(), strict=True):
        assert found.header == header
        assert box_corners(found.bbox) == pytest.approx(box)
        assert found.results[0].hypothesis.class_id == "object"
        assert 0.5 < found.results[0].hypothesis.score <= 1


def test_hidden_object_is_not_detected() -> None:
    scene = World(1, 3, 0).at(0)
    boxes = render(scene, masks=False).boxes
    boxes[1] = np.zeros(4)
    assert [found.id for found in detections(scene, boxes, Header()).detections] == ["1", "3"]


@pytest.mark.parametrize("rectified", [False, True])
def test_the_calibration_is_one_that_places_things(rectified: bool) -> None:
    header = Header(frame_id="camera_optical_frame")
    info = calibration(640, 480, header)
    assert info.header == header
    camera = camera_of(info, 640, 480, rectified)
    pixels = np.array([(319.5, 239.5), (639.5, 239.5)])
    assert camera.points(pixels, np.full(2, 2.0)).tolist() == [[0, 0, 2], [1, 0, 2]]
