"""What an engine depends on: a change in any of it makes another engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo

_BUILDER = 1
"""To be counted up when `build` sets other options, so that older engines are built anew."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that decides whether an engine can be used."""

    graph: str
    model: str
    precision: str
    profiles: str
    tensorrt: str
    cuda: str
    gpu: str
    compute: str
    builder: int = _BUILDER

    @classmethod
    def of(cls, spec: EngineSpec, gpu: GpuInfo, tensorrt: str) -> EngineKey:
        """The key of an engine of this graph, on this GPU, with this version of TensorRT."""
        return cls(
            graph=spec.name,
            model=spec.digest,
            precision=spec.precision,
            profiles=_digest(json.dumps(spec.profiles, sort_keys=True)),
            tensorrt=tensorrt,
            cuda=gpu.cuda,
            gpu=gpu.name,
            compute="{}.{}".format(*gpu.compute),
        )

    @property
    def stem(self) -> str:
        """Name of the engine's files, without their ending."""
        return f"{self.graph}-{_digest(json.dumps(asdict(self), sort_keys=True))[:16]}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
