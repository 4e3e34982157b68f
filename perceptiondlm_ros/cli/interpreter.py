"""What to install, and for which interpreter, when a library can't be imported."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

_ALWAYS = {
    **{name: name for name in ("msgspec", "numpy", "onnxruntime", "psutil", "rich", "tokenizers")},
    "PIL": "pillow",
}
_FOR_TORCH = {"torch": "torch", "safetensors": "safetensors"}
_FOR_EXPORT = {
    "onnx": "onnx",
    "onnx_ir": "onnxscript",
    "onnxscript": "onnxscript",
}
_FOR_FOLDERS = {"filelock": "filelock"}
_FOR_BAGS = {
    **{name: name for name in ("apsw", "lz4", "mcap", "rosbags", "zstandard")},
    "cv2": "opencv-python-headless",
    "ruamel": "ruamel.yaml",
}
"""Names to import, and the distributions that hold them."""


def interpreter() -> str:
    """What runs this program: often not the interpreter that libraries were installed for."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{sys.executable} (Python {version})"


def what_to_install(error: ImportError) -> str | None:
    """A sentence for a library that is missing or broken; None for any other module."""
    library = (error.name or "").partition(".")[0]
    groups = (_ALWAYS, _FOR_TORCH, _FOR_EXPORT, _FOR_FOLDERS, _FOR_BAGS)
    group = next((group for group in groups if library in group), None)
    if group is None:
        return None
    # All at once, or a bare interpreter would have them asked for one after the other.
    lacking = sorted({library} | {name for name in group if find_spec(name) is None})
    names = ", ".join(lacking)
    missing = isinstance(error, ModuleNotFoundError)
    problem = f"lacks {names}" if missing else f"can't load {names} ({error})"
    distributions = " ".join(dict.fromkeys(group[name] for name in lacking))
    return (
        f"this program runs in {interpreter()}, which {problem}; run "
        f"`{shlex.quote(sys.executable)} -m pip install {distributions}`, or start it as "
        "`PYTHON -m perceptiondlm_ros.cli.main` with an interpreter that has what is needed"
    )
