"""One denoising step as a function of tensors: the same code runs in torch and is exported.

The step embeds the query rows, runs the language model, picks the most probable token at each
caption position, keeps what it is sure of and masks the rest again. It has no state: what a step
gives is what the next one takes. Nothing in it depends on the host, so steps can be launched one
after the other without waiting; a group of which nothing is masked changes no more.

Tensors are called as in `contract.DENOISER`, letters for shapes are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from perceptiondlm_ros.model.attention import FactoredMask
from perceptiondlm_ros.model.language import KeysValues, LanguageModel

Tensors = Mapping[str, Tensor]
"""By their names in `contract.DENOISER`."""

_NEVER = -1.0
"""Less than any odds: positions that are never masked again."""


class CaptionState(NamedTuple):
    """What passes from one step to the next.

    Attributes:
        caption_ids: int64 [B, J], the mask token where a position is masked. The model can also
            predict that token: then the position is unmasked with it.
        masked: bool [B, J], the positions that the step before masked again; all before the first.
        confidence: float32 [B, J], probability of each token at the step that set it.
        step: int64 [B], the steps of each group that began with something masked.
    """

    caption_ids: Tensor
    masked: Tensor
    confidence: Tensor
    step: Tensor


class Prediction(NamedTuple):
    """The most probable token at each caption position, and how sure the model is of it.

    Attributes:
        best_ids: int64 [B, J].
        odds_against: float32 [B, J], (1 - p) / p for the token's probability p, from 0. These tell
            apart what probabilities in fp32 can't, which are all 1 above 1 - 6e-8.
    """

    best_ids: Tensor
    odds_against: Tensor

    @property
    def best_confidence(self) -> Tensor:
        """float32 [B, J], the token's probability."""
        return 1.0 / (1.0 + self.odds_against)


class Denoiser(nn.Module):
    """A denoising step on a language model and its mask token."""

    def __init__(self, language: LanguageModel, mask_id: int) -> None:
        super().__init__()
        self.language = language
        self.mask_id = mask_id

    def forward(
        self, inputs: Tensors, mask: FactoredMask | Tensor, past: list[KeysValues] | None
    ) -> tuple[dict[str, Tensor], list[KeysValues]]:
        """Run one step.

        Args:
            inputs: everything but the past.
            mask: factored, or additive [B, 1, Q, P+Q], dtype of the weights.
            past: keys and values of rows before the query, [B, P, G, E], a pair a layer.

        Returns:
            The prediction and the new state by name, and the query rows' keys and values.
        """
        logits, keys_values = self.logits(inputs, mask, past)
        prediction = predict(logits)
        state = CaptionState(*(inputs[name] for name in CaptionState._fields))
        state = unmask(
            state,
            prediction,
            inputs["active"],
            inputs["schedule"],
            inputs["threshold"],
            inputs["caption_rows"],
            self.mask_id,
        )
        outputs = {f"new_{name}": tensor for name, tensor in state._asdict().items()}
        best = {"best_ids": prediction.best_ids, "best_confidence": prediction.best_confidence}
        return {**best, **outputs}, keys_values

    def embed(self, inputs: Tensors) -> Tensor:
        """What enters the language model, [B, Q, D]."""
        is_caption = inputs["caption_index"] >= 0
        # Not clamp: TensorRT's parser takes Clip on floats only.
        index = torch.where(is_caption, inputs["caption_index"], 0)
        captions = inputs["caption_ids"].index_select(1, index)
        token_ids = torch.where(is_caption, captions, inputs["token_ids"])
        return self.language.embed(token_ids, inputs["visual_rows"], inputs["visual_index"])

    def logits(
        self, inputs: Tensors, mask: FactoredMask | Tensor, past: list[KeysValues] | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """fp32 [B, J, V] at the caption positions, and the query rows' keys and values."""
        hidden, keys_values = self.language(
            self.embed(inputs), inputs["position_ids"], mask, past, inputs["caption_rows"]
        )
        return self.language.logits(hidden), keys_values


def predict(logits: Tensor) -> Prediction:
    """The argmax of fp32 [B, J, V], and what all other tokens weigh where it weighs 1.

    The argmax is left out of the sum, beside which a small rest would be lost; of several equal
    logits only one is.
    """
    best_ids = logits.argmax(dim=-1)
    is_best = torch.arange(logits.shape[-1], device=logits.device) == best_ids.unsqueeze(-1)
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    return Prediction(best_ids, torch.where(is_best, 0.0, weights).sum(dim=-1))


def unmask(
    state: CaptionState,
    prediction: Prediction,
    active: Tensor,
    schedule: Tensor,
    threshold: Tensor,
    order: Tensor,
    mask_id: int,
) -> CaptionState:
    """Unmask every position with its prediction, then mask again what this step was least sure of.

    Under the published schedule these are so many of all positions, also of those that were
    unmasked before. Under a threshold they are of those that were masked: the ones whose
    probability is below it, but never the surest, and no more than the schedule leaves. So what is
    unsure is set step by step, instead of all at once in the last one.

    Args:
        active: bool [B, J], False on slots without a region.
        schedule: int64 [B, S], the most positions of each group that are masked again after each
            step.
        threshold: float32 [1], above 1 for the schedule alone.
        order: int64 [J], ascending; of equally sure positions the first is masked first.
    """
    caption_ids = torch.where(state.masked, prediction.best_ids, state.caption_ids)
    confidence = torch.where(state.masked, prediction.best_confidence, state.confidence)
    competing = active & (state.masked | (threshold > 1))
    ranks = rank(prediction.odds_against, competing, order)
    surest = competing.to(torch.int64).sum(dim=-1, keepdim=True) - 1
    count = schedule.gather(1, state.step.unsqueeze(1))
    # Under the schedule the other conditions hold wherever the first one does.
    again = (ranks < count) & (ranks < surest) & ~(prediction.best_confidence >= threshold)
    step = state.step + (active & state.masked).any(dim=-1).to(torch.int64)
    return CaptionState(caption_ids.masked_fill(again, mask_id), again, confidence, step)


def rank(odds_against: Tensor, active: Tensor, order: Tensor) -> Tensor:
    """How many active positions of the group come before each one, int64 [B, J], when the least
    sure come first; ties go by `order`, int64 [J]. Positions that aren't active rank last.

    Counted pair by pair, since a sort inside the graph can't run in every engine.
    """
    values = torch.where(active, odds_against, _NEVER)
    mine, other = values.unsqueeze(2), values.unsqueeze(1)
    earlier = order.unsqueeze(0) < order.unsqueeze(1)
    before = (other > mine) | ((other == mine) & earlier)
    return before.to(torch.int64).sum(dim=-1)
