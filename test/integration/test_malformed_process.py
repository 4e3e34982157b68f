"""Malformed messages at the node as it is shipped: its process lives on and grows no larger."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from malformed_messages import GOOD, ids
from ros_support import detection, detections, header, image
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D

if TYPE_CHECKING:
    from conftest import Robot

SECOND = 1_000_000_000


def malformed_frames() -> Iterator[tuple[Image, list[Detection2D]]]:
    """Images with their detections: one of the two is wrong, or both."""
    fine = image(0, width=160, height=120)
    yield Image(), [GOOD]
    for encoding in ("", "no such encoding", "32FC1", "rgb16", "nv12", "a" * 10_000):
        wrong = image(0, width=640, height=480)
        wrong.encoding = encoding
        yield wrong, [GOOD]
    for width, height, step in ((160, 4000, 480), (2**32 - 1, 2**32 - 1, 2**32 - 1), (0, 0, 0)):
        wrong = image(0, width=160, height=120)
        wrong.width, wrong.height, wrong.step = width, height, step
        yield wrong, [GOOD]
    for x in (math.nan, math.inf, -1e308):
        yield fine, [detection(x, 0, 9, 9), GOOD, Detection2D(id="x" * 10_000)]
    spinning = detection(8, 8, 24, 24)
    spinning.bbox.center.theta = 1e308
    yield fine, [spinning]
    yield fine, [detection(n % 60, n % 40, n % 60 + 2, n % 40 + 3) for n in range(1000)]


def test_its_process_lives_on_and_grows_no_larger(robot: Robot, tiny_checkpoint: Path) -> None:
    node = robot.start(
        checkpoint=tiny_checkpoint, reuse__enabled=False, max_regions=4, masks__enabled=True
    )
    masks = robot.peer.create_publisher(Image, "masks", 10)
    robot.until_active()
    process = Path(f"/proc/{node.process.pid}")
    frames = list(malformed_frames())
    stamps = itertools.count(100 * SECOND, SECOND)

    def throw_all(rounds: int) -> tuple[float, int, int]:
        """The process's memory in MB, its threads and its files after these rounds."""
        for sent, items in itertools.chain.from_iterable([frames] * rounds):
            stamp = next(stamps)
            sent.header = header(stamp)
            robot.received.clear()
            robot.images.publish(sent)
            short = ids(stamp)
            short.height = 5000
            masks.publish(short)
            robot.found.publish(detections(stamp, items))
            robot.until(lambda: bool(robot.received), f"an answer to {sent.encoding[:20]}")
            assert len(robot.received[0].regions) + robot.received[0].dropped == len(items)
        pages = int((process / "statm").read_text().split()[1])
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return megabytes, *(len(list((process / name).iterdir())) for name in ("task", "fd"))

    before, threads, files = throw_all(2)
    megabytes, threads_now, files_now = throw_all(4)
    assert megabytes - before < 20, "each round is 6 MB"
    assert threads_now <= threads and files_now <= files + 2
    assert node.end() == 0
    assert not node.said("Traceback") and not node.said("worker failed")
