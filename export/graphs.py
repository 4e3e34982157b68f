"""The model as two graphs of plain tensors: `vision_encoder` and `denoiser`.

The denoiser serves the first step (all rows, a past of one column that nobody sees) and later ones
(caption rows, the first step's keys and values as the past), so that its weights exist once.
Shapes: Q query rows, P past rows, F visual rows, J = N*M caption positions, A = N + 2 kinds of
rows; the others are those of `model.contract`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from perceptiondlm_ros.model.attention import FactoredMask
from perceptiondlm_ros.model.denoiser import CaptionState, Denoiser, QueryRows
from perceptiondlm_ros.model.language import KeysValues
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM

_MOST = 1 << 20
"""Sizes of axes."""

Shapes = dict[str, tuple[int | str, ...]]


@dataclass(frozen=True)
class Graph:
    """A module with what an exporter has to know of it.

    Attributes:
        name: of the graph.
        module: takes the inputs in their order.
        arguments: example values, lists for inputs that come once a layer.
        dynamic_shapes: which axes vary, as `torch.export` takes it.
        inputs, outputs: names in order, those that come once a layer with the layer's number.
    """

    name: str
    module: nn.Module
    arguments: tuple[Any, ...]
    dynamic_shapes: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class VisionEncoder(nn.Module):
    """fp32 [T, 3, S, S] tiles, bool [B, N, T, P*P] patch masks and the fp32 [B, N, R, T*C] RoI
    matrix to [B, T*C + N*R, D] visual rows."""

    def __init__(self, model: PerceptionDLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, tiles: Tensor, patch_masks: Tensor, roi_matrix: Tensor) -> Tensor:
        dtype, side = self.model.mask_id_embedding.weight.dtype, self.model.config.patches_per_side
        masks = patch_masks.unflatten(3, (side, side)).to(dtype)
        return self.model.visual_rows(tiles.to(dtype), masks, roi_matrix)


class DenoiserGraph(nn.Module):
    """`model.denoiser.Denoiser` with flat arguments; the mask is made inside."""

    def __init__(self, model: PerceptionDLM, mask_id: int) -> None:
        super().__init__()
        self.denoiser = Denoiser(model.language, mask_id)

    def forward(
        self,
        token_ids: Tensor,
        visual_index: Tensor,
        caption_index: Tensor,
        caption_rows: Tensor,
        position_ids: Tensor,
        row_class: Tensor,
        class_columns: Tensor,
        visual_rows: Tensor,
        past_keys: list[Tensor],
        past_values: list[Tensor],
        caption_ids: Tensor,
        masked: Tensor,
        confidence: Tensor,
        active: Tensor,
        schedule: Tensor,
        step: Tensor,
    ) -> tuple[Tensor, ...]:
        past: list[KeysValues] = list(zip(past_keys, past_values, strict=True))
        state, prediction, keys_values = self.denoiser(
            QueryRows(token_ids, visual_index, caption_index, caption_rows, position_ids),
            FactoredMask.of(row_class, class_columns, visual_rows.dtype),
            visual_rows,
            past,
            CaptionState(caption_ids, masked, confidence, step),
            active,
            schedule,
        )
        keys, values = zip(*keys_values, strict=True)
        return (*keys, *values, prediction.best_ids, prediction.best_confidence, *state)


def vision_encoder_graph(model: PerceptionDLM) -> Graph:
    config = model.config
    groups, slots, tiles, roi_tokens = (
        2,
        3,
        3,
        5,
    )  # all different, so that no axis is taken for another
    cells, side = config.tokens_per_tile, config.tile_size
    b, n, t, r = _dims("groups", "slots", "tiles", "roi_tokens")
    return Graph(
        "vision_encoder",
        VisionEncoder(model),
        (
            torch.zeros(tiles, 3, side, side),
            torch.zeros(groups, slots, tiles, config.patches_per_side**2, dtype=torch.bool),
            torch.zeros(groups, slots, roi_tokens, tiles * cells),
        ),
        {
            "tiles": {0: t},
            "patch_masks": {0: b, 1: n, 2: t},
            "roi_matrix": {0: b, 1: n, 2: r, 3: cells * t},
        },
        ("tiles", "patch_masks", "roi_matrix"),
        ("visual_rows",),
    )


def denoiser_graph(model: PerceptionDLM, mask_id: int) -> Graph:
    names = ("groups", "rows", "past", "visual_rows", "captions", "kinds", "steps")
    b, q, p, f, j, a, s = _dims(*names)
    k = Dim("columns", min=1, max=2 * _MOST)  # with less than rows and past, all is traced twice
    arguments, shapes = (
        _denoiser_example(model),
        {
            "token_ids": {0: b, 1: q},
            "visual_index": {0: q},
            "caption_index": {0: q},
            "caption_rows": {0: j},
            "position_ids": {0: b, 1: q},
            "row_class": {0: b, 1: q},
            "class_columns": {0: b, 1: a, 2: k},
            "visual_rows": {0: b, 1: f},
            "past_keys": [{0: b, 2: p}] * model.config.language.num_hidden_layers,
            "past_values": [{0: b, 2: p}] * model.config.language.num_hidden_layers,
            "caption_ids": {0: b, 1: j},
            "masked": {0: b, 1: j},
            "confidence": {0: b, 1: j},
            "active": {0: b, 1: j},
            "schedule": {0: b, 1: s},
            "step": {},
        },
    )
    layers = range(model.config.language.num_hidden_layers)
    inputs = [
        name
        for key in shapes
        for name in ([f"{key}_{y}" for y in layers] if key.startswith("past_") else [key])
    ]
    return Graph(
        "denoiser",
        DenoiserGraph(model, mask_id),
        arguments,
        shapes,
        tuple(inputs),
        (
            *(f"keys_{y}" for y in layers),
            *(f"values_{y}" for y in layers),
            *("best_ids", "best_confidence"),
            *("new_caption_ids", "new_masked", "new_confidence", "new_step"),
        ),
    )


def _denoiser_example(model: PerceptionDLM) -> tuple[Any, ...]:
    """Sizes that all differ, so that no axis is taken for another; and no tensor twice, which the
    exporter would take for one input."""
    language, dtype = model.config.language, model.mask_id_embedding.weight.dtype
    b, q, p, f, j, a, s = 2, 40, 7, 5, 24, 9, 6
    past = (b, language.num_key_value_heads, p, language.head_dim)
    whole = torch.int64
    return (
        torch.zeros(b, q, dtype=whole),
        torch.zeros(q, dtype=whole),
        torch.zeros(q, dtype=whole),
        torch.zeros(j, dtype=whole),
        torch.zeros(b, q, dtype=whole),
        torch.zeros(b, q, dtype=whole),
        torch.ones(b, a, p + q, dtype=torch.bool),
        torch.zeros(b, f, language.hidden_size, dtype=dtype),
        [torch.zeros(past, dtype=dtype) for _ in range(language.num_hidden_layers)],
        [torch.zeros(past, dtype=dtype) for _ in range(language.num_hidden_layers)],
        torch.zeros(b, j, dtype=whole),
        torch.ones(b, j, dtype=torch.bool),
        torch.zeros(b, j),
        torch.ones(b, j, dtype=torch.bool),
        torch.zeros(b, s, dtype=whole),
        torch.zeros(1, dtype=whole),
    )


def _dims(*names: str) -> list[Any]:
    return [Dim(name, min=1, max=_MOST) for name in names]
