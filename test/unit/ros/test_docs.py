"""The tables of docs/ say what the code says.

`python test/unit/ros/test_docs.py` writes the table of parameters anew.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from ros_robot import Robot
from ros_support import ros_context

from perceptiondlm_ros.ros.settings import SPECS, Applies, Spec

DOCS = Path(__file__).resolve().parents[3] / "docs"
WHEN = {
    Applies.AT_START: "at the start",
    Applies.AT_CONFIGURE: "at configure",
    Applies.LIVE: "at once",
}


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().strip("`") for cell in line.strip().strip("|").split(" | "))


def table(text: str, heading: str) -> list[tuple[str, ...]]:
    """The cells of the table whose first heading is this one."""
    lines = text[text.index(f"| {heading} |") :].partition("\n\n")[0].splitlines()
    return [cells(line) for line in lines[2:]]


def shown(value: object) -> str:
    return repr(value)  # 10.0, as ROS takes 10 for a whole number


def values(spec: Spec) -> str:
    if spec.bounds and spec.least:
        return f"0, {spec.least} to {spec.bounds[1]:g}"
    if spec.bounds:
        return f"{spec.bounds[0]:g} to {spec.bounds[1]:g}"
    if isinstance(spec.default, bool):
        return "true, false"
    return ", ".join(spec.choices) or "text"


def default(spec: Spec) -> str:
    if isinstance(spec.default, bool):
        return str(spec.default).lower()
    return '""' if spec.default == "" else shown(spec.default)


def parameter_table() -> str:
    lines = ["| parameter | default | values | applies | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{spec.name}` | `{default(spec)}` | {values(spec)} | {WHEN[spec.applies]} "
        f"| {spec.description} |"
        for spec in SPECS
    ]
    return "\n".join(lines)


def test_the_table_of_parameters_is_that_of_the_node() -> None:
    text = (DOCS / "parameters.md").read_text(encoding="utf-8")
    assert parameter_table() in text, (
        "docs/parameters.md: write its table anew with `python test/unit/ros/test_docs.py`; it "
        f"should be\n{parameter_table()}"
    )


STANDARD_TOPICS = ("/parameter_events", "/rosout", "/region_captioner/transition_event", "/clock")
STANDARD_SERVICES = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")
Ends = set[tuple[str, str, str]]


def documented() -> Ends:
    text = (DOCS / "topics.md").read_text(encoding="utf-8")
    return {(name, kind, direction) for name, kind, direction, *_ in table(text, "name")}


def short(name: str) -> str:
    """As the documentation has it: relative and private names of a node without a namespace."""
    if name.startswith("/region_captioner/"):
        return "~/" + name.removeprefix("/region_captioner/")
    return name if name == "/diagnostics" else name.removeprefix("/")


def ends_of(robot: Robot) -> Ends:
    """Topics and services of the running node, as its neighbours see them."""
    found: Ends = set()
    peer: Any = robot.peer
    for direction, ends in (
        ("out", peer.get_publisher_names_and_types_by_node("region_captioner", "/")),
        ("in", peer.get_subscriber_names_and_types_by_node("region_captioner", "/")),
        ("service", peer.get_service_names_and_types_by_node("region_captioner", "/")),
    ):
        found |= {
            (short(name), kind, direction)
            for name, (kind,) in ends
            if name not in STANDARD_TOPICS and not kind.startswith(STANDARD_SERVICES)
        }
    return found


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_table_of_topics_is_that_of_the_running_node(transport: str) -> None:
    from rclpy.parameter import Parameter

    everything = {
        "image_transport": transport,
        "masks.enabled": True,
        "markers.always": True,
        "publish.detections": True,
        "publish.json": True,
    }
    overrides = [Parameter(name, value=value) for name, value in everything.items()]
    other = "image" if transport == "compressed" else "image/compressed"
    expected = {entry for entry in documented() if entry[0] != other}
    if importlib.util.find_spec("foxglove_msgs") is None:
        expected = {entry for entry in expected if "foxglove" not in entry[1]}
    with ros_context() as context:
        robot = Robot(context, parameter_overrides=overrides)
        try:
            robot.node.trigger_configure()
            robot.node.trigger_activate()
            robot.until(
                lambda: ends_of(robot) >= expected,
                f"of these the node lacks some: {sorted(expected)}",
            )
            assert ends_of(robot) == expected
        finally:
            robot.node.close()
            robot.node.destroy_node()
            robot.peer.destroy_node()


def write_parameter_table() -> None:
    path = DOCS / "parameters.md"
    text = path.read_text(encoding="utf-8")
    start = text.index("| parameter |")
    rest = text[start:].partition("\n\n")[2]
    path.write_text(f"{text[:start]}{parameter_table()}\n\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    write_parameter_table()
