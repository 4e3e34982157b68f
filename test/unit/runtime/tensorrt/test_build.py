"""Building with the real TensorRT for RTX, which compiles on any machine: settings, progress,
refusals; and that what the code calls is in every other version, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from tensorrt_stand_in.graphs import save_graph, small_spec
from tensorrt_stand_in.signatures import parse
from tensorrt_stand_in.versions import RTX, VERSIONS, read_api, skip_where_unknown

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt import build as building
from perceptiondlm_ros.runtime.tensorrt import build_progress, products, tensorrt_log
from perceptiondlm_ros.runtime.tensorrt.build import Built, build
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.products import rtx_target
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

FREE = 2**30
PLAN = b"vtrt"


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    return small_spec(tmp_path)


class Watched:
    """The real module, whose builder hands out configs that are kept."""

    def __init__(self, rtx: Any) -> None:
        self.configs: list[Any] = []
        self._rtx, kept = rtx, self.configs

        class Builder(rtx.Builder):  # type: ignore[misc, name-defined]
            def create_builder_config(self) -> Any:
                kept.append(super().create_builder_config())
                return kept[-1]

        self.Builder = Builder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rtx, name)


def built(
    trt: Any,
    spec: EngineSpec,
    compute: tuple[int, int] | None = (8, 9),
    clock: BuildClock | None = None,
) -> Built:
    target, clock = rtx_target(trt, compute), clock or BuildClock(spec.name)
    log = make_log(trt, quiet=True)
    return build(trt, log, spec, target, timings=b"", free=FREE, clock=clock)


@pytest.mark.parametrize("compute", [None, (8, 6), (8, 9), (12, 0)])
def test_a_plan_comes_out_for_every_gpu_that_is_served(
    rtx: Any, spec: EngineSpec, compute: tuple[int, int] | None
) -> None:
    watched = Watched(rtx)
    assert bytes(built(watched, spec, compute).plan).startswith(PLAN)
    (config,) = watched.configs
    wanted = [] if compute is None else ["SM{}{}".format(*compute)]
    chosen = range(config.num_compute_capabilities)
    assert [config.get_compute_capability(index).name for index in chosen] == wanted


def test_profiles_flags_and_scratch_memory_are_set(rtx: Any, spec: EngineSpec) -> None:
    watched = Watched(rtx)
    for precision in ("fp32", "fp16"):
        built(watched, replace(spec, weight_bytes=FREE // 4, precision=precision))
    fp32, fp16 = watched.configs
    assert fp32.num_optimization_profiles == 2
    assert not fp32.get_flag(rtx.BuilderFlag.TF32), "fp32 is not rounded to TF32"
    assert fp16.get_flag(rtx.BuilderFlag.TF32)
    assert fp32.get_flag(rtx.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert fp32.get_memory_pool_limit(rtx.MemoryPoolType.WORKSPACE) == FREE // 2


def test_types_are_those_of_the_file(rtx: Any, tmp_path: Path) -> None:
    """Strongly typed: else a builder might round fp32."""
    path = tmp_path / "double.onnx"
    save_graph(path, onnx.TensorProto.FLOAT16)
    network = rtx.Builder(make_log(rtx)).create_network(products.network_flags(rtx))
    assert rtx.OnnxParser(network, make_log(rtx)).parse_from_file(str(path))
    assert network.get_flag(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert network.get_output(0).dtype == rtx.DataType.HALF


class Config:
    """What the timing cache needs of a config: takes none of another version."""

    def create_timing_cache(self, content: bytes) -> bytes | None:
        return None if content == b"damaged" else content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        if not ignore_mismatch and cache in (b"", b"timings"):
            self.cache = cache
            return True
        return False

    def get_timing_cache(self) -> bytes:
        return self.cache


@pytest.mark.parametrize(
    ("timings", "taken"),
    [(b"timings", b"timings"), (b"of another version", b""), (b"damaged", b""), (b"", b"")],
)
def test_timings_are_taken_where_they_are_of_use(timings: bytes, taken: bytes) -> None:
    """Of TensorRT alone: TensorRT for RTX times nothing."""
    assert (building._timing_cache(Config(), timings) or b"") == taken


def test_a_file_that_is_no_model_is_named_with_the_reason(rtx: Any, spec: EngineSpec) -> None:
    spec.onnx.write_bytes(b"\xff\xff no model")
    with pytest.raises(
        BackendError, match=r"TensorRT for RTX .* can't parse .*double\.onnx \(.+\)"
    ):
        built(rtx, spec)


def test_a_missing_file_is_named(rtx: Any, spec: EngineSpec) -> None:
    spec.onnx.unlink()
    with pytest.raises(BackendError, match=r"double\.onnx does not exist; export"):
        built(rtx, spec)


def test_an_input_that_no_profile_knows_is_named(rtx: Any, spec: EngineSpec) -> None:
    with pytest.raises(BackendError, match="has an input x of 2 axes"):
        built(rtx, replace(spec, profiles=({"other": ((1,), (1,), (1,))},)))


@pytest.mark.parametrize(
    "shapes", [((8, 4), (2, 4), (1, 4)), ((1, 3), (2, 3), (8, 3))], ids=["order", "axis"]
)
def test_ranges_that_do_not_fit_are_refused(
    rtx: Any, spec: EngineSpec, shapes: tuple[tuple[int, ...], ...]
) -> None:
    with pytest.raises(BackendError, match=r"refuses the ranges|can't build .*double\.onnx"):
        built(rtx, replace(spec, profiles=({"x": shapes},)))


REFUSED = {
    "DynamicQuantizeLinear": (
        "(float[rows,4] x) => (float[rows,4] y)",
        "q,s,z = DynamicQuantizeLinear(x) y = DequantizeLinear(q,s,z)",
    ),
    "NonZero": ("(float[rows,4] x) => (int64[2,found] y)", "y = NonZero(x)"),
    "LayerNormalization": (
        "(float[rows,4] x) => (float[rows,4] y, float[rows,1] mean)",
        "s = Constant <value = float[4] {1,1,1,1}> () y,mean = LayerNormalization(x,s)",
    ),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_what_the_parser_refuses_is_named_with_its_operator(
    rtx: Any, spec: EngineSpec, operator: str
) -> None:
    heads, body = REFUSED[operator]
    text = f'<ir_version: 9, opset_import: ["" : 20]> g {heads} {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), spec.onnx)
    with pytest.raises(BackendError, match=rf"can't parse .*\({operator}: "):
        built(rtx, spec)


def test_what_the_builder_refuses_is_named_with_node_type_and_device(
    rtx: Any, spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, body = "(float[rows,4] x) => (float[rows,rows] y)", "t = Transpose(x) y = MatMul(x,t)"
    text = f'<ir_version: 9, opset_import: ["" : 20]> g {heads} {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), spec.onnx)
    monkeypatch.setattr(products, "_OLDEST", (7, 5))
    says = r"can't build .*double\.onnx for compute 7\.5: .*'node_of_y' .*SM75.*FP32 GEMM"
    with pytest.raises(BackendError, match=says):
        built(rtx, spec, (7, 5))


class Recording(BuildClock):
    """Keeps what it is told, and may raise at the first fraction that is as large as a limit."""

    def __init__(self, interrupt_from: float = 2.0) -> None:
        super().__init__("double")
        self.told: list[tuple[str, float | None]] = []
        self._interrupt_from = interrupt_from

    def enter(self, phase: str, fraction: float | None = None) -> None:
        self.told.append((phase, fraction))
        if fraction is not None and fraction >= self._interrupt_from:
            raise KeyboardInterrupt


def test_progress_tells_the_phase_and_how_far_it_is(rtx: Any, spec: EngineSpec) -> None:
    clock = Recording()
    built(rtx, spec, clock=clock)
    phases = {phase for phase, _ in clock.told}
    assert len(phases) > 1 and all(phases)
    assert all(fraction is not None and 0 <= fraction <= 1 for _, fraction in clock.told)


def test_an_interrupt_ends_the_build_and_is_raised(rtx: Any, spec: EngineSpec) -> None:
    clock = Recording(interrupt_from=0.5)
    with pytest.raises(KeyboardInterrupt):
        built(rtx, spec, clock=clock)
    whole = Recording()
    built(rtx, spec, clock=whole)
    assert len(clock.told) < len(whole.told)


# --- that the other versions have what is called

CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "error": "ParserError",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "tensor": "ITensor",
}
"""What variables of the modules that build hold."""
ALONE = {
    *("REQUIRE_USER_ALLOCATION", "num_compute_capabilities", "set_compute_capability"),
    *("ComputeCapability", "DynamicShapesKernelSpecializationStrategy"),
    *("create_runtime_config", "set_execution_context_allocation_strategy"),
    *("dynamic_shapes_kernel_specialization_strategy",),
}
"""What only TensorRT for RTX, or only newer versions, are asked for."""


def used() -> Iterator[tuple[str, str]]:
    """Members that the code names, with their classes; of the module itself with `trt`."""
    for module in (building, build_progress, products, tensorrt_log):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or ALONE & {*ast.unparse(node).split(".")}:
                continue
            of = node.value
            if isinstance(of, ast.Name) and of.id in {"trt", *CLASSES}:
                yield CLASSES.get(of.id, of.id), node.attr
            elif isinstance(of, ast.Attribute) and ast.unparse(of.value) == "trt":
                yield of.attr, node.attr


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_called_is_the_same_in_every_version(version: str) -> None:
    skip_where_unknown(version)
    skip_where_unknown(RTX)
    (_, api), (_, ours) = read_api(version), read_api(RTX)
    names = {(cls, name) for cls, name in used() if not name.startswith("__")}
    assert len(names) > 30, "the code is read"
    for cls, name in sorted(names - {("trt", "__version__")}):
        if cls == "trt":
            assert name in api, name
        else:
            there, here = (one[cls]["members"].get(name) for one in (api, ours))
            assert there and here, f"{cls}.{name}"
            assert there["kind"] == here["kind"], f"{cls}.{name}"
            assert parameters(there) >= parameters(here), f"{cls}.{name}"


def parameters(member: dict[str, Any]) -> set[tuple[str, ...]]:
    """Names of what each overload takes."""
    found = filter(None, map(parse, member.get("signatures", [])))
    return {tuple(parameter.name for parameter in one.parameters) for one in found}
