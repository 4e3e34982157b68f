"""An exported model in ONNX Runtime, on a CPU or a CUDA device; without torch.

Tensors stay on the device between steps: what a step gives is bound as input of the next, and the
first step's keys and values are the past of the later ones, in the very same memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from perceptiondlm_ros.errors import BackendError, OutOfMemoryError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import (
    DENOISER,
    GRAPHS,
    SEEN,
    VISION_ENCODER,
    Buckets,
    ModelInputs,
    fixed_sizes,
)
from perceptiondlm_ros.model.manifest import GraphRecord, Manifest
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import look_every
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.feeds import (
    Feed,
    all_rows,
    caption_rows_alone,
    first_state,
    vision_feed,
)
from perceptiondlm_ros.runtime.onnx_devices import OnnxDevice, compute_thread, session_options
from perceptiondlm_ros.runtime.onnx_weights import WEIGHTS, from_memory_helps, held_in_memory


class Graphs(NamedTuple):
    """ONNX Runtime's sessions of the two graphs, and where they run."""

    vision_encoder: onnxruntime.InferenceSession
    denoiser: onnxruntime.InferenceSession
    device: OnnxDevice

    @classmethod
    def open(cls, folder: Path, manifest: Manifest, device: OnnxDevice, threads: int = 0) -> Graphs:
        """The graphs of an exported folder, loaded; for threads see `session_options`.

        Raises:
            BackendError: the device can't run the export's precision, or has too little memory.
        """
        if device.kind == "cpu" and manifest.precision == "bf16":
            raise BackendError(
                f"{folder} was exported in bf16, which ONNX Runtime can't compute on a CPU; "
                "export with precision fp32 or int8, or use a CUDA device"
            )
        files = [_file(folder, manifest.graphs[graph.name], device) for graph in GRAPHS]
        weights = [folder / name for name in manifest.files if name.endswith(WEIGHTS)]
        vision_encoder, denoiser = (
            _session(folder / file, weights, device, threads) for file in files
        )
        return cls(vision_encoder, denoiser, device)


class OnnxBackend:
    """An exported model in ONNX Runtime; see `backend.Backend`."""

    def __init__(self, config: ModelConfig, graphs: Graphs, description: str) -> None:
        self.config = config
        self.description = description
        self.buckets: Buckets | None = None
        self._graphs: Graphs | None = graphs

    @classmethod
    def load(cls, folder: Path, device: str, threads: int = 0) -> OnnxBackend:
        """Load an exported folder.

        Args:
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            threads: that compute on a CPU; 0 is as many as the process may use.

        Raises:
            BackendError: the device isn't there, has too little memory, or can't run the export's
                precision.
            CheckpointError: files are missing, damaged or not as exported.
        """
        manifest, config = open_exported(folder)
        graphs = Graphs.open(folder, manifest, OnnxDevice.resolve(device), threads)
        provider = graphs.denoiser.get_providers()[0].removesuffix("ExecutionProvider")
        library = f"onnxruntime {onnxruntime.__version__} ({provider})"
        return cls(config, graphs, f"{library} on {graphs.device}, {manifest.precision}")

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> OnnxSession:
        if self._graphs is None:
            raise BackendError("the backend was closed, expected an open one; load another one")
        with _failures_reported(self._graphs.device):
            visual_rows = _encode(self._graphs, inputs)
            feeds = [all_rows(inputs, self.config, past=1)]
            if cache == "prefix":
                feeds.append(caption_rows_alone(inputs, self.config, past=inputs.layout.length))
            state = first_state(inputs, steps, threshold)
            return OnnxSession(self._graphs, visual_rows, feeds, state, inputs, self.config)

    def close(self) -> None:
        """See `backend.Backend`. What a session still uses stays until that session is gone."""
        self._graphs = None


