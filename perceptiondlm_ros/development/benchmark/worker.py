"""The process that measures, run by the Python of each side of a comparison.

It imports what every version of the package has, and nothing from beside it. A request is a line of
JSON on standard input with the name of a method of `Worker`; what that returns is the answer, a
line on standard output. It ends at once when nobody can ask any more, also in the midst of a call.
"""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

STAGES = ("preprocessing", "vision", "prefill", "step", "total")
FEW_STEPS = 2
"""The first step and one of the others: all kernels have run once, all memory is there."""

_THREADS = "perceptiondlm_ros.runtime.compute_threads"
_CUDA_PYTHON = ("cuda.bindings.runtime", "cuda.cudart")
"""Modules of cuda-python, by its new and its old name."""


class Stages:
    """Times the stages of a call from outside: the model and the denoising loop know nothing of it.

    It waits for the device only after the encoding, after the first step and at the end, so later
    steps run as they do without it.

    Attributes:
        positions: length of the sequence.
        groups: groups of regions.
        steps: denoising steps.
    """

    def __init__(self, backend: Any) -> None:
        self._start, backend.start = backend.start, self._timed_start
        self.begin()

    def begin(self) -> None:
        """Forget the last call; the time of a new one runs from here."""
        self.positions = self.groups = self.steps = self._later_steps = 0
        self._seconds: dict[str, float] = defaultdict(float)
        self._since = time.perf_counter()

    def end(self, stage: str) -> None:
        """Count the time since the last stage ended, or since the call, for this one."""
        now = time.perf_counter()
        self._seconds[stage] += now - self._since
        self._since = now

    def seconds(self) -> dict[str, float]:
        """Time of each stage: `step` is one step, the first one excluded, and 0 if there is no
        other; what is missing from the total is decoding.
        """
        total = sum(self._seconds.values())
        step = self._seconds["step"] / max(self._later_steps, 1) if self._later_steps else 0.0
        return {stage: self._seconds[stage] for stage in STAGES} | {"step": step, "total": total}

    def _timed_start(self, inputs: Any, *options: Any) -> Any:
        self.end("preprocessing")
        session = self._start(inputs, *options)
        wait_for_device()
        self.end("vision")
        self.positions, self.groups = inputs.layout.length, self.groups + len(inputs.regions)
        step, state = session.step, session.state

        def later_step() -> None:
            step()
            self.steps += 1
            self._later_steps += 1

        def first_step() -> None:
            step()
            self.steps += 1
            wait_for_device()
            self.end("prefill")
            session.step = later_step

        def timed_state() -> Any:
            reached = state()
            self.end("step")
            return reached

        session.step, session.state = first_step, timed_state
        return session


