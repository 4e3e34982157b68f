"""The LLaDA language model: a bidirectional transformer over embeddings, with an optional past.

Shapes: B groups, Q query rows, K key rows (past and query together), D width, H heads,
G key/value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.attention import Attend, FactoredMask, attend, mask_of_rows
from perceptiondlm_ros.model.config import LanguageConfig

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, [B, K, G, E] each."""


class RMSNorm(nn.Module):
    """Normalises in fp32 whatever the dtype of its input, as LLaDA does.

    An exporter may replace `normalise`, fp32 and an epsilon to fp32 without the weight, by another
    form of the same.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.normalise: Callable[[Tensor, float], Tensor] = rms_normalise

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * self.normalise(x.float(), self.eps).to(x.dtype)


def rms_normalise(x: Tensor, eps: float) -> Tensor:
    """The last axis divided by the root of its mean square."""
    return F.rms_norm(x, x.shape[-1:], eps=eps)


class Angles(NamedTuple):
    """Cosine and sine of the rotary embedding, [B, Q, 1, E] each."""

    cos: Tensor
    sin: Tensor

    def of_rows(self, rows: Tensor) -> Angles:
        """Those of some query rows."""
        return Angles(self.cos.index_select(1, rows), self.sin.index_select(1, rows))


def rotary_angles(position_ids: Tensor, config: LanguageConfig, dtype: torch.dtype) -> Angles:
    """For positions [B, Q]; computed in fp32 whatever the dtype of the result."""
    width = config.head_dim
    exponents = torch.arange(0, width, 2, device=position_ids.device, dtype=torch.float32)
    frequencies = 1.0 / config.rope_theta ** (exponents / width)
    angles = position_ids[:, :, None, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return Angles(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Rotary position embedding of [B, Q, H, E], halves paired as in Llama."""
    first, second = x.chunk(2, dim=-1)
    return x * angles.cos + torch.cat((-second, first), dim=-1) * angles.sin


Project = Callable[[nn.Linear, Tensor, list[int]], Sequence[Tensor]]
"""A linear layer whose result is taken apart along its last axis, into these widths."""


def project(linear: nn.Linear, x: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    """One product, then views."""
    return linear(x).split(sizes, dim=-1)


class Attention(nn.Module):
    """Attention with rotary positions and keys and values that neighbouring heads may share; an
    exporter may replace `attend`, `rotate` and `project` by other forms of the same."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        width = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.qkv = nn.Linear(config.hidden_size, width, bias=config.attention_bias)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.attend: Attend = attend
        self.rotate: Callable[[Tensor, Angles], Tensor] = rotate
        self.project: Project = project

    def forward(
        self,
        x: Tensor,
        angles: Angles,
        mask: FactoredMask | Tensor,
        past: KeysValues | None,
        rows: Tensor | None,
    ) -> tuple[Tensor, KeysValues]:
        """See `LanguageLayer`; `mask` has the rows of the result."""
        q, k, v = self._queries_keys_values(x, rows)
        k = self.rotate(k, angles)
        q = self.rotate(q, angles if rows is None else angles.of_rows(rows))
        keys, values = k, v
        if past is not None:
            keys, values = torch.cat((past[0], k), dim=1), torch.cat((past[1], v), dim=1)
        attended = self.attend(q, self._for_each_head(keys), self._for_each_head(values), mask)
        return self.out(attended), (k, v)

    def _queries_keys_values(self, x: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of `rows`, keys and values of all rows: [B, *, H, E] and twice [B, Q, G, E]."""
        count = self.heads * self.head_dim
        if rows is None:
            sizes = [count, *[self.kv_heads * self.head_dim] * 2]
            q, k, v = map(self._split_heads, self.project(self.qkv, x, sizes))
            return q, k, v
        weight, bias = self.qkv.weight, self.qkv.bias
        of_queries, of_others = (None, None) if bias is None else (bias[:count], bias[count:])
        q = self._split_heads(F.linear(x.index_select(1, rows), weight[:count], of_queries))
        k, v = self._split_heads(F.linear(x, weight[count:], of_others)).chunk(2, dim=2)
        return q, k, v

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.head_dim))

    def _for_each_head(self, x: Tensor) -> Tensor:
        """Keys or values [B, K, G, E] as [B, K, H, E]: neighbouring heads share them."""
        if self.kv_heads == self.heads:
            return x
        return x.unsqueeze(3).expand(-1, -1, -1, self.heads // self.kv_heads, -1).flatten(2, 3)


class LanguageLayer(nn.Module):
    """Attention, then a gated MLP, each after an RMS norm and added to what came in.

    An exporter may replace `project` by another form of the same.
    """

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.project: Project = project

    def forward(
        self,
        x: Tensor,
        angles: Angles,
        mask: FactoredMask | Tensor,
        past: KeysValues | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """[B, Q, D] to the same, or to [B, len(rows), D] where only some rows are wanted; and keys
        and values of all Q rows."""
        attended, keys_values = self.attention(self.attention_norm(x), angles, mask, past, rows)
        x = (x if rows is None else x.index_select(1, rows)) + attended
        width = self.down.in_features
        gate, up = self.project(self.gate_up, self.mlp_norm(x), [width, width])
        return x + self.down(F.silu(gate) * up), keys_values


class LanguageModel(nn.Module):
    """Token embeddings, layers, and a head, without positions of its own: rows come with theirs."""

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
        mask: FactoredMask | Tensor,
        past: list[KeysValues] | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, list[KeysValues]]:
        """Run all layers.

        Args:
            embeddings: [B, Q, D].
            position_ids: int64 [B, Q].
            mask: factored, or additive [B, 1, Q', K] for the last Q' rows, where those before see
                everything; in the dtype of `embeddings`.
            past: keys and values of rows before the query, a pair a layer.
            rows: int64, query rows whose hidden states are wanted; the last layer computes only
                these. None is all.

        Returns:
            Hidden states before the final norm [B, Q, D] (or those of `rows`), and keys and values
            of the Q rows, a pair a layer.
        """
        angles = rotary_angles(position_ids, self.config, embeddings.dtype)
        x = embeddings
        keys_values = []
        for index, layer in enumerate(self.layers):
            before = None if past is None else past[index]
            if rows is not None and index == len(self.layers) - 1:
                x, pair = layer(x, angles, mask_of_rows(mask, rows, x.shape[1]), before, rows)
            else:
                x, pair = layer(x, angles, mask, before)
            keys_values.append(pair)
        return x, keys_values

    def embed(self, token_ids: Tensor, visual_rows: Tensor, visual_index: Tensor) -> Tensor:
        """What enters the layers, [B, Q, D]: token embeddings with visual rows in their places.

        Args:
            token_ids: int64 [B, Q].
            visual_rows: [B, F, D].
            visual_index: int64 [Q], the visual row that replaces an embedding, -1 for none.
        """
        is_visual = visual_index >= 0
        # Not clamp: TensorRT's parser takes Clip on floats only.
        visual = visual_rows.index_select(1, torch.where(is_visual, visual_index, 0))
        return torch.where(is_visual[:, None], visual, self.embed_tokens(token_ids))

    def logits(self, hidden: Tensor) -> Tensor:
        """Final norm and head: [..., D] to fp32 [..., V]."""
        result: Tensor = self.lm_head(self.norm(hidden)).float()
        return result
