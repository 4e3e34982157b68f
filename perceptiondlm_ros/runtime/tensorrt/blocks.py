"""A GPU's memory as the TensorRT backend uses it: named blocks that stay from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perceptiondlm_ros.runtime.tensorrt.gpu import Buffer, Gpu

Shape = tuple[int, ...]

ITEM_BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT64": 8, "INT32": 4, "BOOL": 1}
"""Bytes of an element, by TensorRT's names of types."""

_OF_NUMPY = {"float32": "FLOAT", "int64": "INT64", "bool": "BOOL"}


@dataclass(frozen=True)
class DeviceTensor:
    """A tensor at the beginning of a block.

    Attributes:
        dtype: TensorRT's name of it.
    """

    buffer: Buffer
    shape: Shape
    dtype: str

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class Blocks:
    """Blocks of memory by name; a block grows when more is asked for, and never shrinks."""

    def __init__(self, device: Gpu) -> None:
        self._device = device
        self._blocks: dict[str, Buffer] = {}

    def get(self, name: str, size: int) -> Buffer:
        """At least `size` bytes, with what they held, unless the block had to grow: then zeros."""
        block = self._blocks.get(name)
        if block is None or block.size < size:
            if block is not None:
                self._device.synchronize()
                self._device.free(self._blocks.pop(name))
            block = self._blocks[name] = self._device.allocate(max(size, 1))
        return block

    def tensor(self, name: str, shape: Shape, dtype: str) -> DeviceTensor:
        """A tensor with whatever the block holds."""
        tensor = DeviceTensor(self.get(name, math.prod(shape) * ITEM_BYTES[dtype]), shape, dtype)
        return tensor

    def put(self, name: str, array: np.ndarray) -> DeviceTensor:
        """A tensor with the array's content: float32, int64 or bool."""
        tensor = self.tensor(name, array.shape, _OF_NUMPY[array.dtype.name])
        self._device.upload(tensor.buffer, np.ascontiguousarray(array))
        return tensor

    def free(self) -> None:
        """Give everything back; no work may still use it."""
        while self._blocks:
            self._device.free(self._blocks.popitem()[1])
