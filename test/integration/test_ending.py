"""A node that is told to end, whatever it does just then: status 0, and no error in its log."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ros_support import detection, detections, image, ros_context

if TYPE_CHECKING:
    from conftest import NodeProcess

TESTS = Path(__file__).parents[1]
SIGNALS = (signal.SIGINT, signal.SIGTERM)

CAPTIONER = f"""
import sys, threading
sys.path.insert(0, {str(TESTS)!r})
from ros_support import FakeCaptioner
from perceptiondlm_ros.ros import region_captioner

class Node(region_captioner.RegionCaptioner):
    def __init__(self):
        print("making", flush=True)
        super().__init__(load=self.load)
    def load(self, settings):
        return FakeCaptioner()
region_captioner.RegionCaptioner = Node
"""
LOADING_FOR_EVER = """
def load(self, settings):
    print("long", flush=True)
    threading.Event().wait()
Node.load = load
"""
PASSING_FOR_EVER = """
class Stuck(FakeCaptioner):
    passes = 0
    def describe(self, *args, **options):
        self.passes += 1
        if self.passes > 1:
            print("long", flush=True)
            threading.Event().wait()
        return super().describe(*args, **options)
Node.load = lambda self, settings: Stuck()
"""
MAIN = "sys.exit(region_captioner.main(['node', '--ros-args', '-p', 'publish.json:=true']))"

TIMER = """
import sys, rclpy
from rclpy.node import Node
from perceptiondlm_ros.ros.ending import run_node

def make():
    node = Node("timer")
    node.create_timer(0.01, act)
    return node
"""
FAILING = """
def act(): raise RuntimeError("on purpose")
sys.exit(run_node(make, []))
"""
SHUT_DOWN = """
def act():
    rclpy.shutdown()
    raise RuntimeError("because of that")
sys.exit(run_node(make, []))
"""


Start = Callable[[str], "NodeProcess"]


@pytest.fixture
def start(start_process: Callable[[list[str]], NodeProcess]) -> Start:
    return lambda code: start_process(["-c", code])


@pytest.fixture
def traffic(domain: int) -> Iterator[None]:
    """Frames with objects that come and go, 200 a second."""
    from rclpy.node import Node
    from sensor_msgs.msg import Image
    from vision_msgs.msg import Detection2DArray

    over = threading.Event()
    with ros_context(domain) as context:
        peer = Node("peer", context=context)
        images = peer.create_publisher(Image, "image", 10)
        found = peer.create_publisher(Detection2DArray, "detections", 10)

        def publish() -> None:
            for number in count(1):
                if over.wait(0.005):
                    return
                stamp = 10**9 + number * 5 * 10**6
                cup = detection(8, 8, 24, 24, str(number % 7), "cup")
                bowl = detection(30, 8, 44, 24, "bowl", "bowl")
                images.publish(image(stamp))
                found.publish(detections(stamp, [cup, bowl]))

        thread = threading.Thread(target=publish)
        thread.start()
        yield
        over.set()
        thread.join()
        peer.destroy_node()


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("longest", [0.3, 1.5])
def test_it_ends_well_at_any_moment(start: Start, longest: float) -> None:
    """Within the shorter time the node and its topics are made, within the longer one it works."""
    chance = random.Random()  # other moments each time: they depend on the machine anyway

    def check(sign: signal.Signals) -> None:
        node = start(CAPTIONER + MAIN)
        node.wait_for("making")
        moment = chance.uniform(0, longest)
        threading.Event().wait(moment)
        status = node.end(sign)
        told = f"{sign.name} after {moment:.3f} s:\n{node.output}"
        assert status == 0, told
        assert "Traceback" not in node.output and "failed" not in node.output, told

    with ThreadPoolExecutor(len(SIGNALS)) as pool:  # they mostly wait
        list(pool.map(check, SIGNALS * 4))


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_load_that_takes_long_is_broken_off(start: Start, sign: signal.Signals) -> None:
    node = start(CAPTIONER + LOADING_FOR_EVER + MAIN)
    node.wait_for("long")
    assert node.end(sign) == 0
    assert "Traceback" not in node.output and "failed" not in node.output


@pytest.mark.usefixtures("traffic")
def test_a_second_signal_does_not_wait_for_a_pass(start: Start) -> None:
    node = start(CAPTIONER + "region_captioner._STOP_TIMEOUT = 10_000\n" + PASSING_FOR_EVER + MAIN)
    node.wait_for("long")
    node.process.send_signal(signal.SIGINT)
    while node.process.poll() is None:  # the first one may still be on its way
        node.process.send_signal(signal.SIGTERM)
        threading.Event().wait(0.1)
    assert node.wait() == 0
    assert "Traceback" not in node.output


def test_an_error_of_a_callback_is_loud(start: Start) -> None:
    node = start(TIMER + FAILING)
    assert node.wait() == 1
    assert "RuntimeError: on purpose" in node.output


def test_what_fails_because_the_context_was_shut_down_is_the_end(
    start: Start,
) -> None:
    node = start(TIMER + SHUT_DOWN)
    assert node.wait() == 0
    assert "Traceback" not in node.output


@pytest.mark.parametrize("arguments", [["-p", "prompt:="], ["-p", "prompt:={a: 1}"], ["--nothing"]])
def test_arguments_that_ros_cannot_read_are_one_line_with_what_to_write(
    start: Start, arguments: list[str]
) -> None:
    node = start(TIMER + f"sys.exit(run_node(make, ['timer', '--ros-args', *{arguments!r}]))")
    assert node.wait() == 1
    assert "Traceback" not in node.output
    *_, line = node.output.splitlines()  # ROS has a line of its own first
    assert "can't start: " in line and arguments[-1].split()[0] in line
    assert "text that is empty or looks like something else needs quotes" in line
