"""The model as two graphs of plain tensors: `vision_encoder` and `denoiser`.

The denoiser serves the first step (all rows, a past of one column that nobody sees) and later ones
(caption rows, the first step's keys and values as the past), so that its weights exist once.
What they take and give is declared in `model.contract`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from perceptiondlm_ros.model.attention import FactoredMask
from perceptiondlm_ros.model.contract import DENOISER, VISION_ENCODER, fixed_sizes
from perceptiondlm_ros.model.denoiser import Denoiser
from perceptiondlm_ros.model.graph_spec import WEIGHTS_DTYPE, GraphSpec
from perceptiondlm_ros.model.manifest import TensorRecord
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM

_MOST = 1 << 20
"""Sizes of axes."""

_NAME = re.compile("[a-z_]+")


@dataclass(frozen=True)
class Graph:
    """A module with what an exporter has to know of it.

    Attributes:
        name: of the graph.
        module: takes the inputs in a dictionary, in lists where each layer has one.
        arguments: example values.
        dynamic_shapes: which axes vary, as `torch.export` takes it.
        inputs, outputs: by name, in order, those that come once a layer with the layer's number.
    """

    name: str
    module: nn.Module
    arguments: dict[str, Any]
    dynamic_shapes: dict[str, Any]
    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]

    @classmethod
    def of(
        cls,
        spec: GraphSpec,
        module: nn.Module,
        fixed: dict[str, int],
        layers: int,
        dtype: torch.dtype,
    ) -> Graph:
        """A graph from its declaration.

        Args:
            fixed: sizes that don't vary.
            dtype: of the weights.
        """
        names = {
            name for tensor in spec.inputs for axis in tensor.axes for name in _NAME.findall(axis)
        }
        varying = sorted(names - fixed.keys())
        # All differ, so that no axis is taken for another, and none is 1, which would be fixed.
        sizes = {**fixed, **{name: size for size, name in enumerate(varying, start=2)}}
        dims = {name: Dim(name, min=1, max=_MOST) for name in varying}
        arguments, shapes = {}, {}
        for tensor in spec.inputs:
            kind = dtype if tensor.dtype == WEIGHTS_DTYPE else getattr(torch, tensor.dtype)
            axes = {
                place: _dim(axis, dims)
                for place, axis in enumerate(tensor.symbols(fixed))
                if isinstance(axis, str)
            }
            # No tensor twice, which the exporter would take for one input.
            examples = [torch.zeros(tensor.shape(sizes), dtype=kind) for _ in tensor.names(layers)]
            arguments[tensor.name] = examples if tensor.each_layer else examples[0]
            shapes[tensor.name] = [axes] * layers if tensor.each_layer else axes
        inputs, outputs = (
            {
                name: TensorRecord(
                    str(dtype).removeprefix("torch.")
                    if tensor.dtype == WEIGHTS_DTYPE
                    else tensor.dtype,
                    tensor.symbols(fixed),
                )
                for tensor in tensors
                for name in tensor.names(layers)
            }
            for tensors in (spec.inputs, spec.outputs)
        )
        return cls(spec.name, module, arguments, {"inputs": shapes}, inputs, outputs)


class VisionEncoder(nn.Module):
    """What `contract.VISION_ENCODER` takes to visual rows, [B, T*C + N*R, D]."""

    def __init__(self, model: PerceptionDLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.model.visual_rows_of(inputs)


class DenoiserGraph(nn.Module):
    """`model.denoiser.Denoiser` with what `contract.DENOISER` takes and gives; the mask is made
    inside."""

    def __init__(self, model: PerceptionDLM, mask_id: int) -> None:
        super().__init__()
        self.denoiser = Denoiser(model.language, mask_id)

    def forward(self, inputs: dict[str, Any]) -> tuple[Tensor, ...]:
        mask = FactoredMask.of(
            inputs["row_class"], inputs["class_columns"], inputs["visual_rows"].dtype
        )
        past = list(zip(inputs["past_keys"], inputs["past_values"], strict=True))
        outputs, keys_values = self.denoiser(inputs, mask, past)
        keys, values = zip(*keys_values, strict=True)
        of_layers = {"keys": keys, "values": values}
        return tuple(
            tensor
            for spec in DENOISER.outputs
            for tensor in (of_layers[spec.name] if spec.each_layer else [outputs[spec.name]])
        )


def vision_encoder_graph(model: PerceptionDLM) -> Graph:
    return _graph(VISION_ENCODER, VisionEncoder(model), model)


def denoiser_graph(model: PerceptionDLM, mask_id: int) -> Graph:
    return _graph(DENOISER, DenoiserGraph(model, mask_id), model)


def _graph(spec: GraphSpec, module: nn.Module, model: PerceptionDLM) -> Graph:
    layers, dtype = model.config.language.num_hidden_layers, model.mask_id_embedding.weight.dtype
    return Graph.of(spec, module, fixed_sizes(model.config), layers, dtype)


def _dim(axis: str, dims: dict[str, Any]) -> Any:
    """The size of an axis: `tiles`, `4*tiles`, `past + rows`."""
    if " + " in axis:
        # Sums have a size of their own; with less than what is added up, all is traced twice.
        name, terms = axis.replace(" + ", "_and_"), axis.count("+") + 1
        return dims.setdefault(name, Dim(name, min=1, max=terms * _MOST))
    factor, _, name = axis.rpartition("*")
    return int(factor) * dims[name] if factor else dims[name]
