"""Markers in space: where, how long, and what they need while somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from output_support import CAPTION, SECOND, Stage, region, result, stage
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import header, image_of, taken_reliably, until_true
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.drawing.annotation import lines_of
from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.markers import CAPTIONS, OUTLINES, MarkerLifetime, Markers

INFO = CameraInfo(
    header=header(SECOND),
    width=320,
    height=240,
    k=[200.0, 0, 159.5, 0, 200, 119.5, 0, 0, 1],
    distortion_model="plumb_bob",
    d=[0.0] * 5,
)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RECTIFIED = [200.0, 0, 159.5, 0, 0, 200, 119.5, 0, 0, 0, 1, 0]
FOCAL = 160 / np.radians(95)
WIDE = CameraInfo(
    header=header(SECOND),
    width=320,
    height=240,
    k=[FOCAL, 0, 159.5, 0, FOCAL, 119.5, 0, 0, 1],
    distortion_model="equidistant",
    d=[0.0] * 5,
)


class Viewer:
    """Sees what a node's markers are made of each result, as RViz does, and gives it its camera."""

    def __init__(self, at: Stage) -> None:
        self.at = at
        self.camera = at.output._camera_topics
        self.camera.info = INFO
        at.output.publishers = [self]
        self.arrays: list[MarkerArray] = []
        self._number = 0

    def publish(self, array: MarkerArray) -> None:
        self.arrays.append(array)

    def get_subscription_count(self) -> int:
        return 1

    def show(self, *regions: RegionDescription, **more: Any) -> list[Marker]:
        """The markers that a result makes."""
        self._number += 1
        before = len(self.arrays)
        self.at.publish(result(regions, sequence=self._number, **more))
        until_true(lambda: len(self.arrays) > before, "markers")
        return list(self.arrays[before].markers)

    def seen(self) -> dict[tuple[str, int], Marker]:
        found: dict[tuple[str, int], Marker] = {}
        for marker in (marker for array in self.arrays for marker in array.markers):
            if marker.action == Marker.DELETEALL:
                found.clear()
            elif marker.action == Marker.DELETE:
                del found[marker.ns, marker.id]
            else:
                found[marker.ns, marker.id] = marker
        return found


def depth_image(frame: str = "camera", stamp: int = SECOND, width: int = 160) -> Image:
    return image_of(np.full((120, width), 3500, np.uint16), "16UC1", stamp, frame)


def markers_of(node: LifecycleNode, monitor: Monitor) -> Markers:
    return Markers(node, monitor, lambda: parameters.read(node).markers.always)


@pytest.fixture
def at() -> Iterator[Stage]:
    with stage(markers_of) as at:
        yield at


@pytest.fixture
def viewer(at: Stage) -> Viewer:
    return Viewer(at)


def test_markers_camera_info_and_depth_are_made_and_taken_only_while_somebody_looks(
    at: Stage,
) -> None:
    infos = at.peer.create_publisher(CameraInfo, "camera_info", LATCHED)
    infos.publish(INFO)  # once, before anybody listens
    depths = at.peer.create_publisher(Image, "depth", 1)

    def nothing_is_taken() -> bool:
        return not any(publisher.get_subscription_count() for publisher in (infos, depths))

    def everything_is_taken() -> bool:
        return taken_reliably(at.peer, "/camera_info", "/depth")

    at.publish(result([region()], sequence=1))
    at.until(lambda: at.peer.count_publishers("/region_captioner/markers") == 1, "the topic")
    assert nothing_is_taken()
    heard = at.listen(MarkerArray, "markers")
    at.until(everything_is_taken, "subscriptions for markers")
    camera = at.output._camera_topics
    depths.publish(depth_image())
    at.until(lambda: camera._depths.find(SECOND, SECOND) is not None, "depth")
    at.until(lambda: camera.info is not None, "camera_info")
    at.publish(result([region()], sequence=2))
    at.until(lambda: bool(heard), "markers of the second result alone")
    assert heard[0].markers[1].pose.position.z == pytest.approx(3.5)
    (subscription,) = at.peer.subscriptions
    at.peer.destroy_subscription(subscription)
    at.until(nothing_is_taken, "no more subscription")
    assert camera.info is None
    at.node.set_parameters([Parameter("markers.always", value=True)])
    at.until(everything_is_taken, "always taken")
    at.outputs.close()
    at.until(nothing_is_taken, "none while inactive")
    assert len(heard) == 1


