"""Building against stand-ins of three versions: settings, profiles, progress, failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.runtime.tensorrt.build import Built, build
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

if TYPE_CHECKING:
    from tensorrt_stand_in.building import Script

FREE = 2**30


@pytest.fixture
def spec(trt: ModuleType, tmp_path: Path) -> EngineSpec:
    from tensorrt_stand_in.graphs import small_spec

    return small_spec(tmp_path)


def built(
    trt: ModuleType, spec: EngineSpec, timings: bytes = b"", clock: BuildClock | None = None
) -> Built:
    clock = clock or BuildClock(spec.name)
    return build(trt, make_log(trt), spec, timings=timings, free=FREE, clock=clock)


def test_a_plan_comes_out_that_this_version_loads(trt: ModuleType, spec: EngineSpec) -> None:
    plan = built(trt, spec).plan
    engine = trt.Runtime(make_log(trt)).deserialize_cuda_engine(plan)
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    assert names == ["x", "y"]


def test_the_network_is_strongly_typed_and_has_every_profile(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    built(trt, spec)  # the stand-in refuses other networks
    (settings,) = trt_script.builds
    assert settings["profiles"] == [{"x": [(1, 4), (2, 4), (8, 4)]}] * 2


@pytest.mark.parametrize(("precision", "rounded"), [("fp32", False), ("fp16", True)])
def test_fp32_is_not_rounded_to_tf32(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, precision: str, rounded: bool
) -> None:
    built(trt, replace(spec, precision=precision))
    assert ("TF32" in trt_script.builds[0]["flags"]) is rounded


def test_scratch_memory_leaves_room_for_the_weights(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    built(trt, replace(spec, weight_bytes=FREE // 4))
    assert trt_script.builds[0]["limits"] == {"WORKSPACE": FREE // 2}


def test_timings_of_an_earlier_build_are_used(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    first = built(trt, spec)
    built(trt, spec, first.timings)
    assert [settings["timings"] for settings in trt_script.builds] == [False, True]


def test_timings_of_another_version_are_left_out(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    assert built(trt, spec, b"of another version").timings
    assert not trt_script.builds[0]["timings"]


def test_a_file_that_is_no_model_is_named_with_the_reason(
    trt: ModuleType, spec: EngineSpec
) -> None:
    spec.onnx.write_bytes(b"\xff\xff no model")
    with pytest.raises(BackendError, match=r"can't parse .*double\.onnx .*DecodeError"):
        built(trt, spec)


def test_a_missing_file_is_named(trt: ModuleType, spec: EngineSpec) -> None:
    spec.onnx.unlink()
    with pytest.raises(BackendError, match=r"double\.onnx does not exist; export"):
        built(trt, spec)


def test_an_input_that_no_profile_knows_is_named(trt: ModuleType, spec: EngineSpec) -> None:
    with pytest.raises(BackendError, match="has an input x of 2 axes"):
        built(trt, replace(spec, profiles=({"other": ((1,), (1,), (1,))},)))


def test_ranges_out_of_order_are_refused(trt: ModuleType, spec: EngineSpec) -> None:
    with pytest.raises(BackendError, match="refuses the ranges"):
        built(trt, replace(spec, profiles=({"x": ((8, 4), (2, 4), (1, 4))},)))


def test_ranges_that_are_no_shapes_of_the_input_are_refused(
    trt: ModuleType, spec: EngineSpec
) -> None:
    with pytest.raises(BackendError, match="no shape of x"):
        built(trt, replace(spec, profiles=({"x": ((1, 3), (2, 3), (8, 3))},)))


def test_what_tensorrt_says_is_in_the_error(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    trt_script.failure = "Could not find any implementation for node"
    with pytest.raises(BackendError, match=r"can't build .*Could not find any implementation"):
        built(trt, spec)


class Recording(BuildClock):
    """Keeps what it is told, and may raise at a fraction."""

    def __init__(self, interrupt_at: float | None = None) -> None:
        super().__init__("double")
        self.told: list[tuple[str, float | None]] = []
        self._interrupt_at = interrupt_at

    def enter(self, phase: str, fraction: float | None = None) -> None:
        self.told.append((phase, fraction))
        if fraction is not None and fraction == self._interrupt_at:
            raise KeyboardInterrupt


def test_progress_tells_the_phase_and_how_far_it_is(trt: ModuleType, spec: EngineSpec) -> None:
    clock = Recording()
    built(trt, spec, clock=clock)
    assert clock.told == [("Building Engine", part / 4) for part in range(5)]


def test_an_interrupt_ends_the_build_and_is_raised(
    trt: ModuleType, trt_script: Script, spec: EngineSpec
) -> None:
    with pytest.raises(KeyboardInterrupt):
        built(trt, spec, clock=Recording(interrupt_at=0.5))
    assert not trt_script.builds
