"""One pass through the two engines, on memory that stays from pass to pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.feeds import (
    RowsFeed,
    caption_rows,
    first_state,
    vision_feed,
    whole_rows,
)
from perceptiondlm_ros.runtime.tensorrt.blocks import Blocks, DeviceTensor
from perceptiondlm_ros.runtime.tensorrt.gpu import Gpu
from perceptiondlm_ros.runtime.tensorrt.program import Program

_STATE = ("caption_ids", "masked", "confidence", "step")
"""What a step gives to the next one, where it is called `new_...`."""

_SEEN = {
    "new_caption_ids": np.int64,
    "new_masked": np.bool_,
    "new_confidence": np.float32,
    "best_ids": np.int64,
    "best_confidence": np.float32,
}
"""The outputs that are a `DenoisingState`, in its order."""


@dataclass(frozen=True)
class Engines:
    """The two engines of an exported model.

    Attributes:
        trt: the module `tensorrt`.
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
        def place(name: str) -> str:
            # Keys and values of the first step are read by the later ones, so they lie apart.
            return f"{part} {name}" if name.startswith(("keys_", "values_")) else name

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
        steps: int,
    ) -> None:
        self._workspace, self._inputs, self._config, self._cache = workspace, inputs, config, cache
        layout = inputs.layout
        self._shape = (len(inputs.regions), layout.slots, layout.caption_tokens)
        workspace.device.activate()
        self._visual_rows = self._encode()
        feed = first_state(inputs, steps)
        self.steps = feed.schedule.shape[1]
        self._state = {name: workspace.blocks.put(name, a) for name, a in vars(feed).items()}
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
        found: dict[str, np.ndarray] = {}
        for name, dtype in _SEEN.items():
            found[name] = np.empty(self._shape, dtype=dtype)
            device.download(self._outputs[name].buffer, found[name])
        device.synchronize()
        return DenoisingState(*found.values())

    def _encode(self) -> DeviceTensor:
        """Launch the vision encoder."""
        program, blocks = self._workspace.vision, self._workspace.blocks
        feed = vars(vision_feed(self._inputs))
        rows = program.bind({name: blocks.put(name, array) for name, array in feed.items()})
        program.launch()
        return rows["visual_rows"]

    def _prefill(self) -> Program:
        """All rows, after one column that nobody sees."""
        language = self._config.language
        past = self._zeros(language.num_key_value_heads, 1, language.head_dim)
        layers = range(language.num_hidden_layers)
        cache = {f"past_{kind}_{y}": past for kind in ("keys", "values") for y in layers}
        rows = whole_rows(self._inputs, self._config, past=1)
        return self._bind("prefill", rows, self._visual_rows, cache)

    def _later(self) -> Program:
        """The caption rows, after what the first step left where it is."""
        cache = {
            f"past_{name}": tensor
            for name, tensor in self._outputs.items()
            if name.startswith(("keys_", "values_"))
        }
        rows = caption_rows(self._inputs, self._config, past=self._inputs.layout.length)
        unused = self._zeros(1, self._config.language.hidden_size)
        return self._bind("step", rows, unused, cache)

    def _bind(
        self,
        part: str,
        rows: RowsFeed,
        visual_rows: DeviceTensor,
        cache: dict[str, DeviceTensor],
    ) -> Program:
        blocks, program = self._workspace.blocks, self._workspace.parts[part]
        # Rows of the two programs lie apart, so that what was recorded of one stays valid.
        fed = {name: blocks.put(f"{part} {name}", a) for name, a in vars(rows).items()}
        self._outputs = program.bind({**fed, "visual_rows": visual_rows, **cache, **self._state})
        program.copy_after([(self._state[n], self._outputs[f"new_{n}"]) for n in _STATE])
        return program

    def _zeros(self, *shape: int) -> DeviceTensor:
        """Zeros of the model's type for each group; nothing ever writes to them. The block is large
        enough for all that ask, so that it stays where it is."""
        groups, blocks = len(self._inputs.regions), self._workspace.blocks
        language, dtype = self._config.language, self._visual_rows.dtype
        blocks.tensor("zeros", (groups, language.hidden_size), dtype)
        return blocks.tensor("zeros", (groups, *shape), dtype)
