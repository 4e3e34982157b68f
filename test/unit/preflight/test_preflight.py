"""Checkpoints and exports against devices, small and large."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_sizes import PUBLISHED_SIZES
from tiny_checkpoint import CONFIG, save_checkpoint

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.preflight.devices import TargetDevice
from perceptiondlm_ros.preflight.findings import Finding, PreflightReport
from perceptiondlm_ros.preflight.libraries import Installed, find_installed
from perceptiondlm_ros.preflight.preflight import preflight
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT
from perceptiondlm_ros.text import GIB

ALL = {
    "numpy": "2.2",
    "pillow": "12.0",
    "tokenizers": "0.21",
    "msgspec": "0.22.0",
    "filelock": "3.0",
    "psutil": "7.0",
    "torch": "2.8.0+cu128",
    "safetensors": "0.6",
    "onnx": "1.19",
    "onnxscript": "0.5",
    "onnxruntime-gpu": "1.22",
    "tensorrt": "10.3.0",
    "cuda-python": "12.6",
}
HERE = TargetDevice("here", "a GPU", 16 * GIB, (8, 7), shared=False, free=14 * GIB)
A_CPU = TargetDevice("cpu", "CPU", 16 * GIB, None, shared=True, free=14 * GIB)


def libraries(*, without: str = "", providers: bool = True, **changes: str) -> Installed:
    versions = {name: version for name, version in (ALL | changes).items() if name != without}
    files = ["libonnxruntime_providers_cuda.so"] if providers else []
    return find_installed(versions.get, lambda distribution: files)


def found(report: PreflightReport, subject: str) -> Finding:
    (finding,) = [finding for finding in report.findings if finding.subject == subject]
    return finding


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_checkpoint(folder)
    return folder


@pytest.fixture
def published(checkpoint: Path) -> Path:
    """A folder whose config is that of the published model; its weights are another's."""
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | PUBLISHED_SIZES))
    return checkpoint


def test_a_small_checkpoint_fits_the_smallest_device(checkpoint: Path) -> None:
    report = preflight(checkpoint, "orin-nano-4")
    assert report.fits and report.kind == "checkpoint"
    assert report.precision == "bf16"
    assert [need.tiles for need in report.memory] == [1, 3, 7]
    assert report.build is not None


def test_neither_torch_nor_onnx_is_imported(checkpoint: Path, exported: Path) -> None:
    program = (
        "import sys, pathlib; from perceptiondlm_ros.preflight.preflight import preflight\n"
        "assert all(preflight(pathlib.Path(folder)).fits for folder in sys.argv[1:])\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", program, checkpoint, exported]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "[]", run.stderr


@pytest.mark.parametrize(
    ("device", "running", "building"),
    [
        ("orin-nano-8", "fail", "fail"),
        ("agx-orin-32", "ok", "warn"),
        ("agx-orin-64", "ok", "ok"),
        ("thor-128", "ok", "ok"),
        ("rtx-4090", "ok", "fail"),
        ("rtx-5090", "ok", "warn"),
        ("a100-40", "ok", "ok"),
        ("h100", "ok", "ok"),
    ],
)
def test_the_published_model_against_devices(
    device: str, running: str, building: str, published: Path
) -> None:
    report = preflight(published, device)
    assert found(report, "running").status == running
    assert found(report, "building").status == building
    assert not report.fits  # its weights are another's


def test_it_is_said_up_to_how_many_tiles_fit(published: Path) -> None:
    tight = replace(HERE, free=int(18.0e9) + GIB // 2)
    text = found(preflight(published, tight), "running").text
    assert "7 tiles and 6 regions take" in text or "3 tiles and 6 regions take" in text
    assert text.endswith(" fit")


@pytest.mark.parametrize(
    ("device", "precision", "status"),
    [
        ("t4", "bf16", "fail"),
        ("t4", "fp16", "ok"),
        ("agx-orin-64", "bf16", "ok"),
        ("agx-orin-64", "int8", "fail"),
        ("cpu", "fp32", "ok"),
        ("cpu", "int8", "ok"),
        ("cpu", "fp16", "warn"),
        ("cpu", "bf16", "fail"),
    ],
)
def test_precisions_against_devices(
    device: str, precision: str, status: str, checkpoint: Path
) -> None:
    finding = found(preflight(checkpoint, device, precision), "precision")
    assert finding.status == status
    assert status in ("ok",) or "export in" in finding.text


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def other_sizes(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"prompt_numbers": 5}))


def small_vocabulary(folder: Path) -> None:
    language = CONFIG["language_model_config"] | {"vocab_size": 100}
    (folder / "config.json").write_text(json.dumps(CONFIG | {"language_model_config": language}))


@pytest.mark.parametrize(
    ("damage", "subject", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "weights", "is missing"),
        (cut_weights, "weights", "is damaged or cut off"),
        (other_sizes, "weights", "mask_id_embedding.weight has shape"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer", "is missing"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer", "can't be read"),
        (small_vocabulary, "tokenizer", "expected less than the model's vocab_size 100"),
        (lambda folder: (folder / "config.json").write_text("{}"), "weights", "lacks tensor"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config", "JSON object"),
    ],
)
def test_a_damaged_checkpoint_is_told(
    damage: Callable[[Path], Any], subject: str, says: str, checkpoint: Path
) -> None:
    damage(checkpoint)
    report = preflight(checkpoint, "h100")
    assert not report.fits
    finding = found(report, subject)
    assert finding.status == "fail" and says in finding.text


