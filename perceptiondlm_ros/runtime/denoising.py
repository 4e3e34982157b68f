"""The denoising loop: from all masks to captions in a fixed number of steps.

Every step predicts all caption positions at once, keeps what it is sure of, and masks the rest
again. The tokens of all regions of a group share one budget, and a token that was set earlier can
be masked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from perceptiondlm_ros.model.contract import BoolArray, FloatArray, IntArray
from perceptiondlm_ros.runtime.backend import Prediction, Session


@dataclass
class DenoisingTrace:
    """What happened at each step; lists of arrays [B, N, M]."""

    predictions: list[Prediction] = field(default_factory=list)
    token_ids: list[IntArray] = field(default_factory=list)


@dataclass(frozen=True)
class DenoisedCaptions:
    """Attributes:
    token_ids: int64 [B, N, M].
    confidence: float32 [B, N, M], the probability of each token at the step that set it.
    """

    token_ids: IntArray
    confidence: FloatArray


def tokens_to_mask(positions: int, step: int, steps: int) -> int:
    """How many of a group's caption positions are masked again after a step, counted from 0.

    The published linear schedule: int(positions * (S - 1 - s) / S), the fraction rounded first.
    """
    return int(positions * ((steps - 1 - step) / steps))


def denoise(
    session: Session,
    *,
    regions: tuple[int, ...],
    slots: int,
    caption_tokens: int,
    steps: int,
    mask_id: int,
    trace: DenoisingTrace | None = None,
) -> DenoisedCaptions:
    """Run the loop.

    Args:
        session: predicts all positions, given the tokens so far.
        regions: regions of each group, B numbers of at most `slots`; the other slots are ignored.
        caption_tokens: M.
        steps: S, forward passes at most; fewer when nothing is left to mask.
        trace: filled with every step when given.
    """
    shape = (len(regions), slots, caption_tokens)
    token_ids = np.full(shape, mask_id, dtype=np.int64)
    confidence = np.zeros(shape, dtype=np.float32)
    masked = np.ones(shape, dtype=np.bool_)
    active: BoolArray = np.arange(slots)[None, :] < np.asarray(regions)[:, None]
    for step in range(steps):
        prediction = session.predict(token_ids)
        token_ids = np.where(masked, prediction.token_ids, token_ids)
        confidence = np.where(masked, prediction.confidence, confidence)
        if trace is not None:
            trace.predictions.append(prediction)
            trace.token_ids.append(token_ids)
        masked = _mask_again(prediction.confidence, active, step, steps)
        if not masked.any():
            break
        token_ids = np.where(masked, mask_id, token_ids)
    return DenoisedCaptions(token_ids, confidence)


def _mask_again(confidence: FloatArray, active: BoolArray, step: int, steps: int) -> BoolArray:
    """The positions of lowest confidence in each group, ties broken by index, bool [B, N, M]."""
    masked = np.zeros(confidence.shape, dtype=np.bool_)
    for group, slots in enumerate(active):
        values = confidence[group][slots]
        count = tokens_to_mask(values.size, step, steps)
        chosen = np.zeros(values.size, dtype=np.bool_)
        chosen[np.argsort(values.reshape(-1), kind="stable")[:count]] = True
        masked[group, slots] = chosen.reshape(values.shape)
    return masked
