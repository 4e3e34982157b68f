"""The consumers of docs/consumer.md: Python's hears a caption over DDS, C++'s compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from patience import PATIENCE
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import Spinner, header, ros_context
from surroundings import of_a_user

from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray

TEXT = (Path(__file__).parents[2] / "docs" / "consumer.md").read_text(encoding="utf-8")
STAND_IN = """
#pragma once
#include <memory>
namespace rclcpp {
struct QoS { explicit QoS(int) {} QoS& transient_local() { return *this; } };
struct Node {
  explicit Node(const char*) {}
  template <class Message, class Callback>
  std::shared_ptr<int> create_subscription(const char*, const QoS&, Callback callback) {
    callback(std::make_shared<const Message>());
    return nullptr;
  }
};
inline void init(int, char**) {}
inline void spin(const std::shared_ptr<Node>&) {}
inline void shutdown() {}
}
"""
"""What the example uses of rclcpp, so that what it uses of the messages is compiled anywhere."""


def block(language: str) -> str:
    (source,) = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    return str(source)


def test_python_hears_what_was_said_before_it_came() -> None:
    with ros_context() as context:
        peer = Node("region_captioner", context=context)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        said = peer.create_publisher(RegionDescriptionArray, "~/descriptions", latched)
        regions = [
            RegionDescription(id="7", label="cup", caption="a red cup", confidence=0.75),
            RegionDescription(id="8", caption="unfinished", source=RegionDescription.DRAFT),
        ]
        said.publish(RegionDescriptionArray(header=header(10**9), regions=regions))
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", block("python")],
            env=of_a_user(ROS_DOMAIN_ID=str(context.get_domain_id())),
            stdout=subprocess.PIPE,
            text=True,
        )
        heard: list[str] = []
        assert process.stdout
        reader = threading.Thread(target=heard.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            Spinner(context, peer).until(lambda: bool(heard), "a line of the consumer")
        finally:
            process.kill()
            process.wait(PATIENCE)
            reader.join(PATIENCE)
            peer.destroy_node()
    assert heard == ["7 cup: a red cup (0.75)\n"]


def includes() -> list[Path]:
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    found = [path for prefix in prefixes if prefix for path in Path(prefix, "include").glob("*")]
    return [path for path in found if path.is_dir()]


def compile_example(folder: Path, headers: list[Path]) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    source = folder / "consumer.cpp"
    source.write_text(block("cpp"))
    flags = [part for path in headers for part in ("-isystem", str(path))]
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags]
    run = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_cpp_compiles(tmp_path: Path) -> None:
    if not any((path / "rclcpp" / "rclcpp.hpp").is_file() for path in includes()):
        pytest.skip("rclcpp isn't installed here; it comes with ROS")
    compile_example(tmp_path, includes())


def test_cpp_compiles_with_the_real_messages_and_a_stand_in_for_rclcpp(tmp_path: Path) -> None:
    if not any((path / "perceptiondlm_ros" / "msg").is_dir() for path in includes()):
        pytest.skip("the messages are not built for C++ here")
    (tmp_path / "rclcpp").mkdir()
    (tmp_path / "rclcpp" / "rclcpp.hpp").write_text(STAND_IN)
    compile_example(tmp_path, [tmp_path, *includes()])


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_examples_are_about_twenty_lines(language: str) -> None:
    lines = [line for line in block(language).splitlines() if line.strip()]
    assert len(lines) <= 24
