"""An exported tiny model and passes through it, on stand-ins of TensorRT and on ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from exported_models import exported, tiny
from tensorrt_stand_in.cuda_runtime import CudaRuntime
from tensorrt_stand_in.gpu import FakeGpu
from tensorrt_stand_in.plans import place_engines
from tiny_checkpoint import picture, rectangles, tiny_tokenizer

from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.onnx_backend import Graphs, OnnxBackend
from perceptiondlm_ros.runtime.onnx_devices import OnnxDevice
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend

HEIGHT, WIDTH, STEPS = 60, 80, 6
MASKS = [Region.of_mask(mask) for mask in rectangles(HEIGHT, WIDTH, 7)]
CACHES: tuple[CacheMode, ...] = ("exact", "prefix")


def exported_tiny() -> Path:
    """The export, which nobody may change."""
    return exported(tiny())


@cache
def on_onnx_runtime() -> OnnxBackend:
    """The export in ONNX Runtime, with the graphs that TensorRT takes."""
    manifest, config = open_exported(exported_tiny())
    plain = {name: replace(graph, cpu_file=None) for name, graph in manifest.graphs.items()}
    portable = replace(manifest, graphs=plain)
    graphs = Graphs.open(exported_tiny(), portable, OnnxDevice.resolve("cpu"))
    return OnnxBackend(config, graphs, "")


class OnStandIn:
    """Loads folders on stand-ins of TensorRT and of cuda-python."""

    def __init__(self, trt: ModuleType, gpu: FakeGpu) -> None:
        self.trt, self.cuda = trt, CudaRuntime(gpu)

    def __call__(self, folder: Path | None = None, **options: Any) -> TensorRTBackend:
        folder, gpu = folder or exported_tiny(), CudaGpu(self.cuda, 0)
        place_engines(folder, self.trt, gpu)
        return TensorRTBackend.load(folder, gpu, trt=self.trt, **options)


def inputs(
    backend: TensorRTBackend, groups: list[list[np.ndarray]], width: int = WIDTH, **options: Any
) -> ModelInputs:
    """Of noise, padded to the backend's buckets."""
    return prepare_inputs(
        picture(HEIGHT, width),
        groups,
        config=backend.config,
        tokenizer=tiny_tokenizer(),
        prompt=options.get("prompt", "what?"),
        caption_tokens=options.get("caption_tokens", 6),
        buckets=backend.buckets,
    )


def run(backend: TensorRTBackend | OnnxBackend, of: ModelInputs, mode: CacheMode) -> DenoisingState:
    """A whole pass."""
    return denoise(backend.start(of, mode, STEPS))


def assert_same(actual: DenoisingState, expected: DenoisingState) -> None:
    """To the last bit: both compute with the same library."""
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(actual, name), array, err_msg=name)
