"""A process that measures one backend with one cache mode, so that peaks of memory don't mix.

It reads requests from its standard input and answers on its standard output, a JSON object a line:
first what it loaded or why it couldn't, then the times of each request.

python -m perceptiondlm_ros.development.benchmark.worker MODEL BACKEND CACHE DEVICE STEPS
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any
from zlib import crc32

import numpy as np

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.benchmark.device import peak_memory, wait_for_device
from perceptiondlm_ros.development.benchmark.scenario import Scenario, boxes, picture
from perceptiondlm_ros.development.benchmark.stopwatch import Laps, TimedBackend
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.loading import load_backend

_FEW_STEPS = 2
"""The first step and one of the others: all kernels have run once, all memory is there."""


class Worker:
    """A loaded model.

    Args:
        folder: a checkpoint or an exported model.
        steps: denoising steps.
    """

    def __init__(self, folder: Path, backend: str, cache: str, device: str, steps: int) -> None:
        self._backend = TimedBackend(load_backend(folder, backend, device), wait_for_device)
        self._config = self._backend.config
        self.description = self._backend.description
        tokenizer = CaptionTokenizer(folder, self._config.slots)
        self._all_steps, self._few_steps = (
            Captioner(self._backend, tokenizer, name=folder.name, steps=count, cache=cache)
            for count in (steps, min(steps, _FEW_STEPS))
        )

    def measure(self, scenario: Scenario, *, few_steps: bool = False) -> dict[str, Any]:
        """Caption once, and tell what it took: `milliseconds` by stage, the `positions` and
        `groups` of the pass, the number of caption `tokens` and a `digest` of them, `memory`.
        """
        image = picture(scenario.tiles, self._config)
        regions = boxes(scenario.regions, image)
        captioner = self._few_steps if few_steps else self._all_steps
        laps = self._backend.laps = Laps()
        laps.called = time.perf_counter()
        captions = captioner.describe(image, regions)
        laps.returned = time.perf_counter()
        tokens = np.array([caption.token_ids for caption in captions], dtype=np.int64)
        return {
            "milliseconds": laps.milliseconds(),
            "positions": laps.positions,
            "groups": laps.groups,
            "tokens": tokens.size,
            "digest": f"{crc32(tokens.tobytes()):08x}",
            "memory": peak_memory(),
        }


def serve(requests: IO[str], answers: IO[str], arguments: Sequence[str]) -> None:
    """Load, then measure a scenario for each line of `requests`."""

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    folder, backend, cache, device, steps = arguments
    try:
        began = time.perf_counter()
        worker = Worker(Path(folder), backend, cache, device, int(steps))
        loading = time.perf_counter() - began
        answer({"description": worker.description, "loading_seconds": loading})
        for line in requests:
            request = json.loads(line)
            scenario = Scenario(request["tiles"], request["regions"])
            answer(worker.measure(scenario, few_steps=request["few_steps"]))
    except PerceptionDLMError as error:
        answer({"error": str(error)})


def main() -> None:
    # Libraries print what they like; only answers may reach whoever reads them.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        serve(sys.stdin, answers, sys.argv[1:])


if __name__ == "__main__":
    main()
