"""What a backend must do, so that the denoising loop needs to know nothing else about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import (
    SEEN,
    BoolArray,
    Buckets,
    FloatArray,
    IntArray,
    ModelInputs,
    SequenceLayout,
)

CacheMode = Literal["exact", "prefix"]
"""`exact` recomputes every row at every step; `prefix` keeps keys and values of the rows before
the captions from the first step."""


@dataclass(frozen=True)
class DenoisingState:
    """Where a pass stands after a denoising step.

    Attributes:
        token_ids: int64 [B, N, M], the mask token where a position was masked again, and where it
            is what the model predicted.
        masked: bool [B, N, M], the positions that were masked again.
        confidence: float32 [B, N, M], the probability of each token at the step that set it.
        best_ids: int64 [B, N, M], the most probable token at each position at this step.
        best_confidence: float32 [B, N, M], its probability, in [0, 1].
        steps: int64 [B], the steps that each group has taken; those after it was whole don't count.
    """

    token_ids: IntArray
    masked: BoolArray
    confidence: FloatArray
    best_ids: IntArray
    best_confidence: FloatArray
    steps: IntArray

    @classmethod
    def of(cls, outputs: Mapping[str, np.ndarray], layout: SequenceLayout) -> DenoisingState:
        """From the outputs of a step that `contract.SEEN` names."""
        shape = (-1, layout.slots, layout.caption_tokens)
        arrays = (outputs[name] for name in SEEN)
        return cls(*(array.reshape(shape) if array.ndim > 1 else array for array in arrays))

    def filled(self) -> DenoisingState:
        """What is masked takes its most probable token of this step, also where it was unmasked
        with another one before; a pass that ends here would have kept that.
        """
        return replace(
            self,
            token_ids=np.where(self.masked, self.best_ids, self.token_ids),
            masked=np.zeros_like(self.masked),
            confidence=np.where(self.masked, self.best_confidence, self.confidence),
        )


class Session(Protocol):
    """One image with its groups of regions, encoded, on its way from masks to captions.

    Attributes:
        steps: the most denoising steps of the pass.
        look_every: after how many steps each it pays to look whether anything is masked; 0 where
            the schedule says when nothing is.
    """

    steps: int
    look_every: int

    def step(self) -> None:
        """Launch the next denoising step; a device may still work on it when this returns.

        Raises:
            BackendError: the device failed, for example for lack of memory.
        """
        ...

    def state(self) -> DenoisingState:
        """Wait for the steps so far, at least one.

        Raises:
            BackendError: the device failed.
        """
        ...


class Backend(Protocol):
    """A model on a device.

    Attributes:
        buckets: sizes that inputs have to be padded to; None takes any.
    """

    config: ModelConfig
    description: str
    buckets: Buckets | None

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> Session:
        """Encode the image and its regions for a pass of at most `steps` denoising steps.

        Args:
            threshold: the probability from which on a token is kept, above 0 and up to 1; None is
                the published schedule.

        Raises:
            BackendError: the device failed, for example for lack of memory, or `close` was called.
        """
        ...

    def close(self) -> None:
        """Let go of the model and give its memory back to the device; twice is as good as once."""
        ...
