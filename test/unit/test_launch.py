"""Launch files: short, valid, and loadable where launch is installed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

LAUNCH_FILES = sorted((Path(__file__).parents[2] / "launch").glob("*.launch.py"))


def test_there_are_launch_files() -> None:
    assert LAUNCH_FILES


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_it_is_short_and_describes_a_launch(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source, path.name)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert "generate_launch_description" in functions
    assert len(source.splitlines()) < 60


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=lambda path: path.name)
def test_it_loads_and_every_argument_is_described(path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch_ros isn't installed here; it comes with ROS")
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert {"namespace", "params_file", "use_sim_time", "autostart", "log_level"} <= set(arguments)
    assert all(argument.description for argument in arguments.values())
