"""The world is settled by stamps, so that two processes agree on the truth; what is seen of it."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import Header

from perceptiondlm_ros.development.demo.demo_camera import calibration, detections
from perceptiondlm_ros.development.demo.world import SCENE_NS, SCENES, World
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS
from perceptiondlm_ros.development.scenes.vocabulary import parse_caption
from perceptiondlm_ros.messages.boxes import box_corners
from perceptiondlm_ros.ros.outputs.calibration import calibrated_camera

START = 1_700_000_000_000_000_000


@settings(max_examples=20)
@given(after=st.integers(0, 20 * SCENE_NS), objects=st.integers(1, 6))
def test_same_stamp_same_scene(after: int, objects: int) -> None:
    first, second = World(3, objects, START), World(3, objects, START)
    assert first.at(START + after) == second.at(START + after)
    truth = first.truth(START + after)
    assert len(truth) == objects
    assert all(parse_caption(text) for texts in truth.values() for text in texts)


def test_objects_keep_their_ids_while_they_move_and_never_share_them_across_cuts() -> None:
    world = World(0, 4, START)
    seen = [
        {item.track_id: item for item in world.at(START + stamp).objects}
        for stamp in (0, SCENE_NS - 1, SCENE_NS, 2 * SCENE_NS)
    ]
    assert [sorted(scene) for scene in seen] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
    ]
    for track in seen[0]:
        assert seen[0][track].attributes == seen[1][track].attributes
        assert seen[0][track].centre != seen[1][track].centre


def test_the_same_scenes_come_again_with_new_ids() -> None:
    world = World(5, 3, START)
    looks = [
        [(item.attributes, item.centre) for item in world.at(START + number * SCENE_NS).objects]
        for number in range(2 * SCENES)
    ]
    assert looks[:SCENES] == looks[SCENES:]
    last, first = World(len(EVALUATION_SEEDS) - 1, 2, START), World(0, 2, START)
    after_it = [item.attributes for item in last.at(START + SCENE_NS).objects]
    assert after_it == [item.attributes for item in first.at(START).objects]
    assert all(looks[0] != other for other in looks[1:SCENES])
    assert set(world.truth(START)).isdisjoint(world.truth(START + SCENES * SCENE_NS))


def test_every_visible_object_is_detected_with_its_track_and_box() -> None:
    scene = World(1, 5, 0).at(0)
    boxes = render(scene, masks=False).boxes
    boxes[1] = np.zeros(4)  # hidden
    header = Header(stamp=Time(sec=4), frame_id="camera_optical_frame")
    message = detections(scene, boxes, header)
    assert message.header == header
    assert [found.id for found in message.detections] == ["1", "3", "4", "5"]
    for found, box in zip(message.detections, np.delete(boxes, 1, axis=0).tolist(), strict=True):
        assert found.header == header
        assert box_corners(found.bbox) == pytest.approx(box)
        assert found.results[0].hypothesis.class_id == "object"
        assert 0.5 < found.results[0].hypothesis.score <= 1


@pytest.mark.parametrize("rectified", [False, True])
def test_the_calibration_is_one_that_places_things(rectified: bool) -> None:
    header = Header(frame_id="camera_optical_frame")
    info = calibration(640, 480, header)
    assert info.header == header
    camera = calibrated_camera(info, 640, 480, rectified)
    pixels = np.array([(319.5, 239.5), (639.5, 239.5)])
    assert camera.points(pixels, np.full(2, 2.0)).tolist() == [[0, 0, 2], [1, 0, 2]]
