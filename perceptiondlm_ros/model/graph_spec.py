"""How tensors of a graph are declared: names, element types, axes, and what they are for.

The declarations themselves stand in `contract`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

WEIGHTS_DTYPE = "weights"
"""Stands for the element type of the model's weights."""

Role = Literal["image", "rows", "visual", "past", "state", "pass", "keys_values", "prediction"]
"""What a tensor of a graph is for: `image` and its regions; the `rows` of a step, see
`runtime.feeds`; `visual` rows, which the vision encoder gives; the `past`, keys and values of a
layer; the `state`, which a step takes and gives anew; what stays as it is for a `pass`. A step also
gives `keys_values` of its rows, of each layer, and a `prediction` at each caption position."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: with the number of the layer behind it where each layer has one.
        dtype: as NumPy names it, or WEIGHTS_DTYPE.
        axes: the size of each axis: a number, a name, or a sum of products of them. Names that
            `fixed_sizes` knows are those of the model, the others vary.
    """

    role: Role
    name: str
    dtype: str
    axes: tuple[str, ...]

    @property
    def each_layer(self) -> bool:
        return self.role in ("past", "keys_values")

    def names(self, layers: int) -> list[str]:
        """Its name in the graph, or one for each layer."""
        return [f"{self.name}_{y}" for y in range(layers)] if self.each_layer else [self.name]

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape where all names have these sizes."""
        return tuple(
            sum(
                math.prod(sizes[name] if name in sizes else int(name) for name in term.split("*"))
                for term in axis.split(" + ")
            )
            for axis in self.axes
        )

    def symbols(self, sizes: Mapping[str, int]) -> tuple[int | str, ...]:
        """Its axes as a graph names them, with these sizes filled in: `4*tiles`, `past + rows`."""
        filled = [
            re.sub(r"[a-z_]+", lambda name: str(sizes.get(name[0], name[0])), axis)
            for axis in self.axes
        ]
        return tuple(int(axis) if axis.isdecimal() else axis for axis in filled)


@dataclass(frozen=True)
class GraphSpec:
    """A graph: its inputs in order, and what it gives beside a new state."""

    name: str
    inputs: tuple[TensorSpec, ...]
    results: tuple[TensorSpec, ...]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """In order; what is given of a state is called `new_...`."""
        new = (replace(tensor, name=f"new_{tensor.name}") for tensor in self.of("state"))
        return (*self.results, *new)

    def of(self, role: Role) -> list[TensorSpec]:
        """The inputs of a role."""
        return [tensor for tensor in self.inputs if tensor.role == role]

    def feed(self, role: Role, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of a role, in order and contiguous.

        Raises:
            ValueError: one is missing, or there is none of that name.
        """
        tensors = self.of(role)
        if different := {tensor.name for tensor in tensors} ^ arrays.keys():
            raise ValueError(
                f"the {self.name} is fed {', '.join(arrays)} as {role}, and takes "
                f"{', '.join(tensor.name for tensor in tensors)}: {', '.join(sorted(different))}"
            )
        return {t.name: np.ascontiguousarray(arrays[t.name], dtype=t.dtype) for t in tensors}


def tensor_specs(text: str) -> tuple[TensorSpec, ...]:
    """Tensors, a line each: role, name, dtype, axes."""
    lines = (line.split(maxsplit=3) for line in text.strip().splitlines())
    return tuple(
        TensorSpec(cast(Role, role), name, dtype, tuple(axes.split(", ")))
        for role, name, dtype, axes in lines
    )
