"""What the stand-in's builder half does: read an ONNX file, check profiles, write a plan.

A plan names the ONNX file and what it was built with; nothing is compiled. Precisions other than
fp32 can be built and not run.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
from tensorrt_stand_in.api import make, state
from tensorrt_stand_in.gpu import FakeGpu
from tensorrt_stand_in.symbols import sizes_of

MAGIC = b"stand-in plan\0"
_DTYPES = {
    onnx.TensorProto.FLOAT: "FLOAT",
    onnx.TensorProto.FLOAT16: "HALF",
    onnx.TensorProto.BFLOAT16: "BF16",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.BOOL: "BOOL",
}


@dataclass
class Script:
    """What a test wants to happen, and what it wants to know.

    Attributes:
        gpu: the device.
        failure: what a build fails with; None lets it succeed.
        during_build: called in the middle of each build.
        refuse_capture: whether contexts can't be captured in a graph.
        builds: plans that were made, as settings.
    """

    gpu: FakeGpu = field(default_factory=FakeGpu)
    failure: str | None = None
    during_build: Callable[[], None] = lambda: None
    refuse_capture: bool = False
    builds: list[dict[str, Any]] = field(default_factory=list)


def building(trt: ModuleType, script: Script) -> dict[str, type]:
    """Behaviours of the classes that build."""
    flag = trt_flag(trt)

    class Builder:
        def init(self, logger: Any) -> None:
            state(self).log = logger

        def create_network(self, flags: int = 0) -> Any:
            typed = bool(flags & flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"))
            version = int(trt.__version__.partition(".")[0])
            return make(
                trt.INetworkDefinition, strongly_typed=typed or version >= 11, model=None, log=None
            )

        def create_builder_config(self) -> Any:
            return make(
                trt.IBuilderConfig, profiles=[], flags={"TF32"}, features=set(), limits={},
                cache=None, progress_monitor=None,
            )  # fmt: skip

        def create_optimization_profile(self) -> Any:
            return make(trt.IOptimizationProfile, shapes={})

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            return _build(trt, script, state(self).log, state(network), state(config))

    class OnnxParser:
        def init(self, network: Any, logger: Any) -> None:
            vars(state(self)).update(network=network, errors=[])

        def parse_from_file(self, model: str) -> bool:
            return _parse(trt, state(self), model)

        def num_errors(self) -> int:
            return len(state(self).errors)

        def get_error(self, index: int) -> Any:
            return state(self).errors[index]

    class ParserError:
        def desc(self) -> str:
            return state(self).text

        def node_operator(self) -> str:
            return ""

    class INetworkDefinition:
        def num_inputs(self) -> int:
            return len(state(self).model["inputs"])

        def get_input(self, index: int) -> Any:
            name = list(state(self).model["inputs"])[index]
            return make(trt.ITensor, name=name, tensor=state(self).model["inputs"][name])

    class ITensor:
        def shape(self) -> Any:
            sizes = [size if isinstance(size, int) else -1 for size in state(self).tensor["shape"]]
            return make(trt.Dims, sizes=tuple(sizes))

    class IOptimizationProfile:
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002
            state(self).shapes[input] = [tuple(min), tuple(opt), tuple(max)]

    return {
        **{cls.__name__: cls for cls in (Builder, OnnxParser, ParserError, INetworkDefinition)},
        **{cls.__name__: cls for cls in (ITensor, IOptimizationProfile)},
        "IBuilderConfig": _config(trt),
        "ITimingCache": _timing_cache(trt),
    }


def _config(trt: ModuleType) -> type:
    class IBuilderConfig:
        def add_optimization_profile(self, profile: Any) -> int:
            for least, usual, most in state(profile).shapes.values():
                ordered = all(0 <= a <= b <= c for a, b, c in zip(least, usual, most, strict=True))
                if not ordered:
                    return -1
            state(self).profiles.append(state(profile).shapes)
            return len(state(self).profiles) - 1

        def clear_flag(self, flag: Any) -> None:
            state(self).flags.discard(flag.name)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            assert pool_size > 0
            state(self).limits[pool.name] = pool_size

        def set_preview_feature(self, feature: Any, enable: bool) -> None:
            state(self).features.add(feature.name)

        def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
            content = bytes(memoryview(serialized_timing_cache))
            return make(trt.ITimingCache, content=content, fits=content in (b"", b"timings"))

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            if state(cache).fits:
                state(self).cache = cache
            return state(cache).fits

        def get_timing_cache(self) -> Any:
            return state(self).cache

    return IBuilderConfig


def _timing_cache(trt: ModuleType) -> type:
    class ITimingCache:
        def serialize(self) -> Any:
            return make(trt.IHostMemory, b"timings")

    return ITimingCache


def trt_flag(trt: ModuleType) -> Callable[[str, str], int]:
    """The bit of a member of an enumeration."""
    return lambda enumeration, name: 1 << int(getattr(trt, enumeration)[name])


def pack(settings: dict[str, Any]) -> bytes:
    """A plan."""
    content = json.dumps(settings).encode()
    return MAGIC + zlib.crc32(content).to_bytes(4, "big") + content


def unpack(plan: bytes) -> dict[str, Any] | None:
    """Its settings; None where it is damaged."""
    if not plan.startswith(MAGIC):
        return None
    content = plan[len(MAGIC) + 4 :]
    if zlib.crc32(content) != int.from_bytes(plan[len(MAGIC) : len(MAGIC) + 4], "big"):
        return None
    settings: dict[str, Any] = json.loads(content)
    return settings


def _parse(trt: ModuleType, parser: Any, path: str) -> bool:
    try:
        model = onnx.load(path, load_external_data=False)
        read = {"inputs": _tensors(model.graph.input), "outputs": _tensors(model.graph.output)}
    except Exception as error:  # noqa: BLE001 (the real one takes any file and says no)
        parser.errors.append(make(trt.ParserError, text=f"{type(error).__name__}: {error}"))
        return False
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    state(parser.network).model = {**read, "onnx": path, "sha256": digest}
    return True


def _tensors(values: Any) -> dict[str, dict[str, Any]]:
    return {
        value.name: {
            "dtype": _DTYPES[value.type.tensor_type.elem_type],
            "shape": [
                dim.dim_value if dim.HasField("dim_value") else dim.dim_param
                for dim in value.type.tensor_type.shape.dim
            ],
        }
        for value in values
    }


def _build(trt: ModuleType, script: Script, log: Any, network: Any, config: Any) -> Any:
    problem = script.failure or _problem(network.model, config.profiles)
    if problem is None and not network.strongly_typed:
        problem = "the stand-in builds strongly typed networks only"
    if problem is None and not _run_phases(script, config.progress_monitor):
        problem = "the build was cancelled by the progress monitor"
    if problem is not None:
        log.log(trt.ILogger.Severity.ERROR, problem)
        return None
    settings = {
        **network.model,
        "version": trt.__version__,
        "gpu": script.gpu.name,
        "compute": list(script.gpu.compute),
        "profiles": config.profiles,
        "flags": sorted(config.flags),
        "features": sorted(config.features),
        "limits": config.limits,
        "timings": bool(config.cache and state(config.cache).content),
    }
    script.builds.append(settings)
    return make(trt.IHostMemory, pack(settings))


def _problem(model: dict[str, Any], profiles: list[dict[str, Any]]) -> str | None:
    for name, tensor in model["inputs"].items():
        dynamic = any(not isinstance(size, int) for size in tensor["shape"])
        if dynamic and not profiles:
            return f"{name} is dynamic and there is no optimisation profile"
        for profile in profiles:
            if dynamic and name not in profile:
                return f"{name} is dynamic and has no range in a profile"
            for shape in profile.get(name, []):
                if not _matches(shape, tensor["shape"]):
                    return f"{shape} of a profile is no shape of {name}: {tensor['shape']}"
    for profile in profiles:
        for index in range(3):
            try:
                sizes_of(model["inputs"], {name: shapes[index] for name, shapes in profile.items()})
            except ValueError as error:
                return f"a profile does not fit together: {error}"
    return None


def _matches(shape: list[int], expected: list[int | str]) -> bool:
    return len(shape) == len(expected) and all(
        not isinstance(e, int) or s == e for s, e in zip(shape, expected, strict=True)
    )


def _run_phases(script: Script, monitor: Any) -> bool:
    steps = 4
    if monitor is not None:
        monitor.phase_start("Building Engine", None, steps)
    script.during_build()
    for step in range(steps):
        if monitor is not None and not monitor.step_complete("Building Engine", step):
            return False
    if monitor is not None:
        monitor.phase_finish("Building Engine")
    return True
