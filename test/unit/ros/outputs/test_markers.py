"""Markers in space: where, how long, and what they need while somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from output_support import CAPTION, SECOND, Stage, region, result, stage
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import Parameter
from ros_support import header, taken_reliably
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import Marker, MarkerArray

from perceptiondlm_ros.msg import RegionDescription
from perceptiondlm_ros.ros import parameters
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.outputs.annotations import lines_of
from perceptiondlm_ros.ros.outputs.marker_shapes import CAPTIONS, OUTLINES
from perceptiondlm_ros.ros.outputs.markers import MarkerLifetime, Markers
from perceptiondlm_ros.ros.outputs.result import Uncaptioned

INFO = CameraInfo(
    header=header(SECOND),
    width=320,
    height=240,
    k=[200.0, 0, 159.5, 0, 200, 119.5, 0, 0, 1],
    distortion_model="plumb_bob",
    d=[0.0] * 5,
)
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
    """A viewer of markers, who keeps what is to be seen, as RViz does."""

    def __init__(self, at: Stage) -> None:
        self.at = at
        self.infos = at.peer.create_publisher(CameraInfo, "camera_info", 1)
        self.depths = at.peer.create_publisher(Image, "depth", 1)
        self.heard: list[MarkerArray] = []
        self._number = 0

    @property
    def takes_camera_topics(self) -> bool:
        return any(p.get_subscription_count() for p in (self.infos, self.depths))

    def look(self, depth: bool = False) -> None:
        """Subscribe, and wait until the node has what it needs."""
        self.heard = self.at.listen(MarkerArray, "markers")
        self.send(depth)

    def send(self, depth: bool = False) -> None:
        topics = ["/camera_info", "/depth"]
        self.at.until(lambda: taken_reliably(self.at.peer, *topics), "subscriptions for markers")
        camera = self.at.output._camera_topics
        if depth:
            self.depths.publish(depth_image())
            self.at.until(lambda: camera._depths.find(SECOND, SECOND) is not None, "depth")
        self.at.until(
            lambda: camera.info is not None, "camera_info", again=lambda: self.infos.publish(INFO)
        )

    def show(self, *regions: RegionDescription, **more: Any) -> list[Marker]:
        """The markers that a result makes."""
        self._number += 1
        before = len(self.heard)
        given = {"sequence": self._number, **more}
        self.at.publish(result(regions, **given))
        self.at.until(lambda: len(self.heard) > before, "markers")
        return list(self.heard[before].markers)

    def seen(self) -> dict[tuple[str, int], Marker]:
        found: dict[tuple[str, int], Marker] = {}
        for marker in (marker for array in self.heard for marker in array.markers):
            if marker.action == Marker.DELETEALL:
                found.clear()
            elif marker.action == Marker.DELETE:
                del found[marker.ns, marker.id]
            else:
                found[marker.ns, marker.id] = marker
        return found


def depth_image(frame: str = "camera", stamp: int = SECOND) -> Image:
    metres = np.full((120, 160), 3500, np.uint16)
    return Image(
        header=header(stamp, frame),
        height=120,
        width=160,
        encoding="16UC1",
        step=320,
        data=metres.tobytes(),
    )


def markers_of(node: LifecycleNode, monitor: Monitor) -> Markers:
    return Markers(node, monitor, lambda: parameters.read(node).markers.always)


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    with stage(markers_of) as at:
        yield Viewer(at)


def test_camera_info_and_depth_are_taken_only_while_somebody_looks(viewer: Viewer) -> None:
    at = viewer.at
    at.publish(result([region()], sequence=1))
    at.until(lambda: at.peer.count_publishers("/region_captioner/markers") == 1, "the topic")
    assert not viewer.takes_camera_topics
    viewer.look()
    (subscription,) = at.peer.subscriptions
    at.peer.destroy_subscription(subscription)
    at.until(lambda: not viewer.takes_camera_topics, "no more subscription")
    assert at.output._camera_topics.info is None
    at.node.set_parameters([Parameter("markers.always", value=True)])
    at.until(lambda: taken_reliably(at.peer, "/camera_info", "/depth"), "always taken")
    at.outputs.close()
    at.until(lambda: not viewer.takes_camera_topics, "none while inactive")


def test_nothing_is_made_for_nobody(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    render = viewer.at.output.render
    monkeypatch.setattr(
        viewer.at.output, "render", lambda given: (made.append(given.sequence), render(given))[1]
    )
    viewer.at.publish(result([region()], sequence=1))
    viewer.look()
    viewer.show(region(), sequence=2)
    assert made == [2]


def test_text_and_outline_stand_at_the_object_in_the_images_frame(viewer: Viewer) -> None:
    viewer.look()
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
    viewer.look(depth=True)
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(3.5)
    late = result([region()], 3 * SECOND, sequence=5)
    viewer.at.publish(late)
    viewer.at.until(lambda: len(viewer.heard) == 2, "markers")
    assert viewer.heard[1].markers[1].pose.position.z == pytest.approx(2), "no depth of that time"


def test_depths_from_before_the_clock_was_set_back_are_forgotten(viewer: Viewer) -> None:
    viewer.look()
    take = viewer.at.output._camera_topics._on_depth
    take(depth_image(stamp=5 * SECOND))
    take(depth_image(stamp=SECOND))
    _, text = viewer.show(region(), nanoseconds=5 * SECOND)
    assert text.pose.position.z == pytest.approx(2)
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(3.5)


def test_depth_of_another_frame_is_told_and_not_used(viewer: Viewer) -> None:
    viewer.look()
    viewer.depths.publish(depth_image("depth_frame"))
    viewer.at.until(
        lambda: viewer.at.output._camera_topics._depths.find(SECOND, 0) is not None, "depth"
    )
    _, text = viewer.show(region())
    assert text.pose.position.z == pytest.approx(2)
    (line,) = viewer.at.warnings
    assert "'depth_frame', expected the image's 'camera'" in line


def test_ids_are_stable_and_what_is_gone_is_deleted(viewer: Viewer) -> None:
    viewer.look()
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
    viewer.look()
    viewer.show(region())
    before = set(viewer.seen())
    waiting = Uncaptioned("7", "7", "cup", 0, (100.0, 60.0, 180.0, 120.0))
    outline, text = viewer.show(waiting=(waiting,))
    assert set(viewer.seen()) == before
    assert (outline.action, text.text) == (Marker.ADD, "7 - cup"), "its old caption is not shown"


def test_a_track_without_an_id_keeps_its_marker(viewer: Viewer) -> None:
    viewer.look()
    viewer.show(region(name="", index=0), tracks=("t1",))
    (before,) = {number for _, number in viewer.seen()}
    viewer.show(region(name="", index=3), tracks=("t1",))
    assert {number for _, number in viewer.seen()} == {before}


def test_everything_is_taken_back_when_the_stream_ends(viewer: Viewer) -> None:
    viewer.look()
    viewer.show(region())
    viewer.at.outputs.close()
    viewer.at.until(lambda: not viewer.seen(), "DELETEALL")


def test_drafts_and_ages_are_marked(viewer: Viewer) -> None:
    viewer.look()
    draft = region(source=RegionDescription.DRAFT)
    old = region((10, 90, 60, 140), "8", source=RegionDescription.REUSED, made=0)
    texts = [marker for marker in viewer.show(draft, old) if marker.ns == CAPTIONS]
    assert "DRAFT" in texts[0].text and texts[0].color.a < 1
    assert "1.0 s ago" in texts[1].text and texts[1].color.a == 1


def test_a_camera_that_cannot_be_used_makes_no_markers_and_is_told(viewer: Viewer) -> None:
    viewer.look()
    viewer.at.output._camera_topics.info = CameraInfo(width=320, height=240)
    assert viewer.show(region()) == []
    (line,) = viewer.at.warnings
    assert "no markers: camera_info: the focal lengths in K are 0 and 0" in line


@pytest.mark.parametrize("depth", [False, True])
def test_a_region_beyond_the_lens_has_no_marker_and_is_told(viewer: Viewer, depth: bool) -> None:
    """The lens sees 95 degrees at both sides of the image."""
    viewer.look(depth)
    viewer.at.output._camera_topics.info = WIDE
    middle = region((140, 100, 180, 140), "middle")
    edges = region((280, 100, 318, 140), "right"), region((0, 100, 20, 140), "left", index=1)
    markers = viewer.show(middle, *edges)
    assert [m.text.split()[0] for m in markers if m.text] == ["middle"]
    assert viewer.at.output._monitor.counters.regions_unplaced == 2
    (line,) = viewer.at.warnings
    assert "no marker for 2 of 3 regions" in line and "within 89 degrees" in line


@pytest.mark.parametrize(
    ("topic", "coefficient", "rectified", "told"),
    [
        ("/front/image_rect", -0.1, False, True),
        ("/front/image_rect_color", -0.1, False, True),
        ("/front/image_rect", -0.1, True, False),
        ("/front/image_rect", 0.0, False, False),
        ("/front/image_raw", -0.1, False, False),
        ("/direct/image", -0.1, False, False),
    ],
)
def test_images_that_are_rectified_by_their_name_alone_are_told(
    topic: str, coefficient: float, rectified: bool, told: bool
) -> None:
    with stage(markers_of, cli_args=["--ros-args", "-r", f"image:={topic}"]) as at:
        viewer = Viewer(at)
        viewer.look()
        at.node.set_parameters([Parameter("markers.rectified", value=rectified)])
        distorted = [coefficient, 0.0, 0.0, 0.0, 0.0]
        at.output._camera_topics.info = CameraInfo(
            width=320, height=240, k=INFO.k, p=RECTIFIED, distortion_model="plumb_bob", d=distorted
        )
        assert viewer.show(region())
        lines = [line for line in at.warnings if "rectified by their name" in line]
        assert len(lines) == told and all(topic in line for line in lines)


def test_a_region_that_leaves_the_lens_takes_its_marker_along(viewer: Viewer) -> None:
    viewer.look()
    viewer.show(region())
    assert viewer.seen()
    viewer.at.output._camera_topics.info = WIDE
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
