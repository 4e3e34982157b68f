"""JSON files of a checkpoint: their values checked for their kind, so that a wrong one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from perceptiondlm_ros.errors import CheckpointError

MOST = 2**20
"""More is taken for a mistake, whatever it counts."""

Count = Annotated[int, Meta(ge=1, le=MOST, description=f"a whole number from 1 to {MOST}")]
TokenId = Annotated[int, Meta(ge=0, le=MOST, description=f"a whole number from 0 to {MOST}")]
Positive = Annotated[float, Meta(gt=0, lt=1e30, description="a number above 0")]
Probability = Annotated[float, Meta(gt=0, le=1, description="a number above 0 and up to 1")]
Flag = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(description="text")]

Decoded = TypeVar("Decoded")


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


def wrong(key: str, value: Any, expected: str) -> CheckpointError:
    """The error for a value of a configuration that can't be used."""
    return CheckpointError(
        f"the checkpoint's configuration says {key} is {value!r:.80}, expected {expected}, as in "
        "the layout of the published PerceptionDLM"
    )


def section(values: dict[str, Any], key: str) -> dict[str, Any]:
    """The JSON object at a key, empty where absent.

    Raises:
        CheckpointError: there is something else.
    """
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise wrong(key, value, "a JSON object")
    return value


def decode(
    values: dict[str, Any],
    kind: type[Decoded],
    refusal: Callable[[str, Any, str], CheckpointError] = wrong,
    **given: Any,
) -> Decoded:
    """The values of a JSON object as a dataclass; keys that it has no field for are let through.

    Args:
        kind: the dataclass. The type of each field says in words what is expected, and which key
            the field is read from where that has another name.
        refusal: makes the error of a key, its value, and what was expected.
        given: fields that are not read.

    Raises:
        CheckpointError: a value is missing, of another kind or out of range.
    """
    for name, hint in get_type_hints(kind, include_extras=True).items():
        says = getattr(hint, "__metadata__", ())
        key = next((meta.title for meta in says if meta.title), name)
        if name in given or (key not in values and hasattr(kind, name)):
            continue  # the rest have defaults
        try:
            given[name] = msgspec.convert(values.get(key), hint)
        except (msgspec.ValidationError, UnicodeError) as error:
            expected = next(meta.description for meta in says if meta.description)
            raise refusal(key, values.get(key), expected) from error
    return kind(**given)
