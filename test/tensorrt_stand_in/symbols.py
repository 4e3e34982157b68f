"""Sizes of axes that have names: `tiles`, `64*tiles`, `past + rows`."""

from __future__ import annotations

from typing import Any

Named = list[int | str]


def sizes_of(tensors: dict[str, Any], shapes: dict[str, Any]) -> dict[str, int]:
    """The size behind each name.

    Raises:
        ValueError: a name or a product or sum of names would have two sizes.
    """
    pairs = [
        (name, size, axis)
        for name, shape in shapes.items()
        for size, axis in zip(shape, tensors[name]["shape"], strict=True)
    ]
    sizes: dict[str, int] = {}
    for name, size, axis in pairs:
        if isinstance(axis, str) and axis.isidentifier() and sizes.setdefault(axis, size) != size:
            raise ValueError(f"{axis} of {name} is {size}, elsewhere {sizes[axis]}")
    for name, size, axis in pairs:
        expected = size_of(axis, sizes)
        if expected not in (size, -1):
            raise ValueError(f"an axis of {name} is {size}, expected {axis} = {expected}")
    return sizes


def size_of(axis: int | str, sizes: dict[str, int]) -> int:
    """The size of an axis, -1 where a name in it is unknown."""
    if isinstance(axis, int):
        return axis
    try:
        return int(eval(axis, {"__builtins__": {}}, dict(sizes)))  # the test's own file says it
    except NameError:
        return -1