def test_text_and_outline_stand_at_the_object_in_the_images_frame(viewer: Viewer) -> None:
    outline, text = viewer.show(region((120, 80, 200, 160)))
    assert (outline.ns, outline.type) == (OUTLINES, Marker.LINE_STRIP)
    assert (text.ns, text.type) == (CAPTIONS, Marker.TEXT_VIEW_FACING)
    for marker in (outline, text):
        assert marker.header == header(SECOND), "the image's"
        assert marker.action == Marker.ADD
        assert marker.pose.orientation.w == 1
        assert (marker.color.a, marker.lifetime.sec) == (1.0, 2)
    corners = [(point.x, point.y, point.z) for point in outline.points]
    expected = [(-0.4, -0.4, 2), (0.4, -0.4, 2), (0.4, 0.4, 2), (-0.4, 0.4, 2), (-0.4, -0.4, 2)]
    assert np.allclose(corners, expected), "200 px are 1 at a distance of 1"
    assert text.pose.position.x == pytest.approx(0)
    assert text.pose.position.y < -0.4, "above it: y points down"
    assert text.pose.position.z == pytest.approx(2)
    assert text.scale.z == pytest.approx(0.06)
    assert text.text.splitlines()[0] == "7 - cup - 75 %"
    assert " ".join(text.text.splitlines()[1:]) == CAPTION


def test_depth_tells_the_distance_where_it_is_there(viewer: Viewer) -> None:
    viewer.camera._on_depth(depth_image())
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(3.5)
    _, text = viewer.show(region(), nanoseconds=3 * SECOND)
    assert text.pose.position.z == pytest.approx(2), "no depth of that time"


def test_depths_from_before_the_clock_was_set_back_are_forgotten(viewer: Viewer) -> None:
    viewer.camera._on_depth(depth_image(stamp=5 * SECOND))
    viewer.camera._on_depth(depth_image(stamp=SECOND))
    _, text = viewer.show(region(), nanoseconds=5 * SECOND)
    assert text.pose.position.z == pytest.approx(2)
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(3.5)


def test_depth_of_another_frame_or_shape_is_told_and_not_used(viewer: Viewer) -> None:
    viewer.camera._on_depth(depth_image("depth_frame"))
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(2)
    viewer.camera._on_depth(depth_image(width=120))
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(2)
    frame, shape = viewer.at.warnings
    assert "'depth_frame', expected the image's 'camera'" in frame
    assert "is 120x120, expected the shape of the 320x240 image" in shape


def test_ids_are_stable_and_what_is_gone_is_deleted(viewer: Viewer) -> None:
    viewer.show(region(name="a"), region((10, 90, 60, 140), "b"))
    first = {marker.text[0]: key for key, marker in viewer.seen().items() if marker.text}
    viewer.show(region((10, 90, 60, 140), "b", index=0), region(name="c", index=1))
    seen = {marker.text[0]: key for key, marker in viewer.seen().items() if marker.text}
    assert set(seen) == {"b", "c"}
    assert seen["b"] == first["b"] and seen["c"] not in first.values()
    assert len(viewer.seen()) == 4, "an outline and a text each"
    viewer.show()
    assert not viewer.seen()


def test_a_region_that_waits_for_its_caption_keeps_its_marker(viewer: Viewer) -> None:
    viewer.show(region())
    before = set(viewer.seen())
    outline, text = viewer.show(waiting=[region()])
    assert set(viewer.seen()) == before
    assert (outline.action, text.text) == (Marker.ADD, "7 - cup"), "its old caption is not shown"


