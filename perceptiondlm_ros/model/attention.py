"""Scaled dot-product attention, and the two forms of its mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class FactoredMask(NamedTuple):
    """An additive mask of few kinds of rows, as a product: every row is of one kind, so the product
    is exact.

    Attributes:
        kinds: [B, Q, A], 1 at the row's kind, 0 elsewhere.
        columns: [B, A, K], what a row of each kind adds to the score of each column.
    """

    kinds: Tensor
    columns: Tensor

    def of_rows(self, rows: Tensor) -> FactoredMask:
        """The mask of some query rows."""
        return FactoredMask(self.kinds.index_select(1, rows), self.columns)

    def additive(self) -> Tensor:
        """[B, 1, Q, K]."""
        return (self.kinds @ self.columns).unsqueeze(1)

    @classmethod
    def of(cls, row_class: Tensor, class_columns: Tensor, dtype: torch.dtype) -> FactoredMask:
        """From int64 [B, Q] and bool [B, A, K], see `attention_mask`.

        What is not allowed gets half of the lowest finite number: a score is added to it, and
        infinity would make NaN of a product with 0.
        """
        classes = torch.arange(class_columns.shape[1], device=row_class.device)
        kinds = (row_class.unsqueeze(2) == classes).to(dtype)
        allowed = torch.zeros((), dtype=dtype, device=class_columns.device)
        return cls(kinds, torch.where(class_columns, allowed, torch.finfo(dtype).min / 2))


Attend = Callable[[Tensor, Tensor, Tensor, "FactoredMask | Tensor | None"], Tensor]
"""[B, Q, H, E] queries, [B, K, H, E] keys and values, a mask; gives [B, Q, H*E]."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: FactoredMask | Tensor | None) -> Tensor:
    """In the form that is fastest in torch.

    A tensor as mask is additive, [B, 1, Q', K], for the last Q' rows; rows before see everything.
    At 2,100 positions a mask makes attention a fifth slower, and only captions need one.

    Written out where gradients are wanted on a CPU: there the backward pass of the fused kernel
    took 40 % of a training step (torch 2.13).
    """
    if q.device.type == "cpu" and torch.is_grad_enabled() and q.requires_grad:
        return attend_written_out(q, k, v, mask)
    additive = mask.additive() if isinstance(mask, FactoredMask) else mask
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    free = 0 if additive is None else q.shape[2] - additive.shape[2]
    attended = F.scaled_dot_product_attention(q[:, :, free:], k, v, attn_mask=additive)
    if free:
        seeing_all = F.scaled_dot_product_attention(q[:, :, :free], k, v)
        attended = torch.cat((seeing_all, attended), dim=2)
    return attended.transpose(1, 2).flatten(2)


def attend_written_out(
    q: Tensor, k: Tensor, v: Tensor, mask: FactoredMask | Tensor | None
) -> Tensor:
    """As two products and a softmax, the queries scaled first."""
    q, k, v = q.transpose(1, 2), k.permute(0, 2, 3, 1), v.transpose(1, 2)
    scores = (q * q.shape[-1] ** -0.5) @ k
    if mask is not None:
        scores = scores + (mask.additive() if isinstance(mask, FactoredMask) else mask)
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def mask_of_rows(mask: FactoredMask | Tensor, rows: Tensor, count: int) -> FactoredMask | Tensor:
    """The mask of some query rows out of `count`, none of which sees everything."""
    if isinstance(mask, FactoredMask):
        return mask.of_rows(rows)
    return mask.index_select(2, rows - (count - mask.shape[2]))
