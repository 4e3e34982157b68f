"""One engine from one ONNX file: the part that talks to TensorRT, 10.3 to 11 or for RTX.

The network is strongly typed: every tensor keeps the type that it has in the file. TensorRT 11
knows nothing else, and 10 takes the same with a flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.build_progress import (
    BuildClock,
    progress_monitor,
    signals_noted,
)
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.products import (
    Target,
    configure,
    network_flags,
    times_kernels,
    title,
)
from perceptiondlm_ros.runtime.tensorrt.profiles import Profile
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import failure, reasons

_WORKSPACE = 256 * 2**20
"""Bytes of scratch memory that any device can spare while kernels are tried."""


@dataclass(frozen=True)
class Built:
    """What came out; `timings` is the timing cache for the next build, if any."""

    plan: memoryview
    timings: bytes


def build(
    trt: Any,
    log: Any,
    spec: EngineSpec,
    target: Target,
    *,
    timings: bytes,
    free: int,
    clock: BuildClock,
) -> Built:
    """Compile a graph.

    Args:
        trt: the module, see `products`.
        target: what for.
        log: see `tensorrt_log`.
        timings: a timing cache from an earlier build, or nothing.
        free: bytes of memory that the build can have.
        clock: told of phases.

    Raises:
        BackendError: TensorRT can't parse or build the graph.
    """
    builder = trt.Builder(log)
    network = builder.create_network(network_flags(trt))
    with signals_noted() as noted:
        _parse(trt, log, network, spec)
        config = builder.create_builder_config()
        _configure(trt, config, spec, free)
        configure(trt, config, target)
        for profile in spec.profiles:
            _add_profile(builder, config, network, profile, spec)
        cache = _timing_cache(config, timings) if times_kernels(trt) else None
        config.progress_monitor = monitor = progress_monitor(trt, clock, noted)
        with clock.ticking():
            plan = None if noted else builder.build_serialized_network(network, config)
    if monitor.failure is not None:
        raise monitor.failure
    if plan is None:
        raise failure(
            why := reasons(log),
            f"{title(trt)} can't build {spec.onnx} for compute {target.compute}: {why}; if it ran "
            "out of memory, close other programs; else export again with this version of the "
            "package",
        )
    timings = b"" if cache is None else bytes(memoryview(cache.serialize()))
    return Built(memoryview(plan), timings)


def _parse(trt: Any, log: Any, network: Any, spec: EngineSpec) -> None:
    if not spec.onnx.is_file():
        raise BackendError(f"{spec.onnx} does not exist; export the checkpoint again")
    parser = trt.OnnxParser(network, log)
    # From the file and not from memory: external weights lie beside it.
    if parser.parse_from_file(str(spec.onnx)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    details = "; ".join(f"{error.node_operator()}: {error.desc()}" for error in errors[:3])
    raise BackendError(
        f"{title(trt)} can't parse {spec.onnx} ({details or reasons(log)}); "
        "export the checkpoint again with this version of the package"
    )


def _configure(trt: Any, config: Any, spec: EngineSpec, free: int) -> None:
    workspace = max(_WORKSPACE, free - 2 * spec.weight_bytes)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if spec.precision == "fp32":
        # Else products are rounded to ten bits, and tokens are not those of fp32.
        config.clear_flag(trt.BuilderFlag.TF32)


def _add_profile(
    builder: Any, config: Any, network: Any, ranges: Profile, spec: EngineSpec
) -> None:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor.name not in ranges or len(ranges[tensor.name][0]) != len(tensor.shape):
            raise BackendError(
                f"{spec.onnx} has an input {tensor.name} of {len(tensor.shape)} axes that this "
                "version of the package doesn't know; export the checkpoint again"
            )
        least, usual, most = ranges[tensor.name]
        profile.set_shape(tensor.name, least, usual, most)
    if config.add_optimization_profile(profile) < 0:
        raise BackendError(f"TensorRT refuses the ranges of shapes of {spec.onnx}; report a bug")


def _timing_cache(config: Any, timings: bytes) -> Any:
    """The earlier timings where they are of use, else an empty cache."""
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return config.get_timing_cache() or cache