def test_other_folders_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CheckpointError, match=r"neither manifest\.json nor config\.json"):
            preflight(folder)


def test_unknown_precisions_are_refused(checkpoint: Path, exported: Path) -> None:
    with pytest.raises(InputError, match="precision is 'fp8', expected one of fp32"):
        preflight(checkpoint, "h100", "fp8")
    with pytest.raises(InputError, match="was exported in fp32"):
        preflight(exported, "h100", "bf16")
    assert preflight(exported, "h100", "fp32").precision == "fp32"


def test_what_is_installed_elsewhere_says_nothing_about_the_device(exported: Path) -> None:
    report = preflight(exported, "orin-nx-16", installed=find_installed(lambda name: None))
    assert report.fits
    assert {f.status for f in report.findings if f.group == "libraries"} == {"note"}


@pytest.mark.parametrize(
    ("installed", "device", "onnx", "tensorrt"),
    [
        (libraries(), HERE, "ok", "ok"),
        (libraries(without="tensorrt"), HERE, "ok", "warn"),
        (libraries(without="onnxruntime-gpu"), HERE, "warn", "ok"),
        (libraries(providers=False), HERE, "warn", "ok"),
        (libraries(tensorrt="8.6.2"), HERE, "ok", "warn"),
        (find_installed(lambda name: None), HERE, "fail", "warn"),
        (libraries(), A_CPU, "ok", "note"),
        (libraries(without="onnxruntime-gpu"), A_CPU, "fail", "note"),
    ],
)
def test_libraries_for_an_exported_model(
    installed: Installed, device: TargetDevice, onnx: str, tensorrt: str, exported: Path
) -> None:
    report = preflight(exported, device, installed=installed)
    assert found(report, "onnx").status == onnx
    assert found(report, "tensorrt").status == tensorrt
    assert report.fits == (onnx != "fail")


@pytest.mark.parametrize(
    ("installed", "device", "status"),
    [
        (libraries(), HERE, "ok"),
        (libraries(torch="2.8.0+cpu"), HERE, "warn"),
        (libraries(torch="2.8.0+cpu"), A_CPU, "ok"),
        (libraries(without="torch"), HERE, "fail"),
        (libraries(without="safetensors"), A_CPU, "fail"),
    ],
)
def test_libraries_for_a_checkpoint(
    installed: Installed, device: TargetDevice, status: str, checkpoint: Path
) -> None:
    report = preflight(checkpoint, device, installed=installed)
    assert found(report, "torch").status == status


@pytest.mark.parametrize(
    ("lacking", "onnx", "torch"),
    [("torch", "ok", "warn"), ("onnxruntime-gpu", "warn", "ok"), ("msgspec", "fail", "fail")],
)
def test_libraries_for_the_packaged_checkpoint(lacking: str, onnx: str, torch: str) -> None:
    report = preflight(DEFAULT_CHECKPOINT, A_CPU, installed=libraries(without=lacking))
    assert (found(report, "onnx").status, found(report, "torch").status) == (onnx, torch)
    assert report.fits == (lacking != "msgspec")


def test_without_torch_a_gpu_is_left_unused_and_the_packaged_checkpoint_runs_on_the_cpu() -> None:
    report = preflight(DEFAULT_CHECKPOINT, HERE, installed=libraries(without="torch"))
    assert report.fits and found(report, "torch").status == "warn"
    assert found(report, "onnx").status == "note" and "on the CPU" in found(report, "onnx").text
    lacking = find_installed(lambda name: None)
    assert not preflight(DEFAULT_CHECKPOINT, HERE, installed=lacking).fits


def test_two_builds_of_onnxruntime_are_a_warning(exported: Path) -> None:
    report = preflight(exported, HERE, installed=libraries(onnxruntime="1.22"))
    assert found(report, "onnxruntime").status == "warn"
    assert report.fits


def test_the_disk_must_hold_the_engines(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk() -> Finding:
        return found(preflight(damaged, HERE, installed=libraries()), "disk")

    assert disk().status == "ok"
    elsewhere = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("PERCEPTIONDLM_ENGINES", str(elsewhere))
    assert disk().status == "ok"
    assert str(elsewhere) in disk().text
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    assert disk().status == "fail"
    assert "set PERCEPTIONDLM_ENGINES" in disk().text
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "can't be written to" in disk().text and disk().status == "fail"
    (damaged / "engines").mkdir()
    (damaged / "engines" / "denoiser-0.engine").touch()
    assert "can't be written to" in disk().text and disk().status == "warn"


def test_other_machines_disks_are_not_looked_at(exported: Path) -> None:
    for device in ("orin-nx-16", A_CPU):
        report = preflight(exported, device, installed=libraries())
        assert not [finding for finding in report.findings if finding.subject == "disk"]


def test_json_has_what_was_found(exported: Path) -> None:
    report = preflight(exported, "orin-nx-16")
    values = json.loads(json.dumps(report.as_json()))
    assert values["fits"] is True and values["kind"] == "exported"
    assert values["device"]["compute_capability"] == [8, 7]
    assert len(values["findings"]) == len(report.findings)
    assert values["memory"][0]["total_bytes"] == report.memory[0].total
    assert values["build_bytes"] == list(report.build or ())
