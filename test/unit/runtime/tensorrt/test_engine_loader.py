"""Engines are built once for each GPU, version and model, whatever happens in between."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from patience import PATIENCE
from tensorrt_stand_in.versions import VERSIONS

from perceptiondlm_ros.errors import BackendError, CheckpointError
from perceptiondlm_ros.runtime.tensorrt.engine_loader import EngineLoader
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

if TYPE_CHECKING:
    from tensorrt_stand_in.building import Script

GPU = GpuInfo("Stand-in GPU", (8, 7), "12.6", 2**33, 2**33, shared=False)
pytestmark = pytest.mark.parametrize("trt_version", VERSIONS[-1:], indirect=True)


@pytest.fixture
def spec(trt: ModuleType, tmp_path: Path) -> EngineSpec:
    from tensorrt_stand_in.graphs import small_spec

    return small_spec(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "engines"


Build = Callable[..., bytes]


@pytest.fixture
def build(trt: ModuleType, spec: EngineSpec, folder: Path) -> Build:
    """Finds or builds an engine and gives its content."""

    def find_or_build(
        of: EngineSpec = spec, gpu: GpuInfo = GPU, verify: Callable[[], None] = lambda: None
    ) -> bytes:
        store = EngineStore(folder)
        loader = EngineLoader(trt, make_log(trt), store, lambda: gpu, verify, poll=0.01)
        return bytes(loader.find_or_build(of))

    return find_or_build


def test_it_is_built_once(build: Build, trt_script: Script, folder: Path) -> None:
    assert build() == build()
    assert len(trt_script.builds) == 1
    names = {path.suffix for path in folder.iterdir() if path.name != ".lock"}
    assert names == {".engine", ".json", ".cache"}


@pytest.mark.parametrize("changed", [{"name": "Other"}, {"compute": (9, 0)}, {"cuda": "13.0"}])
def test_another_gpu_or_cuda_gets_an_engine_of_its_own(
    build: Build, trt_script: Script, changed: dict[str, object]
) -> None:
    for gpu in (GPU, replace(GPU, **changed), GPU):
        build(gpu=gpu)
    assert len(trt_script.builds) == 2


def test_another_model_precision_range_or_version_gets_an_engine_of_its_own(
    build: Build, trt: ModuleType, trt_script: Script, spec: EngineSpec, folder: Path
) -> None:
    build()
    build(replace(spec, digest="1" * 64))
    build(replace(spec, precision="bf16"))
    build(replace(spec, profiles=({"x": ((1, 4), (1, 4), (2, 4))},)))
    trt.__version__ = "11.5.0"  # type: ignore[attr-defined]
    build()
    assert len(trt_script.builds) == len([*folder.glob("*.engine")]) == 5


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "missing", "undescribed"])
def test_a_damaged_engine_is_built_again(
    build: Build, trt_script: Script, folder: Path, damage: str
) -> None:
    content = build()
    (path,) = folder.glob("*.engine")
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
    build()
    assert len(trt_script.builds) == 2
    assert build() == path.read_bytes() != damaged.get(damage)


def test_an_interrupted_build_leaves_nothing_that_loads(
    build: Build, trt_script: Script, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build()
    assert not [path for path in folder.iterdir() if path.name != ".lock"]
    build()
    assert len(trt_script.builds) == 2


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "free space"), (errno.EROFS, "can be written to")]
)
def test_a_full_or_read_only_disk_is_said_and_leaves_nothing(
    build: Build, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BackendError, match=rf"engine can't be written .*{advice}"):
        build()
    assert not [path for path in folder.iterdir() if path.name != ".lock"]


def test_a_second_build_into_the_folder_waits_and_uses_the_first(
    build: Build, trt_script: Script, listen: Callable[[str, int], Any]
) -> None:
    building, waits = threading.Event(), listen("waiting for another build", 1)
    found: list[bytes] = []

    def during_build() -> None:
        building.set()
        assert waits.heard.wait(PATIENCE), "the second one never waited"

    trt_script.during_build = during_build
    first = threading.Thread(target=lambda: found.append(build()))
    first.start()
    assert building.wait(PATIENCE)
    found.append(build())
    first.join(PATIENCE)
    assert len(trt_script.builds) == 1 and len(set(found)) == 1


def test_what_was_left_half_written_is_removed(build: Build, folder: Path) -> None:
    folder.mkdir()
    (folder / "double.engine.1.partial").write_bytes(b"half")
    build()
    assert not [*folder.glob("*.partial")]


def test_too_little_memory_or_disk_is_said_before_the_build(
    build: Build, trt_script: Script, spec: EngineSpec
) -> None:
    with pytest.raises(BackendError, match=r"takes .* of memory .* free; weights of up to"):
        build(replace(spec, weight_bytes=2**32), replace(GPU, free=2**32))
    with pytest.raises(BackendError, match=r"takes about .* on disk, and .* has .* free"):
        build(replace(spec, weight_bytes=2**59), replace(GPU, memory=2**62, free=2**62))
    assert not trt_script.builds


def test_a_folder_that_is_a_file_is_named(build: Build, folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(BackendError, match=r"engines can't be written .*PERCEPTIONDLM_ENGINES"):
        build()


def test_files_are_verified_before_a_build_and_not_when_the_engine_is_there(build: Build) -> None:
    def refuse() -> None:
        raise CheckpointError("not as exported")

    with pytest.raises(CheckpointError):
        build(verify=refuse)
    assert build() == build(verify=refuse)


def test_an_engine_that_is_there_is_used_from_a_folder_without_writing(
    build: Build, folder: Path
) -> None:
    build()
    before = sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
    folder.chmod(0o555)
    try:
        build()
    finally:
        folder.chmod(0o755)
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in folder.iterdir())
