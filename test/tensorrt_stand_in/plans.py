"""Plans that the stand-in runs, put where the package looks for engines; nothing is compiled.

A plan names the ONNX file, its profiles, and what it is for. Only fp32 can be run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from tensorrt_stand_in.gpu import FakeGpu

from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.tensorrt.cuda_gpu import CudaGpu
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec, engine_specs, engines_folder
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.products import Target, targets

_MAGIC = b"stand-in plan\0"
_DTYPES = {"FLOAT": "FLOAT", "FLOAT16": "HALF", "BFLOAT16": "BF16"}


@dataclass
class Script:
    """What a test wants to happen.

    Attributes:
        gpu: the device.
        refuse_capture: whether contexts can't be captured in a graph.
    """

    gpu: FakeGpu = field(default_factory=FakeGpu)
    refuse_capture: bool = False


def place_engines(folder: Path, trt: ModuleType, gpu: CudaGpu) -> None:
    """Store plans of an exported folder that aren't there; what can't be read gets none."""
    with contextlib.suppress(PerceptionDLMError):
        manifest, config = open_exported(folder, graphs=False)
        store, (target, *_) = EngineStore(engines_folder(folder)), targets(trt, gpu.info())
        for spec in engine_specs(folder, manifest, config).values():
            store.folder.mkdir(parents=True, exist_ok=True)
            if store.find(key := spec.key(target)) is None:
                store.add(key, memoryview(pack(spec, target)), 1.0)


def pack(spec: EngineSpec, target: Target) -> bytes:
    """A plan."""
    graph = onnx.load(spec.onnx, load_external_data=False).graph
    settings = {
        "inputs": _tensors(graph.input),
        "outputs": _tensors(graph.output),
        "onnx": str(spec.onnx),
        "sha256": hashlib.sha256(spec.onnx.read_bytes()).hexdigest(),
        "target": [target.tensorrt, target.compute],
        "profiles": spec.profiles,
    }
    content = json.dumps(settings).encode()
    return _MAGIC + zlib.crc32(content).to_bytes(4, "big") + content


def unpack(plan: bytes) -> dict[str, Any] | None:
    """Its settings; None where it is damaged."""
    checksum, content = plan[len(_MAGIC) :][:4], plan[len(_MAGIC) + 4 :]
    if not plan.startswith(_MAGIC) or zlib.crc32(content) != int.from_bytes(checksum, "big"):
        return None
    settings: dict[str, Any] = json.loads(content)
    return settings


def _tensors(values: Any) -> dict[str, dict[str, Any]]:
    kinds = {v.name: onnx.TensorProto.DataType.Name(v.type.tensor_type.elem_type) for v in values}
    return {
        value.name: {
            "dtype": _DTYPES.get(kinds[value.name], kinds[value.name]),
            "shape": [
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param
                for dim in value.type.tensor_type.shape.dim
            ],
        }
        for value in values
    }
