"""Nothing that happens to the files of an exported model goes unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import exported_folder
import pytest

from perceptiondlm_ros.model.manifest import MANIFEST, GraphRecord, Manifest
from perceptiondlm_ros.preflight.devices import TargetDevice, find_device
from perceptiondlm_ros.preflight.file_checks import check_exported
from perceptiondlm_ros.preflight.findings import Finding

CPU, ORIN = find_device("cpu"), find_device("orin-nx-16")

FILES = (
    *("config.json", "denoiser.onnx", exported_folder.DATA, MANIFEST, "tokenizer.json"),
    "vision_encoder.onnx",
)


def failures(folder: Path, device: TargetDevice = ORIN) -> list[Finding]:
    _, findings = check_exported(folder, device)
    return [finding for finding in findings if finding.status == "fail"]


def subjects(folder: Path, device: TargetDevice = ORIN) -> set[str]:
    return {finding.subject for finding in failures(folder, device)}


def test_a_whole_folder_has_no_failure(exported: Path) -> None:
    model, findings = check_exported(exported, ORIN)
    assert {finding.status for finding in findings} == {"ok"}
    assert model.config is not None
    sizes = {path.name: path.stat().st_size for path in exported.iterdir()}
    denoiser = sizes["denoiser.onnx"] + sizes[exported_folder.DATA]
    assert (model.precision, model.weights) == ("fp32", (sizes["vision_encoder.onnx"], denoiser))
    assert {path.name for path in exported.iterdir()} == set(FILES)


def test_a_graph_without_its_file_is_not_called_sound(damaged: Path) -> None:
    (damaged / "denoiser.onnx").unlink()
    assert subjects(damaged) == {"denoiser.onnx", "denoiser"}
    assert "denoiser.onnx is missing or damaged" in failures(damaged)[-1].text


@pytest.mark.parametrize("name", FILES)
def test_a_changed_or_missing_file_is_named(name: str, damaged: Path) -> None:
    path = damaged / name
    content = path.read_bytes()
    for other in (content[:-2], bytes([content[0] ^ 1]) + content[1:], b""):
        path.write_bytes(other)
        assert name in subjects(damaged)
    path.unlink()
    assert name in subjects(damaged)


def test_a_file_that_the_export_did_not_write_is_told_where_it_would_be_read(
    damaged: Path,
) -> None:
    (damaged / "processor_config.json").write_text('{"max_sub_img": 2}')
    (finding,) = failures(damaged)
    assert "processor_config.json is not of this export" in finding.text
    exported_folder.rewrite(damaged, Manifest.read(damaged))
    assert not failures(damaged)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": "another program's"}, "give a folder that `perceptiondlm export` wrote"),
        ({"format_version": 99}, "update the package"),
        ({"steps": 1}, "was changed after the export"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_the_only_finding(
    values: dict[str, Any], says: str, damaged: Path
) -> None:
    path = damaged / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    model, (finding,) = check_exported(damaged, ORIN)
    assert not model.weights
    assert finding.status == "fail" and says in finding.text


def test_what_was_exported_counts_not_what_the_checkpoint_says(damaged: Path) -> None:
    manifest = replace(Manifest.read(damaged), steps=3, caption_tokens=5)
    exported_folder.rewrite(damaged, manifest)
    model, findings = check_exported(damaged, ORIN)
    assert model.config is not None
    assert (model.config.denoising_steps, model.config.caption_tokens) == (3, 5)
    assert any("5 caption tokens, 3 steps" in finding.text for finding in findings)


def test_an_export_for_cpus_runs_on_no_gpu(damaged: Path) -> None:
    manifest = Manifest.read(damaged)
    graphs = {
        name: GraphRecord(None, record.file, record.inputs, record.outputs)
        for name, record in manifest.graphs.items()
    }
    exported_folder.rewrite(damaged, replace(manifest, graphs=graphs))
    assert not failures(damaged, CPU)
    assert [finding.text.partition(",")[0] for finding in failures(damaged, ORIN)] == [
        "was exported for CPUs alone"
    ] * 2
