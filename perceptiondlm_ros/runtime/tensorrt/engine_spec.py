"""What engines are built from, where they are kept, and what they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.runtime.tensorrt.products import Target
from perceptiondlm_ros.runtime.tensorrt.profiles import (
    Profile,
    Sizes,
    denoiser_profiles,
    vision_profiles,
)

ENGINES_VARIABLE = "PERCEPTIONDLM_ENGINES"
_BUILDER = 1
"""To be counted up when `build` sets other options, so that older engines are built anew."""
_PROFILES = {"vision_encoder": vision_profiles, "denoiser": denoiser_profiles}


@dataclass(frozen=True)
class EngineKey:
    """Everything that decides whether an engine can be used: a change in any of it makes another
    engine."""

    graph: str
    model: str
    precision: str
    profiles: str
    tensorrt: str
    cuda: str
    gpu: str
    compute: str
    builder: int = _BUILDER

    @property
    def target(self) -> Target:
        return Target(self.tensorrt, self.cuda, self.gpu, self.compute)

    @property
    def stem(self) -> str:
        """Name of the engine's files, without their ending."""
        return f"{self.graph}-{_sha256(json.dumps(asdict(self), sort_keys=True))[:16]}"


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is built from.

    Attributes:
        name: the graph's: `vision_encoder` or `denoiser`.
        onnx: its file; large weights lie beside it.
        digest: of the graph and its weights.
        weight_bytes: of the graph and its weights.
        precision: `fp32`, `fp16` or `bf16`; the graph is typed so.
        profiles: optimisation profiles.
    """

    name: str
    onnx: Path
    digest: str
    weight_bytes: int
    precision: str
    profiles: tuple[Profile, ...]

    def key(self, target: Target) -> EngineKey:
        """The key of its engine for a target."""
        return EngineKey(
            graph=self.name,
            model=self.digest,
            precision=self.precision,
            profiles=_sha256(json.dumps(self.profiles, sort_keys=True)),
            **asdict(target),
        )


def own_engines(folder: Path) -> Path:
    """Where an exported folder has engines of its own, such as those compiled ahead of time."""
    return folder / "engines"


def engines_folder(folder: Path) -> Path:
    """Where the engines that are built here are kept: with its own, unless the environment names
    another place."""
    elsewhere = os.environ.get(ENGINES_VARIABLE)
    return Path(elsewhere).expanduser() if elsewhere else own_engines(folder)


def engine_specs(folder: Path, manifest: Manifest, config: ModelConfig) -> dict[str, EngineSpec]:
    """What to build for each graph.

    Raises:
        BackendError: the export has no graph that TensorRT takes.
    """
    sizes = Sizes(config, manifest.buckets, manifest.caption_tokens)
    return {
        name: EngineSpec(
            name=name,
            onnx=folder / _file_of(name, manifest),
            digest=_digest(name, manifest),
            weight_bytes=sum(manifest.files[file].bytes for file in _files(name, manifest)),
            precision=manifest.precision,
            profiles=profiles(sizes),
        )
        for name, profiles in _PROFILES.items()
    }


def verify_graphs(folder: Path, manifest: Manifest) -> None:
    """Hold the files that engines are built from against the manifest.

    Raises:
        CheckpointError: one is missing or is not the one that was exported.
    """
    names = {file for name in _PROFILES for file in _files(name, manifest)}
    replace(manifest, files={name: manifest.files[name] for name in names}).verify(folder)


def _file_of(name: str, manifest: Manifest) -> str:
    file = manifest.graphs[name].file
    if file is None:
        raise BackendError(
            f"this model was exported with precision {manifest.precision}, which runs on CPUs "
            "alone; export it again with --precision fp32, fp16 or bf16 for TensorRT"
        )
    return file


def _files(name: str, manifest: Manifest) -> list[str]:
    """The graph's file and its weights."""
    file = _file_of(name, manifest)
    return sorted(other for other in manifest.files if other in (file, f"{file}.data"))


def _digest(name: str, manifest: Manifest) -> str:
    return _sha256(" ".join(manifest.files[file].sha256 for file in _files(name, manifest)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
