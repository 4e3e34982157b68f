"""The SigLIP vision tower, with the mask-id embedding of the regions added to its patches.

Shapes: K tiles of any number of images or groups, P*P patches, W vision width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.attention import Attend, attend
from perceptiondlm_ros.model.config import VisionConfig


class VisionAttention(nn.Module):
    """Attention of each patch of a tile to all of them; an exporter may replace `attend` by another
    form of the same."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)
        self.attend: Attend = attend

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).unbind(dim=2)
        merged: Tensor = self.out(self.attend(q, k, v, None))
        return merged


class VisionLayer(nn.Module):
    """Attention, then a GELU MLP, each after a layer norm and added to what came in."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = VisionAttention(config)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        hidden = F.gelu(self.up(self.mlp_norm(x)), approximate="tanh")
        return x + self.down(hidden)


class VisionTower(nn.Module):
    """SigLIP up to the selected layer: those after it are never built, since nothing uses them."""

    def __init__(self, config: VisionConfig, select_layer: int) -> None:
        super().__init__()
        patches = (config.image_size // config.patch_size) ** 2
        layers = range(config.num_hidden_layers)[select_layer] + 1
        self.patch_size = config.patch_size
        self.patch_embedding = nn.Linear(3 * config.patch_size**2, config.hidden_size)
        self.position_embedding = nn.Parameter(torch.empty(patches, config.hidden_size))
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(layers))
        self.post_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
            if select_layer == -1
            else None
        )

    def embed_patches(self, tiles: Tensor) -> Tensor:
        """[K, 3, S, S] to [K, P*P, W], without positions."""
        size = self.patch_size
        pixels = tiles.unflatten(3, (-1, size)).unflatten(2, (-1, size))
        embedded: Tensor = self.patch_embedding(pixels.permute(0, 2, 4, 1, 3, 5).flatten(3))
        return embedded.flatten(1, 2)

    def forward(self, patches: Tensor) -> Tensor:
        """[K, P*P, W] patch embeddings, mask-id embeddings added, to [K, P*P, W]."""
        x = patches + self.position_embedding
        for layer in self.layers:
            x = layer(x)
        return x if self.post_norm is None else self.post_norm(x)


def pixel_shuffle(x: Tensor) -> Tensor:
    """Four neighbouring patches become one token of four times the width: [K, P, P, W] to
    [K, P/2 * P/2, 4*W].

    Within a token the patches stand as (left, right) of the upper row, then of the lower row.
    """
    tiles, side, _, width = x.shape
    x = x.view(tiles, side // 2, 2, side // 2, 2, width).transpose(2, 3)
    return x.reshape(tiles, (side // 2) ** 2, 4 * width)
