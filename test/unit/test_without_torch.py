"""The packaged checkpoint captions where torch can't be imported, in everything that uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bag_support import scene, write_bag

WITHOUT_TORCH = """if True:
    import sys

    class Refusing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "safetensors", "onnx"):
                raise ModuleNotFoundError(f"{name} was imported", name=name)

    sys.meta_path.insert(0, Refusing())
"""
SCENE = Path(__file__).parents[2] / "docs" / "scene.jpg"


def run(program: str, *arguments: object) -> str:
    """What a program prints that has no torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", ["caption", "bag", "check"])
def test_the_command(command: str, tmp_path: Path) -> None:
    arguments: dict[str, list[object]] = {
        "caption": [SCENE, "--box", "321,53,441,162"],
        "bag": [tmp_path / "bag", tmp_path / "captioned"],
        "check": ["--device", "cpu"],
    }
    if command == "bag":
        write_bag(tmp_path / "bag", scene(1))
    program = "    from perceptiondlm_ros.cli.main import main; sys.exit(main(sys.argv[1:]))"
    told = run(program, command, *arguments[command])
    assert {"caption": "heart", "bag": "captioned", "check": "fits CPU"}[command] in told


def test_the_node() -> None:
    program = """
    import perceptiondlm_ros.ros.region_captioner
    from perceptiondlm_ros.ros.captioning.warm_up import load_and_warm_up, load_captioner
    from perceptiondlm_ros.ros.health.status import Status
    from perceptiondlm_ros.ros.settings import Settings

    print(load_and_warm_up(load_captioner, Settings(), Status()).description)
    """
    assert run(program).startswith("onnxruntime ")


def test_importing_the_python_api_imports_nothing_that_it_may_not_need() -> None:
    program = """
    import perceptiondlm_ros.captioner
    print({name.partition(".")[0] for name in sys.modules} & {
        "cv2", "huggingface_hub", "onnxruntime", "rclpy", "rich", "scipy"
    })
    """
    assert run(program) == "set()\n"
