"""Drafts with the packaged model by schedule: how much earlier they come than final captions."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from ros_support import detection, detections, header, image

from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS, sample_scene
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray
from perceptiondlm_ros.ros.outputs.annotated_image import rgb_to_image

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 10**9
FRAMES, STEPS = 12, 4


def test_a_draft_comes_well_before_the_final_caption(
    robot: Robot, capsys: pytest.CaptureFixture[str]
) -> None:
    robot.start(draft_steps=STEPS, decoding="schedule")
    scenes = [sample_scene(EVALUATION_SEEDS[n], size=(640, 480), objects=6) for n in range(FRAMES)]
    pictures = [render(scene) for scene in scenes]
    robot.until_active()
    came: dict[int, list[tuple[float, RegionDescriptionArray]]] = {}
    robot.peer.create_subscription(
        RegionDescriptionArray,
        "region_captioner/descriptions",
        lambda m: came.setdefault(nanoseconds(m.header.stamp), []).append((time.monotonic(), m)),
        10,
    )
    stamps = itertools.count(SECOND, SECOND // 1000)

    def publish() -> None:
        stamp = next(stamps)
        robot.images.publish(image(stamp))
        robot.found.publish(detections(stamp))

    robot.until(lambda: bool(came), "anything, so that nothing is missed later", again=publish)
    early, final, early_right, final_right = [], [], 0, 0
    for number, (scene, picture) in enumerate(zip(scenes, pictures, strict=True), 1):
        stamp = number * 10 * SECOND  # far apart: every frame is a new scene
        boxes = picture.boxes.tolist()
        items = [detection(*box, name=f"{number}/{n}") for n, box in enumerate(boxes)]
        sent = time.monotonic()
        robot.images.publish(rgb_to_image(picture.image, header(stamp)))
        robot.found.publish(detections(stamp, items))
        robot.until(lambda stamp=stamp: len(came.get(stamp, [])) == 2, f"draft and final {number}")
        (at_draft, draft), (at_final, complete) = came[stamp]
        assert {region.source for region in draft.regions} == {RegionDescription.DRAFT}
        assert {region.source for region in complete.regions} == {RegionDescription.FRESH}
        early.append(at_draft - sent)
        final.append(at_final - sent)
        truth = captions(scene)
        early_right += sum(r.caption in truth[n] for n, r in enumerate(draft.regions))
        final_right += sum(r.caption in truth[n] for n, r in enumerate(complete.regions))
    all_of_them = 6 * FRAMES
    with capsys.disabled():
        print(
            f"\ndrafts after {STEPS} of 16 steps: {statistics.median(early) * 1000:.0f} ms, "
            f"{early_right} of {all_of_them} right; final captions: "
            f"{statistics.median(final) * 1000:.0f} ms, {final_right} of {all_of_them} right"
        )
    assert statistics.median(early) < statistics.median(final)
    assert final_right >= early_right
