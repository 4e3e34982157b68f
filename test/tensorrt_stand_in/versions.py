"""The versions of TensorRT whose surface is known, and where it is."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
API_FOLDER = Path(os.environ.get("PERCEPTIONDLM_TENSORRT_API", ROOT.parent / "shared" / "tensorrt"))
VERSIONS = ("10.3.0", "10.16.1.11", "11.4.0.106")


def api_path(version: str) -> Path:
    """The file with the surface of a version."""
    return API_FOLDER / f"api-{version}.json"
