"""Engines are built once for each GPU, version and model, whatever happens in between. What a build
itself does is a matter of its own; here it gives bytes."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from patience import PATIENCE

from perceptiondlm_ros.errors import BackendError, CheckpointError
from perceptiondlm_ros.runtime.tensorrt.build import Built
from perceptiondlm_ros.runtime.tensorrt.engine_loader import EngineLoader
from perceptiondlm_ros.runtime.tensorrt.engine_spec import EngineSpec
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.products import Target, targets

GPU = GpuInfo("Stand-in GPU", (8, 9), "12.6", 2**33, 2**33, shared=False)
SPEC = EngineSpec("double", Path("double.onnx"), "0" * 64, 100, "fp32", ())
RTX = Target("TensorRT for RTX 1.7.1", "any", "any", "8.9")


@dataclass
class Builds:
    """Takes the place of `build`, and counts.

    Attributes:
        during: called in the middle of each.
    """

    during: Callable[[], None] = lambda: None
    made: list[Built] = field(default_factory=list)

    def __call__(self, *unused: Any, **also_unused: Any) -> Built:
        self.during()
        self.made.append(Built(memoryview(b"%d. plan" % len(self.made)), b"timings"))
        return self.made[-1]


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    made = Builds()
    monkeypatch.setattr("perceptiondlm_ros.runtime.tensorrt.engine_loader.build", made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "engines"


Build = Callable[..., bytes]


@pytest.fixture
def build(builds: Builds, folder: Path) -> Build:
    """Finds or builds an engine and gives its content."""

    def find_or_build(
        of: EngineSpec = SPEC,
        gpu: GpuInfo = GPU,
        version: str = "11.4.0",
        verify: Callable[[], None] = lambda: None,
        made_for: tuple[Target, ...] = (),
        also: Path | None = None,
    ) -> bytes:
        trt = SimpleNamespace(__version__=version)
        made_for = made_for or targets(trt, gpu)
        store = EngineStore(folder, also)
        loader = EngineLoader(trt, None, store, made_for, lambda: gpu, verify, poll=0.01)
        return bytes(loader.find_or_build(of).data)

    return find_or_build


def test_it_is_built_once(build: Build, builds: Builds, folder: Path) -> None:
    assert build() == build()
    assert len(builds.made) == 1
    names = {path.suffix for path in folder.iterdir() if path.name != ".lock"}
    assert names == {".engine", ".json", ".cache"}


@pytest.mark.parametrize("changed", [{"name": "Other"}, {"compute": (9, 0)}, {"cuda": "13.0"}])
def test_another_gpu_or_cuda_gets_an_engine_of_its_own(
    build: Build, builds: Builds, changed: dict[str, object]
) -> None:
    for gpu in (GPU, replace(GPU, **changed), GPU):
        build(gpu=gpu)
    assert len(builds.made) == 2


def test_another_model_precision_range_or_version_gets_an_engine_of_its_own(
    build: Build, builds: Builds, folder: Path
) -> None:
    build()
    build(replace(SPEC, digest="1" * 64))
    build(replace(SPEC, precision="bf16"))
    build(replace(SPEC, profiles=({"x": ((1, 4), (1, 4), (2, 4))},)))
    build(version="11.5.0")
    assert len(builds.made) == len([*folder.glob("*.engine")]) == 5


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "missing", "undescribed"])
def test_a_damaged_engine_is_built_again(
    build: Build, builds: Builds, folder: Path, damage: str, caplog: pytest.LogCaptureFixture
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
    assert len(builds.made) == 2
    assert build() == path.read_bytes() != damaged.get(damage)
    assert ("is damaged or cut short; building it" in caplog.text) is (damage != "undescribed")


def test_an_interrupted_build_leaves_nothing_that_loads(
    build: Build, builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build()
    assert not [path for path in folder.iterdir() if path.name != ".lock"]
    build()
    assert len(builds.made) == 2


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
    build: Build, builds: Builds, listen: Callable[[str, int], Any]
) -> None:
    building, waits = threading.Event(), listen("waiting for another build", 1)
    found: list[bytes] = []

    def during_build() -> None:
        building.set()
        assert waits.heard.wait(PATIENCE), "the second one never waited"

    builds.during = during_build
    first = threading.Thread(target=lambda: found.append(build()))
    first.start()
    assert building.wait(PATIENCE)
    found.append(build())
    first.join(PATIENCE)
    assert len(builds.made) == 1 and len(set(found)) == 1


def test_an_engine_for_all_gpus_of_rtx_is_used_where_there_is_none_for_this_one(
    build: Build, builds: Builds
) -> None:
    everywhere = replace(RTX, compute="all")
    content = build(made_for=(everywhere,))
    assert build(made_for=(RTX, everywhere)) == content
    own = build(made_for=(RTX,))
    assert build(made_for=(RTX, everywhere)) == own != content
    assert len(builds.made) == 2


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            replace(RTX, compute="8.6"),
            r"are for compute 8\.6, with TensorRT for RTX 1\.7\.1; build",
        ),
        (
            replace(RTX, tensorrt="TensorRT for RTX 1.6.0"),
            r"with TensorRT for RTX 1\.6\.0; building",
        ),
        (
            Target("10.3.0", "12.6", "Orin", "8.7"),
            r"for Orin, compute 8\.7, with TensorRT 10\.3\.0",
        ),
    ],
)
def test_engines_of_another_version_or_gpu_are_named_and_not_used(
    build: Build, builds: Builds, other: Target, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    build(made_for=(other,))
    assert not caplog.records
    build(made_for=(RTX,))
    (record,) = caplog.records
    assert re.search(says, record.message)
    assert record.message.endswith("building it for compute 8.9, with TensorRT for RTX 1.7.1")
    assert len(builds.made) == 2


def test_what_was_left_half_written_is_removed(build: Build, folder: Path) -> None:
    folder.mkdir()
    (folder / "double.engine.1.partial").write_bytes(b"half")
    build()
    assert not [*folder.glob("*.partial")]


def test_too_little_memory_or_disk_is_said_before_the_build(build: Build, builds: Builds) -> None:
    with pytest.raises(BackendError, match=r"takes .* of memory .* free; weights of up to"):
        build(replace(SPEC, weight_bytes=2**32), replace(GPU, free=2**32))
    with pytest.raises(BackendError, match=r"takes about .* on disk, and .* has .* free"):
        build(replace(SPEC, weight_bytes=2**59), replace(GPU, memory=2**62, free=2**62))
    assert not builds.made


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


def test_engines_that_came_with_the_model_are_found_too_and_nothing_is_written_there(
    build: Build, builds: Builds, folder: Path, tmp_path: Path
) -> None:
    content = build()
    shipped = folder.rename(tmp_path / "shipped")
    assert build(also=shipped) == content and not folder.exists()
    before = sorted(shipped.iterdir())
    build(gpu=replace(GPU, name="Other"), also=shipped)
    assert len(builds.made) == 2 and [*folder.glob("*.engine")]
    assert sorted(shipped.iterdir()) == before


@pytest.mark.parametrize(
    ("ahead", "also", "reason", "removed"),
    [
        (False, False, "the plan is damaged", True),
        (False, False, "CUDA error: out of memory", False),
        (True, False, "the driver is too old", False),
        (False, True, "the driver is too old", False),
    ],
)
def test_what_was_not_built_here_is_never_removed_nor_what_memory_lacked_for(
    builds: Builds, folder: Path, ahead: bool, also: bool, reason: str, removed: bool
) -> None:
    folder.mkdir()
    log, there = SimpleNamespace(errors=[]), EngineStore(folder)
    refusing = SimpleNamespace(deserialize_cuda_engine=lambda data: log.errors.append(reason))
    trt = SimpleNamespace(__version__="11.4.0", Runtime=lambda log: refusing)
    there.add((key := SPEC.key(RTX)), memoryview(b"plan"), 1.0, ahead=ahead)
    store = EngineStore(folder.with_name("own"), also=folder) if also else there
    loader = EngineLoader(trt, log, store, (RTX,), lambda: GPU, lambda: None)
    with pytest.raises(BackendError, match=reason):
        loader.load(SPEC)
    assert len(builds.made) == int(removed)
    data = there.find(key)
    assert data is not None and (bytes(data) == b"plan") is not removed