def test_a_track_without_an_id_keeps_its_marker(viewer: Viewer) -> None:
    viewer.show(region(name="", index=0), tracks=("t1",))
    (before,) = {number for _, number in viewer.seen()}
    viewer.show(region(name="", index=3), tracks=("t1",))
    assert {number for _, number in viewer.seen()} == {before}


def test_everything_is_taken_back_when_the_stream_ends(viewer: Viewer) -> None:
    viewer.show(region())
    assert viewer.seen()
    viewer.at.outputs.close()
    assert not viewer.seen()


def test_drafts_and_ages_are_marked(viewer: Viewer) -> None:
    draft = region(source=RegionDescription.DRAFT)
    old = region((10, 90, 60, 140), "8", source=RegionDescription.REUSED, made=0)
    texts = [marker for marker in viewer.show(draft, old) if marker.ns == CAPTIONS]
    assert "DRAFT" in texts[0].text and texts[0].color.a < 1
    assert "1.0 s ago" in texts[1].text and texts[1].color.a == 1


def test_a_camera_that_cannot_be_used_makes_no_markers_and_is_told(viewer: Viewer) -> None:
    viewer.camera.info = CameraInfo(width=320, height=240)
    assert viewer.show(region()) == []
    (line,) = viewer.at.warnings
    assert "no markers: camera_info: the focal lengths in K are 0 and 0" in line


def test_a_region_beyond_the_lens_has_no_marker_and_is_told(viewer: Viewer) -> None:
    """The lens sees 95 degrees at both sides of the image."""
    viewer.camera.info = WIDE
    middle = region((140, 100, 180, 140), "middle")
    edges = region((280, 100, 318, 140), "right"), region((0, 100, 20, 140), "left", index=1)
    markers = viewer.show(middle, *edges)
    assert [m.text.split()[0] for m in markers if m.text] == ["middle"]
    assert viewer.at.monitor.counters.regions_unplaced == 2
    (line,) = viewer.at.warnings
    assert "no marker for 2 of 3 regions" in line and "within 89 degrees" in line


@pytest.mark.parametrize(
    ("topic", "told"),
    [("/front/image_rect", 1), ("/front/image_rect_color", 1), ("/direct/image", 0)],
)
def test_images_that_are_rectified_by_their_name_alone_are_told(topic: str, told: int) -> None:
    with stage(markers_of, cli_args=["--ros-args", "-r", f"image:={topic}"]) as at:
        viewer = Viewer(at)
        for distortion, rectified in ((0.0, False), (-0.1, True), (-0.1, False)):
            assert not at.warnings
            at.node.set_parameters([Parameter("markers.rectified", value=rectified)])
            viewer.camera.info = CameraInfo(
                width=320,
                height=240,
                k=INFO.k,
                p=RECTIFIED,
                distortion_model="plumb_bob",
                d=[distortion, 0.0, 0.0, 0.0, 0.0],
            )
            assert viewer.show(region())
        assert ["rectified by their name" in line for line in at.warnings] == [True] * told
        assert all(topic in line for line in at.warnings)


def test_a_region_that_leaves_the_lens_takes_its_marker_along(viewer: Viewer) -> None:
    viewer.show(region())
    assert viewer.seen()
    viewer.camera.info = WIDE
    viewer.show(region((0, 0, 320, 240)))
    assert not viewer.seen()


def test_a_lifetime_is_well_over_the_time_between_results() -> None:
    lifetime = MarkerLifetime()
    assert lifetime.seconds == 2
    for number, now in enumerate((0.0, 3.0, 4.0), start=1):
        lifetime.shown(number, now)
        lifetime.shown(number, now + 0.5)  # the same frame with more captions
    assert lifetime.seconds == 9


def test_lines_are_wrapped_and_a_loss_is_shown() -> None:
    assert lines_of("7", "one two three", 8, 4) == ["7", "one two", "three"]
    assert lines_of("", "word " * 90, 20, 2)[-1].endswith("...")
    assert lines_of("", "", 20, 2) == []
