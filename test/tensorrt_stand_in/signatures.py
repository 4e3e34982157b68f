"""Call signatures as pybind11 prints them, parsed, and calls held against them.

set_shape(self: tensorrt_bindings.tensorrt.X, input: str, min: ...Dims) -> None
2. create_execution_context(self: ..., runtime_config: ...IRuntimeConfig = None) -> ...
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_SIGNATURE = re.compile(r"^(?:\d+\. )?(\w+)\((.*)\) -> (.+)$")
_NAME = re.compile(
    r"(?:tensorrt_(?:rtx_)?bindings\.tensorrt(?:_rtx)?|nvinfer1|nvonnxparser)(?:\.|::)(.+)"
)
_SEQUENCE = re.compile(r"(?:List|collections\.abc\.Sequence)\[(.+)\]")

Classes = Callable[[str], type | None]
"""A class of the module by its name, such as `Dims` or `ILogger.Severity`."""


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str
    optional: bool
    takes_none: bool


@dataclass(frozen=True)
class Signature:
    """One overload, without `self`."""

    name: str
    parameters: tuple[Parameter, ...]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments by name; None where they don't fit in number or name."""
        if len(args) > len(self.parameters):
            return None
        bound = {p.name: value for p, value in zip(self.parameters, args, strict=False)}
        if set(kwargs) & set(bound) or not set(kwargs) <= {p.name for p in self.parameters}:
            return None
        bound |= kwargs
        missing = [p for p in self.parameters if p.name not in bound and not p.optional]
        return None if missing else bound

    def accepts(self, bound: dict[str, Any], classes: Classes) -> bool:
        """Whether the arguments are of the types that are written down."""
        return all(
            p.name not in bound
            or (p.takes_none and bound[p.name] is None)
            or fits(bound[p.name], p.kind, classes)
            for p in self.parameters
        )


def parse(text: str) -> Signature | None:
    """A signature; None for the line `name(*args, **kwargs)` that heads overloads."""
    found = _SIGNATURE.match(text)
    if found is None:
        return None
    name, inside, _ = found.groups()
    parameters = tuple(_parameter(part) for part in _split(inside) if part)
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    return Signature(name, parameters)


def call(
    owner: str,
    signatures: tuple[Signature, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    classes: Classes,
) -> dict[str, Any]:
    """The arguments of the first overload that takes them, by name.

    Raises:
        TypeError: none does, as with pybind11.
    """
    for signature in signatures:
        bound = signature.bind(args, kwargs)
        if bound is not None and signature.accepts(bound, classes):
            return bound
    expected = " or ".join(
        f"({', '.join(f'{p.name}: {p.kind}' for p in s.parameters)})" for s in signatures
    )
    raise TypeError(f"{owner}(): incompatible arguments {args!r} {kwargs!r}, expected {expected}")


def fits(value: Any, kind: str, classes: Classes) -> bool:
    """Whether pybind11 would take a value for a parameter of this type."""
    named = _NAME.fullmatch(kind)
    if named is not None:
        return _fits_class(value, named.group(1), classes)
    sequence = _SEQUENCE.fullmatch(kind)
    if sequence is not None:
        items = isinstance(value, (list, tuple))
        return items and all(fits(item, sequence.group(1), classes) for item in value)
    check = _PLAIN.get(kind)
    if check is None:
        raise NotImplementedError(f"the stand-in can't check a parameter of type {kind!r}")
    return check(value)


def _fits_class(value: Any, name: str, classes: Classes) -> bool:
    cls = classes(name)
    if cls is None:
        raise NotImplementedError(f"the stand-in knows no class {name!r}")
    if isinstance(value, cls):
        return True
    # The bindings convert sequences of numbers to Dims, as the samples of the makers use it.
    return name == "Dims" and isinstance(value, (list, tuple)) and all(map(_is_int, value))


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "typing.SupportsInt": _is_int,
    "float": lambda value: isinstance(value, (int, float)),
    "typing.SupportsFloat": lambda value: isinstance(value, (int, float)),
    "bool": lambda value: isinstance(value, (bool, np.bool_)),
    "str": lambda value: isinstance(value, str),
    "tuple": lambda value: isinstance(value, tuple),
    "list": lambda value: isinstance(value, list),
    "buffer": _is_buffer,
    "typing_extensions.Buffer": _is_buffer,
    "object": lambda value: True,
}


def _parameter(text: str) -> Parameter:
    name, _, rest = text.partition(": ")
    kind, equals, default = rest.partition(" = ")
    return Parameter(name, kind, optional=bool(equals), takes_none=default == "None")


def _split(text: str) -> list[str]:
    """At the commas that stand outside of brackets."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter in "[<(") - (letter in "]>)")
        if letter == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]
