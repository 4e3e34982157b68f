"""Engines compiled for real, for GPUs that aren't here: models, GPUs, and what goes wrong."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from exported_models import exported, random_small, tiny
from golden_cases import GOLDEN
from patience import PATIENCE

from perceptiondlm_ros.errors import BackendError, CheckpointError, InputError
from perceptiondlm_ros.model.manifest import Manifest
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT
from perceptiondlm_ros.runtime.tensorrt.ahead_of_time import (
    CompiledEngine,
    compile_engines,
    compute_of,
)
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildProgress
from perceptiondlm_ros.runtime.tensorrt.engine_loader import EngineLoader
from perceptiondlm_ros.runtime.tensorrt.engine_spec import engine_specs
from perceptiondlm_ros.runtime.tensorrt.engine_store import EngineStore
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.products import targets
from perceptiondlm_ros.runtime.tensorrt.tensorrt_log import make_log

pytestmark = pytest.mark.usefixtures("rtx")
GRAPHS = ["vision_encoder", "denoiser"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tiny export, to compile in."""
    return copied(exported(tiny()), tmp_path)


def copied(export: Path, into: Path) -> Path:
    """An export that others use as well, to compile in."""
    return Path(shutil.copytree(export, into / "exported"))


def compiled(
    folder: Path, *gpus: str, told: Callable[[BuildProgress], None] = lambda progress: None
) -> list[CompiledEngine]:
    return [*compile_engines(folder, gpus, told)]


# --- models, precisions and GPUs; tiny in bf16 and in fp32 are compiled by the tests after

RTX_3090, RTX_4090, RTX_5090 = "8.6", "8.9", "12.0"
MODELS = [
    (tiny, "fp16", [RTX_3090, RTX_4090, RTX_5090]),
    (lambda: DEFAULT_CHECKPOINT, "fp32", [RTX_3090]),
    (lambda: GOLDEN / "tiny-a", "fp32", [RTX_4090]),
    (lambda: GOLDEN / "tiny-b", "fp32", [RTX_5090]),
    (random_small, "bf16", [RTX_4090]),
]


@pytest.mark.parametrize(("checkpoint", "precision", "gpus"), MODELS)
def test_it_compiles_models_of_each_kind(
    checkpoint: Callable[[], Path], precision: str, gpus: list[str], tmp_path: Path
) -> None:
    source = copied(exported(checkpoint(), precision), tmp_path)
    specs = engine_specs(source, *open_exported(source))
    assert [len(specs[graph].profiles) for graph in GRAPHS] == [1, 2]
    engines = compiled(source, *gpus)
    expected = [(gpu, True) for gpu in gpus for _ in GRAPHS]
    assert [(engine.target.compute, engine.built) for engine in engines] == expected


