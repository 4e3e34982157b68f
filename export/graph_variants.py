"""Forms of the model's building blocks that a runtime takes, or takes fastest.

The model is written for torch. For an export, parts of the exporter's own instance are replaced by
the same function in other operators.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.attention import FactoredMask, attend_written_out
from perceptiondlm_ros.model.language import Angles, Attention, LanguageLayer, RMSNorm
from perceptiondlm_ros.model.vision import VisionAttention

GraphVariant = Literal["portable", "cpu"]
"""`portable` has standard operators only, for every runtime. `cpu` has fused attention of ONNX
Runtime's own for its CPU provider."""


def apply_variant(model: nn.Module, variant: GraphVariant) -> None:
    """Replace what the variant says otherwise, in place."""
    for module in model.modules():
        if isinstance(module, (Attention, VisionAttention)):
            module.attend = attend_written_out if variant == "portable" else attend_fused
        if variant == "cpu" and isinstance(module, Attention):
            module.rotate = rotate_fused
        if isinstance(module, (Attention, LanguageLayer)):
            module.project = project_apart
        if isinstance(module, RMSNorm):
            module.normalise = normalise_written_out


def normalise_written_out(x: Tensor, eps: float) -> Tensor:
    """RMS norm with a division, the form that ONNX Runtime makes one operator of."""
    return x / torch.sqrt(x.pow(2).mean(dim=-1, keepdim=True) + eps)


def attend_fused(q: Tensor, k: Tensor, v: Tensor, mask: FactoredMask | Tensor | None) -> Tensor:
    """Attention a block of rows at a time, so that scores never leave the processor's cache.

    ONNX Runtime does that only without a mask, so the mask becomes part of the product: kinds are
    appended to the queries, their columns to the keys. At 2,100 positions and 8 heads of 32 on two
    cores this takes 23 ms a layer, written out 45 ms (ONNX Runtime 1.32).
    """
    heads = q.shape[2]
    scale = q.shape[-1] ** -0.5
    if isinstance(mask, Tensor):
        raise TypeError("mask is additive, expected a factored one")
    if mask is not None:
        kinds = mask.kinds.unsqueeze(2).expand(-1, -1, heads, -1)
        columns = mask.columns.transpose(1, 2).unsqueeze(2).expand(-1, -1, heads, -1)
        q, k = torch.cat((q, kinds), dim=-1), torch.cat((k, columns), dim=-1)
    rows = [x.flatten(2) for x in (q, k, v)]
    shape = (*rows[0].shape[:2], rows[2].shape[2])
    attended: Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        rows,
        {"num_heads": heads, "scale": scale},
        dtype=q.dtype,
        shape=shape,
        version=1,
    )
    return attended


def rotate_fused(x: Tensor, angles: Angles) -> Tensor:
    """Rotary position embedding in one pass instead of six."""
    groups, rows, heads, width = x.shape
    half = [angle.flatten(0, 2)[:, : width // 2] for angle in angles]
    places = torch.arange(groups * rows, device=x.device).unflatten(0, (groups, rows))
    turned = torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding",
        (x.flatten(2), places, *half),
        {"interleaved": 0},
        dtype=x.dtype,
        shape=(groups, rows, heads * width),
        version=1,
    )
    rotated: Tensor = turned.unflatten(2, (heads, width))
    return rotated


def project_apart(linear: nn.Linear, x: Tensor, sizes: list[int]) -> list[Tensor]:
    """As many products as parts: ONNX Runtime copies what it takes apart. In every variant, so that
    their weights are the same and written once."""
    weights = linear.weight.split(sizes)
    biases = [None] * len(sizes) if linear.bias is None else linear.bias.split(sizes)
    return [F.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
