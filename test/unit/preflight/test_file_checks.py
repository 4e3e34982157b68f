"""Nothing that happens to the files of an exported model goes unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import exported_folder
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def same_values(path: Path, content: bytes) -> bool:
    """Whether a manifest means the same after the change, like a blank between two values."""
    try:
        return bool(json.loads(content) == json.loads(path.read_bytes()))
    except ValueError:
        return False


def test_a_whole_folder_has_no_failure(exported: Path) -> None:
    model, findings = check_exported(exported, ORIN)
    assert {finding.status for finding in findings} == {"ok"}
    assert model is not None and model.config is not None
    sizes = {path.name: path.stat().st_size for path in exported.iterdir()}
    denoiser = sizes["denoiser.onnx"] + sizes[exported_folder.DATA]
    assert (model.precision, model.weights) == ("fp32", (sizes["vision_encoder.onnx"], denoiser))
    assert {path.name for path in exported.iterdir()} == set(FILES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_in_any_file_is_noticed(data: st.DataObject, damaged: Path) -> None:
    path = damaged / data.draw(st.sampled_from(FILES))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    if path.name == MANIFEST and same_values(path, bytes(content)):
        return
    with changed(path, bytes(content)):
        assert path.name in subjects(damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_cut_off_or_longer_is_noticed(data: st.DataObject, damaged: Path) -> None:
    path = damaged / data.draw(st.sampled_from([name for name in FILES if name != MANIFEST]))
    content = path.read_bytes()
    kept = content[: data.draw(st.integers(0, len(content) - 1))]
    longer = content + data.draw(st.binary(min_size=1, max_size=9))
    with changed(path, data.draw(st.sampled_from([kept, longer]))):
        assert path.name in subjects(damaged)


@pytest.mark.parametrize("name", [name for name in FILES if name != MANIFEST])
def test_a_missing_file_is_named(name: str, damaged: Path) -> None:
    (damaged / name).unlink()
    assert name in subjects(damaged)


def test_a_file_that_the_export_did_not_write_is_told_where_it_would_be_read(
    damaged: Path,
) -> None:
    (damaged / "processor_config.json").write_text('{"max_sub_img": 2}')
    (finding,) = failures(damaged)
    assert "processor_config.json is not of this export" in finding.text
    exported_folder.rewrite(damaged, Manifest.read(damaged))
    assert not failures(damaged)


def test_swapped_files_are_named(damaged: Path) -> None:
    first, second = damaged / "vision_encoder.onnx", damaged / "denoiser.onnx"
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    assert subjects(damaged) >= {first.name, second.name}


def test_files_of_two_exports_are_not_taken_for_one(damaged: Path, tmp_path: Path) -> None:
    exported_folder.save_exported(tmp_path / "other", prompt="Another one.")
    (damaged / MANIFEST).write_bytes((tmp_path / "other" / MANIFEST).read_bytes())
    assert not failures(damaged), "these two exports have the same files"
    other = tmp_path / "other" / "vision_encoder.onnx"
    exported_folder.save_graph(other, operator="Exp")
    exported_folder.rewrite(tmp_path / "other", Manifest.read(tmp_path / "other"))
    (damaged / MANIFEST).write_bytes((tmp_path / "other" / MANIFEST).read_bytes())
    assert subjects(damaged) == {"vision_encoder.onnx"}


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
    assert model is None
    assert finding.status == "fail" and says in finding.text


def test_what_was_exported_counts_not_what_the_checkpoint_says(damaged: Path) -> None:
    manifest = replace(Manifest.read(damaged), steps=3, caption_tokens=5)
    exported_folder.rewrite(damaged, manifest)
    model, findings = check_exported(damaged, ORIN)
    assert model is not None and model.config is not None
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