def test_it_compiles_for_each_gpu_and_its_runtime_finds_that(
    rtx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERCEPTIONDLM_ENGINES", str(tmp_path / "elsewhere"))
    source = copied(exported(tiny(), "bf16"), tmp_path)
    told: list[BuildProgress] = []
    engines = compiled(source, "RTX A6000", "GeForce RTX 4090", "sm_120", told=told.append)
    assert [engine.path.name.partition("-")[0] for engine in engines] == GRAPHS * 3
    assert {progress.graph for progress in told} == {*GRAPHS}
    for name, compute in (("RTX A6000", (8, 6)), ("RTX 4080", (8, 9)), ("RTX 5090", (12, 0))):
        gpu = GpuInfo(name, compute, "13.0", 2**34, 2**34, shared=False)
        for graph, spec in engine_specs(source, *open_exported(source)).items():
            found = runtime(rtx, source / "engines", gpu).find_or_build(spec)
            assert not found.built
            (engine,) = [
                one
                for one in engines
                if one.path.name.startswith(graph)
                and one.target.compute == "{}.{}".format(*compute)
            ]
            assert bytes(found.data) == engine.path.read_bytes()
    assert not any(engine.built for engine in compiled(source, "8.6", "8.9", "12.0"))


def runtime(rtx: Any, engines: Path, gpu: GpuInfo) -> EngineLoader:
    """As the backend has it on a robot."""

    def refuse() -> None:
        raise AssertionError("nothing is to be built")

    log, store = make_log(rtx, quiet=True), EngineStore(engines)
    return EngineLoader(rtx, log, store, targets(rtx, gpu), lambda: gpu, refuse)


@pytest.mark.parametrize(
    ("names", "compute"),
    [
        (("RTX 4090", "NVIDIA GeForce RTX 4070 Ti SUPER", "sm_89", "SM89", "8.9", "L40S"), (8, 9)),
        (("NVIDIA RTX 6000 Ada Generation", "NVIDIA GeForce RTX 4060 Laptop GPU", "l4"), (8, 9)),
        (("NVIDIA RTX 4000 SFF Ada Generation", "rtx4090", "compute_89", "89"), (8, 9)),
        (("NVIDIA A10G", "NVIDIA GeForce RTX 3080 Ti Laptop GPU"), (8, 6)),
        (("RTX A6000", "rtx-3090", "RTX 3080 Ti", "A10", "RTX A2000 12GB", "RTX 2050"), (8, 6)),
        (("NVIDIA A100-SXM4-80GB", "A30", "8.0"), (8, 0)),
        (("RTX 5090", "NVIDIA RTX PRO 6000 Blackwell", "12.0", "sm_120"), (12, 0)),
        (("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "sm120"), (12, 0)),
        (("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",), (12, 0)),
        (("NVIDIA RTX PRO 2000 Blackwell Generation Laptop GPU",), (12, 0)),
        (("Tesla T4", "NVIDIA GeForce RTX 2070 with Max-Q Design"), (7, 5)),
        (("NVIDIA H100 80GB HBM3", "NVIDIA H100 NVL"), (9, 0)),
        (("DGX Spark", "GB10"), (12, 1)),
        (("RTX 2080 Ti", "Quadro RTX 6000", "T4"), (7, 5)),
        (("Jetson AGX Orin 64 GB", "orin-nx-16"), (8, 7)),
        (("NVIDIA H100 PCIe", "H200"), (9, 0)),
        (("thor-128", "Jetson AGX Thor"), (11, 0)),
    ],
)
def test_gpus_are_known_by_their_names(names: tuple[str, ...], compute: tuple[int, int]) -> None:
    assert [compute_of(name) for name in names] == [compute] * len(names)


@pytest.mark.parametrize("name", ["", "RTX", "Voodoo 2", "RTX 9999", "8", "Radeon", "4090", "409"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected a name such as 'RTX 4090'"):
        compute_of(name)


@pytest.mark.parametrize("name", ["H100", "Jetson AGX Orin", "thor", "RTX 2080", "sm_100"])
def test_for_gpus_that_are_not_served_the_message_says_what_does(name: str, folder: Path) -> None:
    with pytest.raises(BackendError, match=rf"^{name} has compute capability .*with TensorRT \("):
        compiled(folder, "RTX 4090", name)
    assert not (folder / "engines").exists()


# --- what is compiled is what was exported


def test_engines_need_no_graphs_and_a_build_takes_only_those_that_were_exported(
    folder: Path, tmp_path: Path
) -> None:
    data = folder / "denoiser.onnx.data"
    *others, last = data.read_bytes()
    data.write_bytes(bytes([*others, last ^ 1]))
    with pytest.raises(CheckpointError, match=r"denoiser\.onnx\.data has another checksum"):
        compiled(folder)
    whole = copied(exported(tiny()), tmp_path / "whole")
    engines = compiled(whole)
    assert [(engine.target.compute, engine.built) for engine in engines] == [("all", True)] * 2
    shutil.copytree(whole / "engines", folder / "engines", dirs_exist_ok=True)
    # The engines are there, and are of the graphs that the manifest names.
    assert not any(engine.built for engine in compiled(folder))


def test_folders_of_another_kind_or_version_are_refused(folder: Path) -> None:
    with pytest.raises(BackendError, match=r"has no manifest\.json, expected what"):
        compiled(tiny())
    manifest = Manifest.read(folder)
    graphs = {name: replace(graph, file=None) for name, graph in manifest.graphs.items()}
    replace(manifest, graphs=graphs, precision="int8").write(folder)
    with pytest.raises(BackendError, match="precision int8, which runs on CPUs alone"):
        compiled(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 1}))
    with pytest.raises(CheckpointError, match="exported by an older version of it"):
        compiled(folder)


# --- real processes


def start(folder: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "perceptiondlm_ros.cli.main", "compile", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "--gpu", "RTX 4090"], **pipes, **options)


def ended(process: subprocess.Popen[str], status: int) -> tuple[list[str], list[str]]:
    """The lines that it printed and those on stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    return out.splitlines(), err.splitlines()


def whole(folder: Path) -> list[str]:
    """The graphs whose engines are there; nothing else may be."""
    engines = folder / "engines"
    names = sorted(path.name for path in engines.iterdir() if path.name != ".lock")
    stems = sorted({name.rpartition(".")[0] for name in names})
    assert names == [f"{stem}.{ending}" for stem in stems for ending in ("engine", "json")]
    return [stem.partition("-")[0] for stem in stems]


def test_two_at_once_build_each_engine_once(folder: Path) -> None:
    both = [start(folder) for _ in range(2)]
    lines = [line for process in both for line in ended(process, 0)[0]]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["built", "built", "there", "there"]
    assert whole(folder) == sorted(GRAPHS)


def test_an_interrupt_leaves_nothing_half_written(folder: Path) -> None:
    process = start(folder)
    give_up = time.monotonic() + PATIENCE
    while not (folder / "engines" / ".lock").exists():  # made when a build begins
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = ended(process, 130)
    assert err == [] and len(out) < 2
    assert len(whole(folder)) == len(out)
    ended(start(folder), 0)
    assert whole(folder) == sorted(GRAPHS)


def test_a_disk_without_space_is_said_in_one_sentence(folder: Path) -> None:
    small = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (10**6, 10**6))
    out, (line,) = ended(start(folder, preexec_fn=small), 2)
    assert out == [] and "engine can't be written (" in line and "free space there" in line
    assert whole(folder) == []


def test_an_engine_that_was_cut_short_is_built_again(folder: Path) -> None:
    ended(start(folder), 0)
    (path,) = (folder / "engines").glob("denoiser-*.engine")
    path.write_bytes(path.read_bytes()[:-100])
    out, (line,) = ended(start(folder), 0)
    assert [text.rpartition(" ")[2] for text in out] == ["there", "built"]
    assert "the engine of denoiser in" in line and "is damaged or cut short; building it" in line
    assert whole(folder) == sorted(GRAPHS)