class OnnxSession:
    """One image, encoded once; see `backend.Session`.

    Args:
        feeds: the rows of the first step, and of later ones where those differ.
    """

    def __init__(
        self,
        graphs: Graphs,
        visual_rows: onnxruntime.OrtValue,
        feeds: list[Feed],
        state: Feed,
        inputs: ModelInputs,
        config: ModelConfig,
    ) -> None:
        self.steps = state["schedule"].shape[1]
        self._denoiser, self._device, self._feeds = graphs.denoiser, graphs.device, feeds
        self.look_every = look_every(state["threshold"].item(), graphs.device.kind)
        self._layout = inputs.layout
        layers = config.language.num_hidden_layers
        self._past_names = [name for t in DENOISER.of("past") for name in t.names(layers)]
        self._sizes = {**fixed_sizes(config), "groups": len(inputs.regions), "past": 1}
        self._constant = {
            **{tensor.name: visual_rows for tensor in DENOISER.of("visual")},
            **{t.name: self._device.put(state[t.name]) for t in DENOISER.of("pass")},
        }
        self._states = [
            {t.name: self._device.put(state[t.name]) for t in DENOISER.of("state")}
            for _ in range(2)
        ]
        positions = {**self._sizes, "captions": state["active"].shape[1]}
        self._best = {
            t.name: self._device.put(np.zeros(t.shape(positions), t.dtype))
            for t in DENOISER.results
            if t.role == "prediction"
        }
        self._step = 0
        self._bound: list[dict[str, Any]] = []
        self._first: Any = None
        self._later: dict[int, Any] = {}

    def step(self) -> None:
        with _failures_reported(self._device):
            run = partial(self._denoiser.run_with_iobinding, self._binding())
            compute_thread().call(run)
            self._step += 1

    def state(self) -> DenoisingState:
        if not self._step:
            raise BackendError("no denoising step was run yet, expected one before the state")
        with _failures_reported(self._device):
            outputs = self._outputs(self._step % 2)
            # A copy, since the memory is written again by the next step.
            seen = {name: outputs[name].numpy().copy() for name in SEEN}
            return DenoisingState.of(seen, self._layout)

    def _binding(self) -> Any:
        """The first step has a binding of its own; the others take turns, as the state does."""
        turn = self._step % 2
        if self._first is None:
            self._first = self._bind(self._feeds[0], self._empty_past(), turn)
            if len(self._feeds) > 1:
                for name in self._past_names:
                    self._first.bind_output(name.removeprefix("past_"), *self._device.place)
            return self._first
        if turn not in self._later:
            self._later[turn] = self._bind(self._feeds[-1], self._past(), turn)
        return self._later[turn]

    def _bind(self, feed: Feed, past: Mapping[str, Any], turn: int) -> Any:
        binding = self._denoiser.io_binding()
        rows = {name: self._device.put(array) for name, array in feed.items()}
        given = {**rows, **self._constant, **past, **self._states[turn]}
        for name, value in given.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs(1 - turn).items():
            binding.bind_ortvalue_output(name, value)
        self._bound.append(given)  # a binding doesn't keep its values alive
        return binding

    def _outputs(self, turn: int) -> dict[str, Any]:
        """What a step gives beside keys and values."""
        new = {f"new_{name}": value for name, value in self._states[turn].items()}
        return {**new, **self._best}

    def _empty_past(self) -> dict[str, Any]:
        """One column a layer, which nobody attends to."""
        kinds = {value.name: value.type for value in self._denoiser.get_inputs()}
        shape = DENOISER.of("past")[0].shape(self._sizes)
        return {name: self._device.zeros(shape, kinds[name]) for name in self._past_names}

    def _past(self) -> dict[str, Any]:
        """What the first step gave, uncopied."""
        if len(self._feeds) == 1:
            return self._empty_past()
        given = self._first.get_outputs()[-len(self._past_names) :]
        return dict(zip(self._past_names, given, strict=True))


def _encode(graphs: Graphs, inputs: ModelInputs) -> onnxruntime.OrtValue:
    binding = graphs.vision_encoder.io_binding()
    feed = vision_feed(inputs)
    given = {name: graphs.device.put(array) for name, array in feed.items()}
    for name, value in given.items():
        binding.bind_ortvalue_input(name, value)
    (visual,) = VISION_ENCODER.results
    binding.bind_output(visual.name, *graphs.device.place)
    compute_thread().call(partial(graphs.vision_encoder.run_with_iobinding, binding))
    return binding.get_outputs()[0]


def _file(folder: Path, graph: GraphRecord, device: OnnxDevice) -> str:
    """The ONNX file that the device runs best."""
    file = graph.file_for(device.kind)
    if file is None:
        raise BackendError(
            f"{folder} was exported for CPUs alone, and device is {device}; use device cpu, or "
            "export with precision fp16"
        )
    return file


def _session(path: Path, weights: list[Path], device: OnnxDevice, threads: int) -> Any:
    """ONNX Runtime's session of one graph.

    Args:
        weights: the files beside it that may hold its weights.
    """

    def make(options: onnxruntime.SessionOptions) -> Any:
        return onnxruntime.InferenceSession(str(path), options, providers=device.providers())

    try:
        try:
            return compute_thread().call(partial(make, session_options(threads)))
        except Exception:
            if not from_memory_helps(path, weights):
                raise
        with held_in_memory(session_options(threads), weights) as options:
            return compute_thread().call(partial(make, options))
    except Exception as error:  # onnxruntime's errors have no common base
        kind = OutOfMemoryError if _is_about_memory(error) else BackendError
        raise kind(
            f"{device} can't load {path} with onnxruntime {onnxruntime.__version__}: {error}"
        ) from error


@contextmanager
def _failures_reported(device: OnnxDevice) -> Iterator[None]:
    """Turn what ONNX Runtime raises while running into a BackendError."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:  # onnxruntime's errors have no common base
        if _is_about_memory(error):
            raise OutOfMemoryError(
                f"{device} ran out of memory; use fewer regions a frame, a smaller image or "
                "checkpoint"
            ) from error
        raise BackendError(f"{device} failed while running: {error}") from error


def _is_about_memory(error: Exception) -> bool:
    """Whether memory ran out, for which onnxruntime has no error of its own."""
    told = re.search("bad_alloc|allocat|alloc_failed|out of memory", str(error).lower())
    return isinstance(error, MemoryError) or told is not None
