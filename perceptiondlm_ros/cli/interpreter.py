"""What to install, and for which interpreter, when a library can't be imported."""

from __future__ import annotations

import shlex
import sys

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "tokenizers": "tokenizers",
    "torch": "torch",
}
"""Names to import, and the distributions that hold them."""


def interpreter() -> str:
    """What runs this program: often not the interpreter that libraries were installed for."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{sys.executable} (Python {version})"


def what_to_install(error: ImportError) -> str | None:
    """A sentence for a library that is missing or broken; None for any other module."""
    library = (error.name or "").partition(".")[0]
    if library not in _DISTRIBUTIONS:
        return None
    missing = isinstance(error, ModuleNotFoundError)
    problem = f"lacks {library}" if missing else f"can't load {library} ({error})"
    install = f"{shlex.quote(sys.executable)} -m pip install {_DISTRIBUTIONS[library]}"
    return (
        f"this program runs in {interpreter()}, which {problem}; run `{install}`, or start it as "
        "`PYTHON -m perceptiondlm_ros.cli.main` with an interpreter that has it"
    )
