"""One pass through the two engines, on memory that stays from pass to pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import (
    DENOISER,
    SEEN,
    VISION_ENCODER,
    ModelInputs,
    fixed_sizes,
)
from perceptiondlm_ros.model.graph_spec import TensorSpec
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import look_every
from perceptiondlm_ros.runtime.feeds import (
    Feed,
    all_rows,
    caption_rows_alone,
    vision_feed,
)
from perceptiondlm_ros.runtime.tensorrt.blocks import Blocks, DeviceTensor
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu
from perceptiondlm_ros.runtime.tensorrt.program import Program


@dataclass(frozen=True)
class Engines:
    """The two engines of an exported model.

    Attributes:
        trt: the module, see `products`.
        log: see `tensorrt_log`.
        vision_encoder: with one profile.
        denoiser: with two profiles: all rows, and caption rows after them.
    """

    trt: Any
    log: Any
    vision_encoder: Any
    denoiser: Any


class Workspace:
    """A stream, memory and execution contexts, for one pass at a time.

    The scratch memory of the contexts is common, since they never run at the same time.
    """

    def __init__(self, engines: Engines, device: Gpu) -> None:
        device.activate()
        self.device, self.blocks = device, Blocks(device)
        self.vision = self._program(engines, engines.vision_encoder, 0, "vision", record=False)
        self.parts = {
            part: self._program(engines, engines.denoiser, profile, part, record=True)
            for profile, part in enumerate(("prefill", "step"))
        }

    def close(self) -> None:
        """Give everything back to the device."""
        self.device.activate()
        self.device.synchronize()
        del self.vision, self.parts
        self.blocks.free()
        self.device.close()

    def _program(
        self, engines: Engines, engine: Any, profile: int, part: str, *, record: bool
    ) -> Program:
        kept = tuple(f"{t.name}_" for t in DENOISER.results if t.each_layer)

        def place(name: str) -> str:
            # Keys and values of the first step are read by the later ones, so they lie apart.
            return f"{part} {name}" if name.startswith(kept) else name

        return Program(
            engines.trt, engines.log, engine, profile,
            device=self.device, blocks=self.blocks, place=place, record=record,
        )  # fmt: skip


class TensorRTSession:
    """One image, encoded once; see `backend.Session`."""

    def __init__(
        self,
        workspace: Workspace,
        inputs: ModelInputs,
        config: ModelConfig,
        cache: CacheMode,
        state: Feed,
    ) -> None:
        self._workspace, self._inputs, self._config, self._cache = workspace, inputs, config, cache
        workspace.device.activate()
        self._visual_rows = self._encode()
        self.steps = state["schedule"].shape[1]
        self.look_every = look_every(state["threshold"].item(), "cuda")
        self._state = {name: workspace.blocks.put(name, array) for name, array in state.items()}
        self._outputs: dict[str, DeviceTensor] = {}
        self._program: Program | None = None
        self._done = 0

    def step(self) -> None:
        if self._done == self.steps:
            raise BackendError(f"all {self.steps} steps were run; start another pass")
        self._workspace.device.activate()
        if self._done == 0:
            self._program = self._prefill()
        elif self._done == 1 and self._cache == "prefix":
            self._program = self._later()
        if self._program is None:
            raise BackendError("the first step failed; start another pass")
        self._program.launch()
        self._done += 1

    def state(self) -> DenoisingState:
        if self._done == 0:
            raise BackendError("no denoising step was run yet, expected one before the state")
        device = self._workspace.device
        device.activate()
        found = {
            t.name: np.empty(self._outputs[t.name].shape, t.dtype)
            for t in DENOISER.outputs
            if t.name in SEEN
        }
        for name, array in found.items():
            device.download(self._outputs[name].buffer, array)
        device.synchronize()
        return DenoisingState.of(found, self._inputs.layout)

    def _encode(self) -> DeviceTensor:
        """Launch the vision encoder."""
        program, blocks = self._workspace.vision, self._workspace.blocks
        feed = vision_feed(self._inputs)
        outputs = program.bind({name: blocks.put(name, array) for name, array in feed.items()})
        program.launch()
        (visual,) = VISION_ENCODER.results
        return outputs[visual.name]

    def _prefill(self) -> Program:
        """All rows, after one column that nobody sees."""
        layers = self._config.language.num_hidden_layers
        past = {t: self._zeros(t, past=1) for t in DENOISER.of("past")}
        cache = {name: zeros for tensor, zeros in past.items() for name in tensor.names(layers)}
        rows = all_rows(self._inputs, self._config, past=1)
        return self._bind("prefill", rows, self._visual_rows, cache)

    def _later(self) -> Program:
        """The caption rows, after what the first step left where it is."""
        layers = self._config.language.num_hidden_layers
        names = [name for tensor in DENOISER.of("past") for name in tensor.names(layers)]
        cache = {name: self._outputs[name.removeprefix("past_")] for name in names}
        rows = caption_rows_alone(self._inputs, self._config, past=self._inputs.layout.length)
        (visual,) = DENOISER.of("visual")
        return self._bind("step", rows, self._zeros(visual, visual_rows=1), cache)

    def _bind(
        self,
        part: str,
        rows: Feed,
        visual_rows: DeviceTensor,
        cache: dict[str, DeviceTensor],
    ) -> Program:
        blocks, program = self._workspace.blocks, self._workspace.parts[part]
        # Rows of the two programs lie apart, so that what was recorded of one stays valid.
        fed = {name: blocks.put(f"{part} {name}", array) for name, array in rows.items()}
        visual = {tensor.name: visual_rows for tensor in DENOISER.of("visual")}
        self._outputs = program.bind({**fed, **visual, **cache, **self._state})
        state = [tensor.name for tensor in DENOISER.of("state")]
        program.copy_after([(self._state[name], self._outputs[f"new_{name}"]) for name in state])
        return program

    def _zeros(self, tensor: TensorSpec, **sizes: int) -> DeviceTensor:
        """Zeros of the model's type for each group; nothing ever writes to them. The block is large
        enough for all that ask, so that it stays where it is."""
        groups, blocks = len(self._inputs.regions), self._workspace.blocks
        fixed, dtype = fixed_sizes(self._config), self._visual_rows.dtype
        blocks.tensor("zeros", (groups, fixed["width"]), dtype)
        return blocks.tensor("zeros", tensor.shape({**fixed, "groups": groups, **sizes}), dtype)
