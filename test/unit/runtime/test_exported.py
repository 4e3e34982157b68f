"""Loading holds every file of an exported folder against the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import exported_folder
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.manifest import MANIFEST, Manifest
from perceptiondlm_ros.runtime.exported import open_exported

GRAPHS = ("denoiser.onnx", exported_folder.DATA, "vision_encoder.onnx")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "tiny"
    exported_folder.save_exported(folder, steps=3, caption_tokens=5)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return exported_folder.copy(whole, tmp_path / "tiny")


def test_the_manifest_has_the_last_word(folder: Path) -> None:
    manifest, config = open_exported(folder)
    assert manifest.name == "tiny"
    assert (config.denoising_steps, config.caption_tokens) == (3, 5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_in_any_file_is_refused(data: st.DataObject, folder: Path) -> None:
    path = folder / data.draw(st.sampled_from(sorted(p.name for p in folder.iterdir())))
    before = path.read_bytes()
    flipped = bytearray(before)
    flipped[data.draw(st.integers(0, len(before) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    if path.name == MANIFEST:
        try:
            if json.loads(flipped) == json.loads(before):
                return  # a blank between two values
        except ValueError:
            pass
    path.write_bytes(flipped)
    try:
        with pytest.raises(CheckpointError, match=path.name):
            open_exported(folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_left_out_for_who_runs_engines(name: str, folder: Path) -> None:
    (folder / name).unlink()
    open_exported(folder, graphs=False)
    with pytest.raises(CheckpointError, match=name):
        open_exported(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_what_is_read_is_held_against_the_manifest_all_the_same(name: str, folder: Path) -> None:
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(CheckpointError, match=name):
        open_exported(folder, graphs=False)


def test_a_file_that_the_export_did_not_write_is_refused(folder: Path) -> None:
    (folder / "processor_config.json").write_text('{"max_sub_img": 2}')
    with pytest.raises(CheckpointError, match="is not of this export"):
        open_exported(folder)
    exported_folder.rewrite(folder, Manifest.read(folder))
    assert open_exported(folder)[1].max_tiles == 2
