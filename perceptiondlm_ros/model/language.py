"""The LLaDA language model: a bidirectional transformer over embeddings, with an optional past.

Shapes: B groups, Q query rows, K key rows (past and query together), D width, H heads,
G key/value heads, E head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.attention import attend
from perceptiondlm_ros.model.config import LanguageConfig

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, [B, G, K, E] each."""


class RMSNorm(nn.Module):
    """Normalises in fp32 whatever the dtype of its input, as LLaDA does."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        normalised = F.rms_norm(x.float(), x.shape[-1:], eps=self.eps)
        return self.weight * normalised.to(x.dtype)


def rotary_angles(position_ids: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding, fp32 [B, 1, Q, E], for positions [B, Q]."""
    exponents = torch.arange(0, head_dim, 2, device=position_ids.device, dtype=torch.float32)
    frequencies = 1.0 / theta ** (exponents / head_dim)
    angles = position_ids[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of [B, H, Q, E], halves paired as in Llama."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        rows = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.qkv = nn.Linear(config.hidden_size, rows, bias=config.attention_bias)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        batch, rows, width = x.shape
        qkv = self.qkv(x).view(batch, rows, -1, self.head_dim).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        keys, values = k, v
        if self.kv_heads != self.heads:
            keys = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
            values = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        attended = attend(q, keys, values, mask)
        return self.out(attended.transpose(1, 2).reshape(batch, rows, width)), (k, v)


class LanguageLayer(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, past: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        attended, keys_values = self.attention(self.attention_norm(x), cos, sin, mask, past)
        x = x + attended
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up), keys_values


class LanguageModel(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(LanguageLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(
        self,
        embeddings: Tensor,
        position_ids: Tensor,
        mask: Tensor,
        past: list[KeysValues] | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """Run all layers.

        Args:
            embeddings: [B, Q, D].
            position_ids: int64 [B, Q].
            mask: additive, [B, 1, Q, K], in the dtype of `embeddings`.
            past: keys and values of rows before the query, a pair a layer.

        Returns:
            Hidden states before the final norm [B, Q, D], and keys and values of all K rows.
        """
        angles = rotary_angles(position_ids, self.config.head_dim, self.config.rope_theta)
        cos, sin = (angle.to(embeddings.dtype) for angle in angles)
        x = embeddings
        keys_values = []
        for index, layer in enumerate(self.layers):
            x, pair = layer(x, cos, sin, mask, None if past is None else past[index])
            keys_values.append(pair)
        return x, keys_values

    def logits(self, hidden: Tensor) -> Tensor:
        """Final norm and head: [..., D] to fp32 [..., V]."""
        result: Tensor = self.lm_head(self.norm(hidden)).float()
        return result
