"""Values of a checkpoint's JSON files, each checked for its kind, so that a wrong one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import CheckpointError

MOST = 2**20
"""More is taken for a mistake, whatever it counts."""


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        CheckpointError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); expected a checkpoint folder with "
            "config.json, model.safetensors and tokenizer.json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error}); fetch the file again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def section(values: dict[str, Any], key: str) -> dict[str, Any]:
    """The JSON object at a key, empty where absent. This and the next raise a CheckpointError that
    names the key where the value is of another kind.
    """
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise wrong(key, value, "a JSON object")
    return value


def whole(values: dict[str, Any], key: str, default: int, least: int = 1) -> int:
    """A whole number, `least` to `MOST`."""
    value = values.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST:
        raise wrong(key, value, f"a whole number from {least} to {MOST}")
    return value


def number(values: dict[str, Any], key: str, default: float) -> float:
    """A finite number above 0."""
    value = values.get(key, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1e30:
        raise wrong(key, value, "a number above 0")
    return float(value)


def flag(values: dict[str, Any], key: str, default: bool) -> bool:
    """true or false, nothing that only counts as one of them."""
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise wrong(key, value, "true or false")
    return value


def pair(values: dict[str, Any], key: str, default: int | None) -> tuple[int, int] | None:
    """Two whole numbers, of which one may stand for both; None for null."""
    value = values.get(key, default)
    if value is None:
        return None
    sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
    rows, columns = (whole({key: side}, key, 1) for side in sides)
    return rows, columns


def wrong(key: str, value: Any, expected: str) -> CheckpointError:
    """The error for a value that can't be used."""
    return CheckpointError(
        f"the checkpoint's configuration says {key} is {value!r:.80}, expected {expected}, as in "
        "the layout of the published PerceptionDLM"
    )
