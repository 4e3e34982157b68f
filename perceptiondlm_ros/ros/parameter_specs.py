"""How a parameter is declared: as a field of a settings dataclass. Nothing here knows ROS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, cast

Value = str | int | float | bool
Kind = TypeVar("Kind", str, int, float, bool)
Group = TypeVar("Group")


class Applies(Enum):
    """When a new value takes effect."""

    AT_START = "read when the process starts"
    AT_CONFIGURE = "read at the transition `configure`"
    LIVE = "applies to the next frame"


@dataclass(frozen=True)
class Spec:
    """One parameter. `bounds` hold for numbers, `choices` for strings (none: any string).

    least: of a whole number that isn't 0.
    """

    name: str
    default: Value
    applies: Applies
    description: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    least: int = 0


def _parameter(applies: Applies, default: Kind, description: str, limits: dict[str, Any]) -> Kind:
    """The field of a parameter; it is typed as its value, as dataclasses.field is."""
    metadata = {"applies": applies, "description": description, **limits}
    return field(default=default, metadata=metadata)


def at_start(default: Kind, description: str, **limits: Any) -> Kind:
    return _parameter(Applies.AT_START, default, description, limits)


def at_configure(default: Kind, description: str, **limits: Any) -> Kind:
    return _parameter(Applies.AT_CONFIGURE, default, description, limits)


def live(default: Kind, description: str, **limits: Any) -> Kind:
    return _parameter(Applies.LIVE, default, description, limits)


def specs(group: Any, prefix: str = "") -> Iterator[Spec]:
    """Every parameter of a settings dataclass, in the order of its fields."""
    for item in fields(group):
        if is_dataclass(item.default):
            yield from specs(item.default, f"{prefix}{item.name}.")
        else:
            default: Any = item.default
            yield Spec(f"{prefix}{item.name}", default, **item.metadata)


def with_values(group: Group, value_of: Callable[[str], Any], prefix: str = "") -> Group:
    """A settings dataclass with other values. value_of: the value of a parameter, by its name."""
    values: dict[str, Any] = {}
    for item in fields(cast(Any, group)):
        name = f"{prefix}{item.name}"
        nested = is_dataclass(item.default)
        values[item.name] = (
            with_values(item.default, value_of, f"{name}.") if nested else value_of(name)
        )
    return type(group)(**values)
