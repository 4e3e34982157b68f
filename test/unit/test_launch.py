"""Launch files: short, valid, and loadable where launch is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

LAUNCH_FILES = sorted((Path(__file__).parents[2] / "launch").glob("*.launch.py"))


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_it_is_short_and_describes_a_launch(path: Path) -> None:
    tree = ast.parse(path.read_text(), path.name)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert "generate_launch_description" in functions
    assert len(path.read_text().splitlines()) < 60


def description_of(path: Path) -> Any:
    """What the file describes; skips where launch isn't installed."""
    pytest.importorskip("launch_ros", reason="launch_ros isn't installed here; it comes with ROS")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


NODE = "perceptiondlm.launch.py"
OWN = {
    NODE: {
        *("namespace", "params_file", "use_sim_time", "autostart", "log_level", "respawn"),
        *("image", "detections", "masks", "camera_info", "depth"),
    },
    "bag.launch.py": {"bag", "output", "rate", "linger"},
    "demo.launch.py": {"seed", "objects", "rviz"},
    "two_cameras.launch.py": {"left", "right"},
}
"""Arguments of each file, beside those of the file that it includes."""


def test_files_and_arguments_are_those_that_are_documented() -> None:
    text = (LAUNCH_FILES[0].parents[1] / "docs" / "launch.md").read_text(encoding="utf-8")
    table = text[text.index("| file |") :].partition("\n\n")[0].splitlines()[2:]
    told = [re.findall(r"`([\w.]+)`", line) for line in table]
    assert {name: set(arguments) for name, *arguments in told} == OWN
    assert {path.name for path in LAUNCH_FILES} == set(OWN)


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_it_loads_and_every_argument_is_described(path: Path) -> None:
    arguments = {
        argument.name: argument for argument in description_of(path).get_launch_arguments()
    }
    assert set(arguments) == OWN[path.name] | OWN[NODE]
    assert all(argument.description for argument in arguments.values())


def started(**given: str) -> Any:
    """The node that the file starts when these arguments are given."""
    description = description_of(LAUNCH_FILES[0].with_name(NODE))
    from launch import LaunchContext
    from launch.actions import OpaqueFunction

    context = LaunchContext()
    context.launch_configurations.update(given)
    for entity in description.entities:
        if isinstance(entity, OpaqueFunction):
            (node,) = entity.execute(context)
        else:
            entity.execute(context)
    node._perform_substitutions(context)
    return node


@pytest.mark.parametrize(
    ("given", "overrides"),
    [
        ({}, {}),
        ({"autostart": "false"}, {"autostart": False}),
        (
            {"autostart": "true", "use_sim_time": "true"},
            {"autostart": True, "use_sim_time": True},
        ),
    ],
)
def test_only_arguments_that_are_given_win_over_the_users_file(
    given: dict[str, str], overrides: dict[str, bool], tmp_path: Path
) -> None:
    users = tmp_path / "my.yaml"
    users.write_text("/**: {ros__parameters: {autostart: false}}")
    node = started(**given, params_file=str(users))
    first, *others = [Path(file) for file, is_file in node._Node__expanded_parameter_arguments]
    assert first == users
    later: dict[str, object] = {}
    for path in others:
        for parameters in yaml.safe_load(path.read_text()).values():
            later |= parameters["ros__parameters"]
    assert later == overrides


def test_every_input_can_be_remapped() -> None:
    topics = ("image", "detections", "masks", "camera_info", "depth")
    node = started(**{topic: f"/from/{topic}" for topic in topics})
    assert {(topic, f"/from/{topic}") for topic in topics} <= set(node.expanded_remapping_rules)


def test_the_lifecycle_manager_that_is_documented_expects_no_bond() -> None:
    text = (LAUNCH_FILES[0].parents[1] / "docs" / "launch.md").read_text(encoding="utf-8")
    (manager,) = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0].strip()).values()
    assert manager["ros__parameters"] == {
        "autostart": True,
        "node_names": ["region_captioner"],
        "bond_timeout": 0.0,
    }
    assert "perceptiondlm.launch.py autostart:=false" in text
