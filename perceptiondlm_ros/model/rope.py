"""The base of the rotary positions, wherever a version of transformers wrote it.

transformers 4 writes `rope_theta`, and `rope_scaling` where positions are stretched; transformers 5
writes both into `rope_parameters`, for each type of layer apart where these differ, and reads
`rope_scaling` as another name of it. All are read here, and must say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.json_values import wrong

DEFAULT_BASE = 10000.0

_BASE, _SECTIONS = "rope_theta", ("rope_parameters", "rope_scaling")
_ONLY_ONE = ("partial_rotary_factor", "factor", "attention_factor")
"""They scale what they are for, and 1 leaves it as it is."""

_PLAIN = "since positions are neither scaled nor stretched"

_UNUSED = ("original_max_position_embeddings",)
"""Of use to the types that stretch positions, which are refused."""


def rope_base(config: dict[str, Any], language: dict[str, Any], where: str) -> float:
    """The base that `config.json` gives.

    Args:
        config: the whole of it; what stands outside of the language model's section counts for
            nothing, and must not contradict.
        language: the language model's section.
        where: its name.

    Raises:
        CheckpointError: a value is of the wrong kind, describes positions that are computed in
            another way, or contradicts another one; the message names them.
    """
    bases = dict(_bases(language, f"{where}."))
    if not bases:
        bases[f"{where}.{_BASE}, where it is not said,"] = DEFAULT_BASE
    outside = {key: value for key, value in config.items() if value is not None}
    _agree({**bases, **dict(_bases(outside, ""))})
    return next(iter(bases.values()))


def _bases(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Every base that a section gives, by its name."""
    parameters = dict(_parameters(values, prefix))
    _check_types(parameters)
    for name, found in parameters.items():
        _check_others(found, name)
    places = {**{f"{name}.": found for name, found in parameters.items()}, prefix: values}
    present = {f"{place}{_BASE}": found for place, found in places.items() if _BASE in found}
    given = {name: found for name, found in present.items() if found[_BASE] is not None}
    # Null counts as a mistake where nothing else gives the base.
    for name, found in (given or present).items():
        base = found[_BASE]
        if isinstance(base, bool) or not isinstance(base, (int, float)) or not 0 < base < 1e30:
            raise wrong(name, base, "a number above 0")
        yield name, float(base)


def _parameters(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What describes the rotation, by its name; of each type of layer where it is given so."""
    for key in _SECTIONS:
        found = values.get(key)
        if found is None:
            continue
        if not isinstance(found, dict):
            raise wrong(f"{prefix}{key}", found, "a JSON object or null")
        said = {name: value for name, value in found.items() if value is not None}
        if said and all(isinstance(value, dict) for value in said.values()):
            yield from ((f"{prefix}{key}.{layers}", value) for layers, value in said.items())
        else:
            yield f"{prefix}{key}", found


def _check_types(parameters: dict[str, dict[str, Any]]) -> None:
    types = {
        f"{name}.{key}": values[key]
        for name, values in parameters.items()
        for key in ("rope_type", "type")
        if values.get(key) is not None
    }
    _agree(types)
    for name, value in types.items():
        if value != "default":
            raise wrong(name, value, f"'default', {_PLAIN}")


def _check_others(values: dict[str, Any], name: str) -> None:
    for key, value in values.items():
        if value is None or key in (_BASE, "rope_type", "type", *_UNUSED):
            continue
        if key not in _ONLY_ONE:
            raise wrong(f"{name}.{key}", value, f"null, {_PLAIN}")
        if isinstance(value, bool) or value != 1:
            raise wrong(f"{name}.{key}", value, f"1, {_PLAIN}")


def _agree(values: dict[str, Any]) -> None:
    """Hold all against the first, so that no value is used that another one contradicts."""
    (first, expected), *others = [*values.items()] or [("", None)]
    for name, value in others:
        if value != expected:
            raise CheckpointError(
                f"the checkpoint's configuration says {first} is {expected!r:.80} and {name} is "
                f"{value!r:.80}, expected the same; keep the one that the model was trained with"
            )
