"""The demo as its users run it, and that nothing of it stays behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from ros_domains import own_domain
from ros_support import until_true
from rosbags.highlevel import AnyReader
from surroundings import of_a_user

CAMERA = "perceptiondlm_ros.development.demo.demo_camera"
_TOTALS = r"\d+ of \d+ captions right"
_BLOCK = r" +[\d.]+ s  (\d+) of (\d+) right"


class Demo:
    """A running demo. Its processes are known by a mark in their environment."""

    def __init__(self, output: Path, domain: int, *options: str) -> None:
        self.output = output
        self._mark = str(uuid.uuid4())
        self.said = output.parent / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "perceptiondlm_ros.development.demo.run_demo",
                    f"--output={output}",
                    f"--domain={domain}",
                    *options,
                ],
                env=of_a_user(DEMO_MARK=self._mark),
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines()

    def running(self, module: str = "") -> set[int]:
        """Every process of this demo, or those that run `module`, whoever their parent is."""
        # One that has ended but was not waited for has no environment any more.
        return {
            process.pid
            for process in psutil.process_iter(["environ", "cmdline"])
            if (process.info["environ"] or {}).get("DEMO_MARK") == self._mark
            and any(module in word for word in process.info["cmdline"] or ())
        }

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until `happened`; a failure shows what the demo said."""
        try:
            until_true(happened, what)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines()])) from None

    def end(self) -> int:
        """Wait until it ends and leaves no process; its status."""
        self.until(lambda: self.process.poll() is not None, "the end of the demo")
        assert not self.running()
        return int(self.process.returncode)

    def totals(self) -> tuple[int, int]:
        """Of its line that says how many captions were right of how many."""
        (line,) = (line for line in self.lines() if re.fullmatch(_TOTALS, line))
        right, captions = re.findall(r"\d+", line)
        return int(right), int(captions)

    def until_captions(self) -> None:
        self.until(lambda: any("right, " in line for line in self.lines()), "captions")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    with own_domain() as domain:

        def begin(*options: str) -> Demo:
            started.append(Demo(tmp_path / "out", domain, *options))
            return started[-1]

        yield begin
        for demo in started:
            for process in demo.running():
                os.kill(process, signal.SIGKILL)
            demo.process.wait()


def check_record(demo: Demo) -> int:
    """Check pictures and bag; how many captioned frames the bag holds."""
    for path in demo.output.glob("annotated_*.png"):
        with Image.open(path) as picture:
            assert picture.size == (640, 480)
    with AnyReader([demo.output / "bag"]) as reader:
        stamps: dict[str, list[int]] = {}
        regions = 0
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            stamps.setdefault(connection.topic, []).append(stamp)
            regions += len(getattr(message, "regions", []))
    assert set(stamps) == {"/image", "/detections", "/region_captioner/descriptions"}
    # A frame is described again when more of its captions are there.
    described = list(dict.fromkeys(stamps["/region_captioner/descriptions"]))
    assert stamps["/image"] == stamps["/detections"] == described
    assert regions > 0
    return len(stamps["/image"])


def test_packaged_checkpoint_is_right_about_a_moving_scene(start: Callable[..., Demo]) -> None:
    # As long as by default: each scene is shown once. The checkpoint is right about nine in ten
    # captions of all and about seven in ten of some, so a few of them would be a matter of luck.
    demo = start()
    assert demo.end() == 0, demo.lines()
    right, captions = demo.totals()
    assert right >= 0.8 * captions > 0
    assert check_record(demo) > 0
    assert any(line.startswith("the node is active after") for line in demo.lines())


def test_wrong_captions_are_shown_counted_recorded_and_fail(
    start: Callable[..., Demo], tiny_checkpoint: Path
) -> None:
    demo = start("--seconds=4", "--objects=3", f"--checkpoint={tiny_checkpoint}")
    assert demo.end() == 3, demo.lines()
    lines = demo.lines()
    right, captions = demo.totals()
    # What of a frame has no caption yet is not counted, so there may be fewer than three.
    blocks = [found for line in lines if (found := re.match(_BLOCK, line))]
    assert right < captions == sum(int(block[2]) for block in blocks)
    assert right == sum(int(block[1]) for block in blocks)
    assert {int(block[2]) for block in blocks} <= {0, 1, 2, 3}
    assert sum(line.startswith("  ✗") for line in lines) == captions - right
    assert check_record(demo) <= len(blocks)
    assert any(str(demo.output / "node.log") in line for line in lines)


def test_bad_checkpoint_ends_the_demo_at_once_with_the_nodes_own_words(
    start: Callable[..., Demo], tmp_path: Path
) -> None:
    demo = start(f"--checkpoint={tmp_path / 'nothing: here'}")
    assert demo.end() == 4, demo.lines()
    said = "\n".join(demo.lines())
    assert "could not start" in said and "0 of 0 captions right" in said
    assert "configure failed" in said and "nothing: here" in said
    assert str(demo.output / "node.log") in said


def test_interrupt_ends_all_processes_and_keeps_what_was_recorded(
    start: Callable[..., Demo], tiny_checkpoint: Path
) -> None:
    demo = start("--seconds=600", f"--checkpoint={tiny_checkpoint}")
    demo.until_captions()
    demo.until(lambda: bool(list(demo.output.glob("*.png"))), "a picture")
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 130, demo.lines()
    assert demo.totals()[1] > 0
    assert check_record(demo) > 0


def test_a_process_that_dies_ends_the_demo_and_is_named(
    start: Callable[..., Demo], tiny_checkpoint: Path
) -> None:
    demo = start("--seconds=600", f"--checkpoint={tiny_checkpoint}")
    demo.until(lambda: len(demo.running(CAMERA)) == 1, "the camera")
    os.kill(demo.running(CAMERA).pop(), signal.SIGKILL)
    assert demo.end() == 1, demo.lines()
    assert any(line.startswith("camera ended before the demo did") for line in demo.lines())
