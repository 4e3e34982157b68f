"""Engines are built once for each GPU, version and model, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from patience import PATIENCE

from perceptiondlm_ros.errors import BackendError, CheckpointError
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildProgress, OnProgress
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore, StoredEngine
from perceptiondlm_ros.runtime.tensorrt.ensure import Workshop, ensure_engine
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

if TYPE_CHECKING:
    from tensorrt_stand_in.building import Script

GPU = GpuInfo("Stand-in GPU", (8, 7), "12.6", 2**33, 2**33, shared=False)


@pytest.fixture(params=["11.4.0.106"])
def trt_version(request: pytest.FixtureRequest) -> str:
    """One version is enough here."""
    from tensorrt_stand_in.versions import api_path

    if not api_path(request.param).is_file():
        pytest.skip(f"the surface of TensorRT {request.param} is not known")
    return request.param


@pytest.fixture
def spec(trt: ModuleType, tmp_path: Path) -> EngineSpec:
    from tensorrt_stand_in.graphs import small_spec

    return small_spec(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "engines"


def ensure(
    trt: ModuleType,
    spec: EngineSpec,
    folder: Path,
    gpu: GpuInfo = GPU,
    report: OnProgress | None = None,
    verify: Callable[[], None] = lambda: None,
) -> StoredEngine:
    workshop = Workshop(trt, make_log(trt), EngineStore(folder), report, poll=0.01)
    return ensure_engine(workshop, spec, gpu, verify)


def test_it_is_built_once(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    first = ensure(trt, spec, folder)
    second = ensure(trt, spec, folder)
    assert first.path == second.path and first.data[:] == second.data[:]
    assert len(trt_script.builds) == 1
    names = {path.suffix for path in folder.iterdir() if path.name != ".lock"}
    assert names == {".engine", ".json", ".cache"}


@pytest.mark.parametrize(
    "changed",
    [
        replace(GPU, name="Other GPU"),
        replace(GPU, compute=(9, 0)),
        replace(GPU, cuda="13.0"),
    ],
)
def test_another_gpu_or_cuda_gets_an_engine_of_its_own(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path, changed: GpuInfo
) -> None:
    paths = {ensure(trt, spec, folder, gpu).path for gpu in (GPU, changed, GPU)}
    assert len(paths) == len(trt_script.builds) == 2


def test_another_model_precision_or_range_gets_an_engine_of_its_own(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    others = [
        replace(spec, digest="1" * 64),
        replace(spec, precision="bf16"),
        replace(spec, profiles=({"x": ((1, 4), (1, 4), (2, 4))},)),
    ]
    assert len({ensure(trt, s, folder).path for s in (spec, *others)}) == 4
    assert len(trt_script.builds) == 4


def test_another_version_of_tensorrt_gets_an_engine_of_its_own(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    ensure(trt, spec, folder)
    trt.__version__ = "11.5.0"  # type: ignore[attr-defined]
    ensure(trt, spec, folder)
    assert len(trt_script.builds) == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "missing", "undescribed"])
def test_a_damaged_engine_is_built_again(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path, damage: str
) -> None:
    path = ensure(trt, spec, folder).path
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-1],
        "empty": b"",
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
    }
    if damage == "missing":
        path.unlink()
    elif damage == "undescribed":
        path.with_suffix(".json").unlink()
    else:
        path.write_bytes(damaged[damage])
    again = ensure(trt, spec, folder)
    assert trt.Runtime(make_log(trt)).deserialize_cuda_engine(again.data) is not None
    assert len(trt_script.builds) == 2


def test_an_interrupted_build_leaves_nothing_that_loads(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    def interrupt(progress: BuildProgress) -> None:
        if progress.phase == "writing the engine":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(trt, spec, folder, report=interrupt)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    ensure(trt, spec, folder)
    assert len(trt_script.builds) == 2


def test_a_second_build_into_the_folder_waits_and_uses_the_first(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    building, waited = threading.Event(), threading.Event()
    found: list[Path] = []

    def during_build() -> None:
        building.set()
        assert waited.wait(PATIENCE), "the second one never waited"

    def second_reports(progress: BuildProgress) -> None:
        if progress.phase == "waiting for another build":
            waited.set()

    trt_script.during_build = during_build
    first = threading.Thread(target=lambda: found.append(ensure(trt, spec, folder).path))
    first.start()
    assert building.wait(PATIENCE)
    found.append(ensure(trt, spec, folder, report=second_reports).path)
    first.join(PATIENCE)
    assert len(trt_script.builds) == 1 and len(set(found)) == 1


def test_waiting_can_be_given_up(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    def report(progress: BuildProgress) -> None:
        if progress.phase == "waiting for another build" and progress.seconds > 0.02:
            raise TimeoutError

    with EngineStore(folder).lock(lambda seconds: None), pytest.raises(TimeoutError):
        ensure(trt, spec, folder, report=report)


def test_too_little_memory_is_said_before_the_build(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    with pytest.raises(BackendError, match=r"takes .* of memory .* free; weights of up to"):
        ensure(trt, replace(spec, weight_bytes=2**32), folder, replace(GPU, free=2**32))
    assert not trt_script.builds


def test_a_full_disk_is_said_before_the_build(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    gpu = replace(GPU, memory=2**62, free=2**62)
    with pytest.raises(BackendError, match=r"takes about .* on disk, and .* has .* free"):
        ensure(trt, replace(spec, weight_bytes=2**59), folder, gpu)
    assert not trt_script.builds


def test_a_folder_that_is_a_file_is_named(trt: ModuleType, spec: EngineSpec, folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(BackendError, match=r"engines can't be written .*PERCEPTIONDLM_ENGINES"):
        ensure(trt, spec, folder)


def test_files_are_verified_before_a_build_and_not_when_the_engine_is_there(
    trt: ModuleType, spec: EngineSpec, folder: Path
) -> None:
    def refuse() -> None:
        raise CheckpointError("not as exported")

    with pytest.raises(CheckpointError):
        ensure(trt, spec, folder, verify=refuse)
    ensure(trt, spec, folder)
    ensure(trt, spec, folder, verify=refuse)


def test_an_engine_that_is_there_is_used_from_a_folder_without_writing(
    trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    ensure(trt, spec, folder)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
    folder.chmod(0o555)
    try:
        ensure(trt, spec, folder)
    finally:
        folder.chmod(0o755)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
