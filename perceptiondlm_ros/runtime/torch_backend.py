"""The model in PyTorch, on a CPU or a CUDA device."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.attention_mask import allowed_attention
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import IntArray, ModelInputs
from perceptiondlm_ros.model.language import KeysValues
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.runtime.backend import CacheMode, Prediction


class TorchBackend:
    """Args:
    model: with its weights, on one device.
    """

    def __init__(self, model: PerceptionDLM) -> None:
        self.config: ModelConfig = model.config
        weight = model.mask_id_embedding.weight
        self.description = f"torch {torch.__version__} on {weight.device}, {_name(weight.dtype)}"
        self._device = weight.device
        self._model: PerceptionDLM | None = model

    @classmethod
    def load(
        cls, folder: Path, config: ModelConfig, device: str, dtype: torch.dtype | None = None
    ) -> TorchBackend:
        """Args:
            folder: a checkpoint folder.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            dtype: None is float32 on a CPU and bfloat16 elsewhere.

        Raises:
            BackendError: the device isn't there or has too little memory.
            CheckpointError: the weights don't fit the config.
        """
        target = resolve_device(device)
        if dtype is None:
            dtype = torch.float32 if target.type == "cpu" else torch.bfloat16
        try:
            return cls(load_model(folder, config, dtype=dtype, device=target))
        except (RuntimeError, MemoryError) as error:  # on a CPU, torch has no error of its own
            raise BackendError(
                f"{target} can't hold {folder} in {_name(dtype)} ({error}); "
                "free memory or use a smaller checkpoint"
            ) from error

    @torch.inference_mode()
    def start(self, inputs: ModelInputs, cache: CacheMode) -> TorchSession:
        if self._model is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        with _failures_reported(self._device):
            return TorchSession(self._model, inputs, cache)

    def close(self) -> None:
        """See `backend.Backend`. What a session still uses stays until that session is gone."""
        self._model = None
        if self._device.type == "cuda":
            # torch keeps freed memory for itself, and only of what nothing refers to any more.
            gc.collect()
            torch.cuda.empty_cache()


class TorchSession:
    """One image, encoded once; see `backend.Session`."""

    def __init__(self, model: PerceptionDLM, inputs: ModelInputs, cache: CacheMode) -> None:
        weight = model.mask_id_embedding.weight
        self._model, self._layout, self._cache = model, inputs.layout, cache
        self._device, self._dtype = weight.device, weight.dtype
        tiles = self._tensor(inputs.tiles).to(self._dtype)
        patch_masks = self._tensor(inputs.patch_masks).to(self._dtype)
        self.visual_tokens = model.encode(tiles, patch_masks)
        roi_tokens = model.replay(self.visual_tokens, self._tensor(inputs.roi_matrix))
        self._token_ids = self._tensor(inputs.token_ids)
        self._position_ids = self._tensor(inputs.position_ids)
        self.embeddings = model.embed(
            self._token_ids, self.visual_tokens, roi_tokens, inputs.layout
        )
        self._mask = self._additive_mask(inputs)
        self._caption_positions = self._tensor(inputs.layout.caption_positions.reshape(-1))
        self._past: list[KeysValues] | None = None

    @torch.inference_mode()
    def predict(self, caption_ids: IntArray) -> Prediction:
        shape = caption_ids.shape
        with _failures_reported(self._device):
            logits = self.logits(caption_ids)
            best, token_ids = logits.max(dim=-1)
            confidence = torch.exp(best - torch.logsumexp(logits, dim=-1))
            return Prediction(
                token_ids.cpu().numpy().reshape(shape), confidence.cpu().numpy().reshape(shape)
            )

    @torch.inference_mode()
    def logits(self, caption_ids: IntArray) -> Tensor:
        """fp32 [B, N*M, V] at the caption positions, given int64 [B, N, M] tokens there."""
        ids = self._tensor(caption_ids).flatten(1)
        start = 0 if self._past is None else self._layout.captions_start
        rows = self.embeddings[:, start:].index_copy(
            1, self._caption_positions - start, self._model.language.embed_tokens(ids)
        )
        hidden, keys_values = self._model.language(
            rows, self._position_ids[:, start:], self._mask[:, :, start:], self._past
        )
        if self._cache == "prefix" and self._past is None:
            end = self._layout.captions_start
            self._past = [(k[:, :, :end], v[:, :, :end]) for k, v in keys_values]
        return self._model.language.logits(hidden[:, self._caption_positions - start])

    def _additive_mask(self, inputs: ModelInputs) -> Tensor:
        """[B, 1, L, L]: 0 where a row may attend, the lowest finite number elsewhere."""
        allowed = np.stack(
            [
                allowed_attention(
                    inputs.layout,
                    real,
                    prefix_sees_captions=self._model.config.prefix_sees_captions,
                )
                for real in inputs.real
            ]
        )
        mask = torch.zeros(allowed.shape, dtype=self._dtype, device=self._device)
        mask.masked_fill_(~self._tensor(allowed), torch.finfo(self._dtype).min)
        return mask[:, None]

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def resolve_device(device: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that is there.

    Raises:
        BackendError: it isn't there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BackendError(
            f"device is {device!r}, expected 'auto', 'cpu', 'cuda' or 'cuda:N'"
        ) from error
    count = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= count:
        raise BackendError(
            f"device is {device!r}, but torch sees {count} CUDA devices; use 'cpu' or 'auto', or "
            "install a CUDA build of torch and the driver"
        )
    if found.type not in ("cpu", "cuda"):
        raise BackendError(f"device is {device!r}, expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
    return found


@contextmanager
def _failures_reported(device: torch.device) -> Iterator[None]:
    """Turn what torch raises while running into a BackendError."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise BackendError(
            f"{device} ran out of memory; use fewer regions a frame, a smaller image or checkpoint"
        ) from error
    except RuntimeError as error:
        raise BackendError(f"{device} failed while running: {error}") from error


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