class Worker:
    """A model that is measured in this process; each public method answers a request."""

    def load(
        self,
        model: str | None,
        backend: str = "auto",
        device: str = "auto",
        steps: int | None = None,
        cache: str = "auto",
        dtype: str = "",
    ) -> dict[str, Any]:
        """Load a model: folder, None for the packaged one. dtype: of torch, "" is its own choice.

        Returns what it is, and the seconds that it took, libraries included.
        """
        began = time.perf_counter()
        if find_spec(_THREADS):  # older versions have none
            import_module(_THREADS).sleep_while_waiting()  # as the node and the command do
        from perceptiondlm_ros.captioner import Captioner
        from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

        if dtype:
            import torch

            from perceptiondlm_ros.model.config import ModelConfig
            from perceptiondlm_ros.runtime.torch_backend import TorchBackend

            folder = Path(str(model))
            config = ModelConfig.from_folder(folder)
            loaded = TorchBackend.load(folder, config, device, getattr(torch, dtype))
            tokenizer = CaptionTokenizer(folder, config.slots)
            self._captioner = Captioner(loaded, tokenizer, name="", steps=steps, cache=cache)
        else:
            self._captioner = Captioner.load(model, backend, device, steps=steps, cache=cache)
        self._backend: Any = self._captioner._backend
        few = min(FEW_STEPS, self._captioner._steps)
        self._few_steps = Captioner(
            self._backend, self._captioner._tokenizer, name="", steps=few, cache=cache
        )
        seconds = time.perf_counter() - began
        self._stages = Stages(self._backend)
        return {"description": self._captioner.description, "seconds": seconds}

    def describe(
        self, width: int, height: int, regions: int, masks: bool = False, few_steps: bool = False
    ) -> dict[str, Any]:
        """Caption regions of an image: seconds by stage, of the processor, and what came of it.

        masks: whether regions are masks instead of boxes. few_steps: how a model is warmed up.
        """
        image, given = noise_image(width, height), random_regions(regions, width, height, masks)
        captioner = self._few_steps if few_steps else self._captioner
        processor = time.process_time()
        self._stages.begin()
        captions = captioner.describe(image, given)
        self._stages.end("decoding")
        tokens = np.array([caption.token_ids for caption in captions], dtype=np.int64)
        return {
            **self._stages.seconds(),
            "processor": time.process_time() - processor,
            "positions": self._stages.positions,
            "groups": self._stages.groups,
            "steps": self._stages.steps,
            "tokens": tokens.size,
            "digest": f"{crc32(tokens.tobytes()):08x}",
            "memory": peak_memory(),
        }

    def prepare(
        self, width: int, height: int, regions: int, masks: bool = False
    ) -> dict[str, float]:
        """Prepare a call up to where its backend starts: seconds, and those of the processor."""
        image, given = noise_image(width, height), random_regions(regions, width, height, masks)
        began, processor = time.perf_counter(), time.process_time()
        start, self._backend.start = self._backend.start, _end_here
        try:
            self._captioner.describe(image, given)
        except _PreparedError:
            ended, processed = time.perf_counter(), time.process_time()
            return {"total": ended - began, "processor": processed - processor}
        finally:
            self._backend.start = start
        raise AssertionError("describe came to an end without its backend")

    def export(self, checkpoint: str, output: str, precision: str) -> None:
        """Export a checkpoint into a new folder."""
        from perceptiondlm_ros.export.exporter import ExportOptions, export

        options = ExportOptions(precision=precision)
        export(Path(checkpoint), Path(output), options, name=Path(checkpoint).name)

    def packaged(self) -> str:
        """The folder of the packaged checkpoint."""
        from perceptiondlm_ros.runtime.locate import locate_checkpoint

        return str(locate_checkpoint(None))

    def compute(self) -> None:
        """Keep a core busy until the end of this process."""
        threading.Thread(target=_multiply_forever, daemon=True).start()


class _PreparedError(Exception):
    """Says that all is prepared."""


def _end_here(*_: object) -> None:
    raise _PreparedError


def _multiply_forever() -> None:
    matrix = np.ones((256, 256), dtype=np.float32)
    while True:
        matrix @ matrix


def noise_image(width: int, height: int) -> NDArray[np.uint8]:
    """Noise, the same on every machine, uint8 [H, W, 3]."""
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def random_regions(count: int, width: int, height: int, masks: bool = False) -> list[Any]:
    """Boxes of a fifth to a half of each side, anywhere in the image, overlaps included, the same
    on every machine; or masks of their pixels, bool [H, W]."""
    rng = np.random.default_rng(count)
    sides = rng.uniform(0.2, 0.5, (count, 2))
    corners = rng.uniform(0.0, 1.0 - sides)
    scale = np.array([width, height, width, height])
    boxes = (np.concatenate((corners, corners + sides), axis=1) * scale).tolist()
    if not masks:
        return [tuple(box) for box in boxes]
    y, x = np.mgrid[0:height, 0:width]
    return [(x >= x0) & (x < x1) & (y >= y0) & (y < y1) for x0, y0, x1, y1 in boxes]


def wait_for_device() -> None:
    """Return when the CUDA device that this process uses has done all that was launched."""
    torch, cuda = _device_libraries()
    if torch:
        torch.cuda.synchronize()
    elif cuda:
        cuda.cudaDeviceSynchronize()


def peak_memory() -> dict[str, int]:
    """Most bytes that this process has held: `host`, and `device` where it uses one through torch
    or cuda-python.

    A device's memory is what all processes hold of it at present, since each library has an
    allocator of its own; none gives back what it once took.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else "")
    peak = {"host": 1024 * int(found[1])} if found else {}
    torch, cuda = _device_libraries()
    if torch or cuda:
        free, total = torch.cuda.mem_get_info() if torch else cuda.cudaMemGetInfo()[1:]
        peak["device"] = int(total - free)
    return peak


def _device_libraries() -> tuple[Any, Any]:
    """Torch where this process uses a device through it, and cuda-python where it is loaded; they
    are loaded by others, or not at all."""
    torch: Any = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_initialized()
    return torch if used else None, next(filter(None, map(sys.modules.get, _CUDA_PYTHON)), None)


def _requests() -> Iterator[dict[str, Any]]:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # whoever asked is gone

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like
    worker = Worker()
    for request in _requests():
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            if type(error).__module__ != "perceptiondlm_ros.errors":
                raise  # the last line of the log says it
            answer = {"failure": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    del sys.path[0]  # modules beside this file would hide others of their name
    main()
