"""The model in PyTorch, on a CPU or a CUDA device."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.model.attention import FactoredMask
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets, IntArray, ModelInputs
from perceptiondlm_ros.model.denoiser import CaptionState, Denoiser, Prediction, QueryRows
from perceptiondlm_ros.model.language import KeysValues
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.feeds import RowsFeed, caption_rows, first_state, whole_rows

# On a CPU, and in CUDA's libraries, torch has no error of its own for too little memory.
_ALLOCATION_FAILED = re.compile("can't allocate memory|ALLOC_FAILED|out of memory")


class TorchBackend:
    """A model in PyTorch, with its weights, on one device; see `backend.Backend`."""

    def __init__(self, model: PerceptionDLM) -> None:
        self.config: ModelConfig = model.config
        weight = model.mask_id_embedding.weight
        self.description = f"torch {torch.__version__} on {weight.device}, {_name(weight.dtype)}"
        self.buckets: Buckets | None = None
        self._device = weight.device
        self._model: PerceptionDLM | None = model

    @classmethod
    def load(
        cls, folder: Path, config: ModelConfig, device: str, dtype: torch.dtype | None = None
    ) -> TorchBackend:
        """Load a checkpoint folder.

        Args:
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
            raise OutOfMemoryError(
                f"{target} can't hold {folder} in {_name(dtype)} ({error}); "
                "free memory or use a smaller checkpoint"
            ) from error

    @torch.inference_mode()
    def start(self, inputs: ModelInputs, cache: CacheMode, steps: int) -> TorchSession:
        if self._model is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        with _failures_reported(self._device):
            return TorchSession(self._model, inputs, cache, steps)

    def close(self) -> None:
        """See `backend.Backend`. What a session still uses stays until that session is gone."""
        self._model = None
        if self._device.type == "cuda":
            # torch keeps freed memory for itself, and only of what nothing refers to any more.
            gc.collect()
            torch.cuda.empty_cache()


class TorchSession:
    """One image, encoded once; see `backend.Session`.

    Attributes:
        visual_rows: [B, T*C + N*R, D].
    """

    def __init__(
        self, model: PerceptionDLM, inputs: ModelInputs, cache: CacheMode, steps: int
    ) -> None:
        weight = model.mask_id_embedding.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._denoiser = Denoiser(model.language, inputs.mask_id)
        self._shape = (len(inputs.regions), inputs.layout.slots, inputs.layout.caption_tokens)
        self.visual_rows = model.visual_rows(
            self._tensor(inputs.tiles).to(self._dtype),
            self._tensor(inputs.patch_masks).to(self._dtype),
            self._tensor(inputs.roi_matrix),
        )
        self._query = self._query_of(whole_rows(inputs, model.config, past=0))
        start = inputs.layout.captions_start
        self._later = (
            self._query_of(caption_rows(inputs, model.config, past=start))
            if cache == "prefix"
            else None
        )
        self._prefix_rows = start
        self._past: list[KeysValues] | None = None
        feed = first_state(inputs, steps)
        self.steps = feed.schedule.shape[1]
        self._active, self._schedule = self._tensor(feed.active), self._tensor(feed.schedule)
        first = (feed.caption_ids, feed.masked, feed.confidence, feed.step)
        self._state = CaptionState(*map(self._tensor, first))
        self._prediction: Prediction | None = None

    @torch.inference_mode()
    def step(self) -> None:
        with _failures_reported(self._device):
            self._state, self._prediction, keys_values = self._denoiser(
                *self._query, self.visual_rows, self._past, self._state, self._active,
                self._schedule,
            )  # fmt: skip
            self._keep(keys_values)

    def state(self) -> DenoisingState:
        if self._prediction is None:
            raise BackendError("no denoising step was run yet, expected one before the state")
        with _failures_reported(self._device):
            state, prediction = self._state, self._prediction
            tensors = (
                *(state.caption_ids, state.masked, state.confidence),
                *(prediction.best_ids, prediction.best_confidence),
            )
            return DenoisingState(*(t.cpu().numpy().reshape(self._shape) for t in tensors))

    @torch.inference_mode()
    def embeddings(self, caption_ids: IntArray) -> Tensor:
        """[B, L, D]: what enters the language model with int64 [B, N, M] caption tokens."""
        ids = self._tensor(caption_ids).flatten(1)
        return self._denoiser.embed(self._query[0], self.visual_rows, ids)

    @torch.inference_mode()
    def logits(self, caption_ids: IntArray) -> Tensor:
        """fp32 [B, N*M, V] at the caption positions, given int64 [B, N, M] tokens there."""
        rows, mask = self._query
        ids = self._tensor(caption_ids).flatten(1)
        embeddings = self._denoiser.embed(rows, self.visual_rows, ids)
        logits, keys_values = self._denoiser.logits(rows, mask, embeddings, self._past)
        self._keep(keys_values)
        return logits

    def _keep(self, keys_values: list[KeysValues]) -> None:
        """Go on with the caption rows alone, once the prefix has been computed."""
        if self._later is None or self._past is not None:
            return
        end = self._prefix_rows
        self._past = [(k[:, :, :end], v[:, :, :end]) for k, v in keys_values]
        self._query = self._later

    def _query_of(self, feed: RowsFeed) -> tuple[QueryRows, Tensor]:
        """The rows on the device, and their additive mask [B, 1, Q, P+Q]."""
        arrays = (feed.token_ids, feed.visual_index, feed.caption_index, feed.caption_rows)
        rows = QueryRows(*map(self._tensor, (*arrays, feed.position_ids)))
        mask = FactoredMask.of(
            self._tensor(feed.row_class), self._tensor(feed.class_columns), self._dtype
        )
        additive = mask.additive()
        return rows, additive[:, :, self._rows_that_see_all(feed) :]

    @staticmethod
    def _rows_that_see_all(feed: RowsFeed) -> int:
        """How many of the rows before the captions may attend to every column, in all groups."""
        sees_all = feed.class_columns.all(axis=2)
        free = np.all(np.take_along_axis(sees_all, feed.row_class, axis=1), axis=0, keepdims=True)
        return int(np.argmin(np.append(free[0, : feed.caption_rows[0]], False)))

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
        raise OutOfMemoryError(
            f"{device} ran out of memory; use fewer regions a frame, a smaller image or checkpoint"
        ) from error
    except RuntimeError as error:
        kind = OutOfMemoryError if _ALLOCATION_FAILED.search(str(error)) else BackendError
        raise kind(f"{device} failed while running: {error}") from error


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
