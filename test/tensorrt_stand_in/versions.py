"""The versions of TensorRT whose surface is known: from files, and of TensorRT for RTX from the
bindings that are installed."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

import pytest

from perceptiondlm_ros.runtime.tensorrt.products import import_rtx

Api = dict[str, dict[str, Any]]

ROOT = Path(__file__).parents[2]
API_FOLDER = Path(os.environ.get("PERCEPTIONDLM_TENSORRT_API", ROOT.parent / "shared" / "tensorrt"))
VERSIONS = ("10.3.0", "10.16.1.11", "11.4.0.106")
RTX = "for RTX"


def api_path(version: str) -> Path:
    """The file with the surface of a version."""
    return API_FOLDER / f"api-{version}.json"


def skip_where_unknown(version: str) -> None:
    """Skip where neither file nor bindings are here and needn't be."""
    if version == RTX:
        real_rtx()
    elif not api_path(version).is_file() and "CI" not in os.environ:
        pytest.skip(f"the surface of TensorRT {version} is not in {API_FOLDER}")


def real_rtx() -> Any:
    """The real TensorRT for RTX, which `make setup` installs where there are wheels of it."""
    if platform.machine() != "x86_64":
        pytest.skip("there are no wheels of TensorRT for RTX for this machine")
    return import_rtx()


def read_api(version: str) -> tuple[str, Api]:
    """The version's number and surface."""
    if version != RTX:
        return version, json.loads(api_path(version).read_text(encoding="utf-8"))
    module = import_rtx()
    found = {name: value for name, value in vars(module.tensorrt_rtx).items() if name[0] != "_"}
    return module.__version__, {name: _described(value) for name, value in found.items()}


def _described(value: Any) -> dict[str, Any]:
    if not isinstance(value, type):
        return {}
    members = {n: _member(value, n) for n in dir(value) if n[0] != "_" or n == "__init__"}
    bases = [base.__name__ for base in value.__mro__[1:] if base.__module__ == value.__module__]
    if hasattr(value, "__members__"):
        members = {name: {"kind": "enum"} for name in value.__members__}
    return {"bases": bases, "members": members}


def _member(cls: type, name: str) -> dict[str, Any]:
    member = getattr(cls, name)
    if isinstance(member, property):
        return {"kind": "property", "settable": member.fset is not None}
    if not callable(member):
        return {"kind": "value"}
    lines = (member.__doc__ or "").splitlines()
    return {"kind": "method", "signatures": [x for x in lines if re.match(r"(\d+\. )?\w+\(", x)]}
