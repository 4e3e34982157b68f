"""What a backend must do, so that the denoising loop needs to know nothing else about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import FloatArray, IntArray, ModelInputs

CacheMode = Literal["exact", "prefix"]
"""`exact` recomputes every row at every step; `prefix` keeps keys and values of the rows before
the captions from the first step."""


@dataclass(frozen=True)
class Prediction:
    """The most probable token at each caption position, and its probability.

    Attributes:
        token_ids: int64 [B, N, M].
        confidence: float32 [B, N, M], in [0, 1].
    """

    token_ids: IntArray
    confidence: FloatArray


class Session(Protocol):
    """One image with its groups of regions, encoded, ready to be denoised."""

    def predict(self, caption_ids: IntArray) -> Prediction:
        """One forward pass with these tokens, int64 [B, N, M], at the caption positions."""
        ...


class Backend(Protocol):
    """A model on a device."""

    config: ModelConfig
    description: str

    def start(self, inputs: ModelInputs, cache: CacheMode) -> Session:
        """Encode the image and its regions.

        Raises:
            BackendError: the device failed, for example for lack of memory, or `close` was called.
        """
        ...

    def close(self) -> None:
        """Let go of the model and give its memory back to the device; twice is as good as once."""
        ...
