"""The model in PyTorch, on a CPU or a CUDA device."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.model.attention import FactoredMask
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import DENOISER, SEEN, Buckets, IntArray, ModelInputs
from perceptiondlm_ros.model.denoiser import Denoiser
from perceptiondlm_ros.model.language import KeysValues
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.compute_threads import ComputeThread, thread_count
from perceptiondlm_ros.runtime.denoising import look_every
from perceptiondlm_ros.runtime.feeds import (
    Feed,
    all_rows,
    caption_rows_alone,
    first_state,
    vision_feed,
)
from perceptiondlm_ros.runtime.processor import BF16_FLAGS, multiplies_bf16

# On a CPU, and in CUDA's libraries, torch has no error of its own for too little memory.
_ALLOCATION_FAILED = re.compile("can't allocate memory|ALLOC_FAILED|out of memory")

_WEIGHTS_A_THREAD = 5_000_000
"""From how many weights on one thread more pays, where nobody says how many. All threads wait for
each other at every layer: two took as long as one with the 2 million weights of the packaged
checkpoint, also alone, and 0.7 of it with 13 million (two cores, waiting asleep, torch 2.13)."""


class TorchBackend:
    """A model in PyTorch, with its weights, on one device; see `backend.Backend`.

    threads: that compute on a CPU; 0 is as many as the process may use and the model has work for.
    """

    def __init__(self, model: PerceptionDLM, threads: int = 0) -> None:
        self.config: ModelConfig = model.config
        weight = model.mask_id_embedding.weight
        self.description = f"torch {torch.__version__} on {weight.device}, {_name(weight.dtype)}"
        self.buckets: Buckets | None = None
        self._device = weight.device
        self._model: PerceptionDLM | None = model
        self._thread = _compute_thread(threads or _threads_for(model))

    @classmethod
    def load(
        cls,
        folder: Path,
        config: ModelConfig,
        device: str,
        dtype: torch.dtype | None = None,
        threads: int = 0,
    ) -> TorchBackend:
        """Load a checkpoint folder.

        Args:
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            dtype: None is what `choose_dtype` takes by itself.
            threads: see the class.

        Raises:
            BackendError: the device isn't there or has too little memory.
            CheckpointError: the weights don't fit the config.
        """
        target = resolve_device(device)
        if dtype is None:
            dtype = choose_dtype("auto", device)
        try:
            return cls(load_model(folder, config, dtype=dtype, device=target), threads)
        except (RuntimeError, MemoryError) as error:  # on a CPU, torch has no error of its own
            raise OutOfMemoryError(
                f"{target} can't hold {folder} in {_name(dtype)} ({error}); "
                "free memory or use a smaller checkpoint"
            ) from error

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> TorchSession:
        if self._model is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        with _failures_reported(self._device):
            state = first_state(inputs, steps, threshold)
            start = partial(TorchSession, self._model, inputs, cache, state, self._thread)
            return self._thread.call(start)

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

    @torch.inference_mode()
    def __init__(
        self,
        model: PerceptionDLM,
        inputs: ModelInputs,
        cache: CacheMode,
        state: Feed,
        thread: ComputeThread,
    ) -> None:
        self._thread = thread
        weight = model.mask_id_embedding.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._denoiser = Denoiser(model.language, inputs.mask_id)
        self._layout = inputs.layout
        self.visual_rows = model.visual_rows_of(self._tensors(vision_feed(inputs)))
        visual = {tensor.name: self.visual_rows for tensor in DENOISER.of("visual")}
        self._rows, self._mask = self._rows_and_mask(all_rows(inputs, model.config, past=0))
        start = inputs.layout.captions_start
        self._later = (
            self._rows_and_mask(caption_rows_alone(inputs, model.config, past=start))
            if cache == "prefix"
            else None
        )
        self._prefix_rows = start
        self._past: list[KeysValues] | None = None
        self._inputs = {**self._tensors(state), **visual}
        self.steps = state["schedule"].shape[1]
        self.look_every = look_every(state["threshold"].item(), self._device.type)
        self._outputs: dict[str, Tensor] = {}

    def step(self) -> None:
        with _failures_reported(self._device):
            self._thread.call(self._step)

    @torch.inference_mode()
    def _step(self) -> None:
        self._outputs, keys_values = self._denoiser(
            {**self._inputs, **self._rows}, self._mask, self._past
        )
        for tensor in DENOISER.of("state"):
            self._inputs[tensor.name] = self._outputs[f"new_{tensor.name}"]
        self._keep(keys_values)

    def state(self) -> DenoisingState:
        if not self._outputs:
            raise BackendError("no denoising step was run yet, expected one before the state")
        with _failures_reported(self._device):
            return self._thread.call(self._state)  # on CUDA, after the steps of that thread

    def _state(self) -> DenoisingState:
        seen = {name: self._outputs[name].cpu().numpy() for name in SEEN}
        return DenoisingState.of(seen, self._layout)

    @torch.inference_mode()
    def embeddings(self, caption_ids: IntArray) -> Tensor:
        """[B, L, D]: what enters the language model with int64 [B, N, M] caption tokens."""
        return self._denoiser.embed(self._with(caption_ids))

    @torch.inference_mode()
    def logits(self, caption_ids: IntArray) -> Tensor:
        """fp32 [B, N*M, V] at the caption positions, given int64 [B, N, M] tokens there."""
        logits, keys_values = self._denoiser.logits(self._with(caption_ids), self._mask, self._past)
        self._keep(keys_values)
        return logits

    def _with(self, caption_ids: IntArray) -> dict[str, Tensor]:
        ids = self._tensor(caption_ids).flatten(1)
        return {**self._inputs, **self._rows, "caption_ids": ids}

    def _keep(self, keys_values: list[KeysValues]) -> None:
        """Go on with the caption rows alone, once the prefix has been computed."""
        if self._later is None or self._past is not None:
            return
        end = self._prefix_rows
        self._past = [(k[:, :end], v[:, :end]) for k, v in keys_values]
        self._rows, self._mask = self._later

    def _rows_and_mask(self, feed: Feed) -> tuple[dict[str, Tensor], Tensor]:
        """The rows on the device, and their additive mask [B, 1, Q, P+Q]."""
        rows = self._tensors(feed)
        mask = FactoredMask.of(rows["row_class"], rows["class_columns"], self._dtype)
        return rows, mask.additive()[:, :, self._rows_that_see_all(feed) :]

    @staticmethod
    def _rows_that_see_all(feed: Feed) -> int:
        """How many of the rows before the captions may attend to every column, in all groups."""
        sees_all = feed["class_columns"].all(axis=2)
        free = np.take_along_axis(sees_all, feed["row_class"], axis=1)
        of_prefix = np.all(free[:, : feed["caption_rows"][0]], axis=0)
        return int(np.argmin(np.append(of_prefix, False)))

    def _tensors(self, feed: Feed) -> dict[str, Tensor]:
        return {name: self._tensor(array) for name, array in feed.items()}

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


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """What `auto`, `fp32` or `bf16` is on a device, see `resolve_device`.

    Raises:
        BackendError: the device isn't there, or is a CPU that doesn't multiply bf16, which it would
            have to imitate, slower than fp32.
    """
    on_cpu = resolve_device(device).type == "cpu"
    if precision == "fp32" or (precision == "auto" and on_cpu):
        return torch.float32
    if on_cpu and not multiplies_bf16():
        raise BackendError(
            "precision is bf16, but this processor doesn't multiply bf16, expected one with "
            f"{' or '.join(sorted(BF16_FLAGS))} in /proc/cpuinfo; use precision auto or fp32"
        )
    return torch.bfloat16


def _threads_for(model: PerceptionDLM) -> int:
    weights = sum(weight.numel() for weight in model.parameters())
    return min(torch.get_num_threads(), thread_count(), 1 + weights // _WEIGHTS_A_THREAD)


def _compute_thread(threads: int) -> ComputeThread:
    """A thread that computes with so many, while the rest of the process does as before.

    torch keeps the number for each thread that computes: in a new one, the first use sets it to
    that of the whole process, which `set_num_threads` changes as well.
    """
    thread = ComputeThread("torch")
    before = thread.call(torch.get_num_threads)
    thread.call(partial(torch.set_num_threads, threads))
    ComputeThread("torch").call(partial(torch.set_num_threads, before))  # not for the caller's own
    return thread


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
