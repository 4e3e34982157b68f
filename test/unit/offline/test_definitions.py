"""The message types are those of the installed packages."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.offline import definitions
from perceptiondlm_ros.offline.definitions import DESCRIPTIONS, DETECTIONS, IMAGE, typestore


def type_description(package: str, name: str) -> Path:
    """Where rosidl left the description of a type; skips where it left none."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        path = Path(prefix, "share", package, "msg", f"{name}.json")
        if path.is_file():
            return path
    pytest.skip(f"{importlib.import_module(package).__file__} comes without type descriptions")


@pytest.mark.parametrize("kind", [IMAGE, DETECTIONS, DESCRIPTIONS])
def test_types_are_those_of_the_installed_packages(kind: str) -> None:
    """A type's hash covers all its fields, so equal hashes are equal definitions."""
    package, _, name = kind.split("/")
    hashes = {
        entry["type_name"]: entry["hash_string"]
        for entry in json.loads(type_description(package, name).read_text())["type_hashes"]
    }
    assert typestore().hash_rihs01(kind) == hashes[kind]


def test_missing_definitions_are_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(definitions, "FOLDER", tmp_path)
    with pytest.raises(PerceptionDLMError, match=r"vision_msgs.*make setup"):
        typestore()
