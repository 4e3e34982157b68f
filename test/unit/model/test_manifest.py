"""The manifest of an exported folder: what is written is read, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import exported_folder
import pytest
from any_json import JSON_VALUES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.manifest import MANIFEST, Manifest, _checksum, is_exported


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    exported_folder.save_exported(folder)
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return exported_folder.copy(exported, tmp_path / "copy")


def change(folder: Path, **values: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_rightly(folder: Path, **values: Any) -> None:
    """With a checksum that is right again."""
    document = json.loads((folder / MANIFEST).read_text()) | values
    del document["checksum"]
    change(folder, **values, checksum=_checksum(document))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = exported_folder.save_exported(tmp_path, prompt="Käse ✓", steps=9)
    assert Manifest.read(tmp_path) == written
    written.verify(tmp_path)
    assert not [*written.problems(tmp_path)]


def test_any_change_of_a_value_is_noticed(folder: Path) -> None:
    for values in ({"steps": 7}, {"prompt": "Say nothing."}, {"name": "other"}, {"more": 1}):
        copy = exported_folder.copy(folder, folder.parent / f"changed-{next(iter(values))}")
        change(copy, **values)
        with pytest.raises(CheckpointError, match="was changed after the export"):
            Manifest.read(copy)


def test_another_layout_of_the_same_values_is_none(folder: Path) -> None:
    before = Manifest.read(folder)
    values = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(dict(reversed(values.items()))))
    assert Manifest.read(folder) == before


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": "someone else's"}, 'has format "someone else\'s", expected'),
        ({"format_version": 3}, "has format_version 3.* older version.* export the checkpoint"),
        ({"format_version": 5}, "has format_version 5.* update the package"),
        ({"format_version": True}, "has format_version True"),
        ({"format_version": 0}, "has format_version 0"),
    ],
)
def test_foreign_manifests_and_those_of_other_versions_are_told_apart_from_changed_ones(
    values: dict[str, Any], says: str, folder: Path
) -> None:
    change(folder, **values)
    with pytest.raises(CheckpointError, match=says):
        Manifest.read(folder)


def test_missing_and_unreadable_manifests_are_named(folder: Path) -> None:
    path = folder / MANIFEST
    for text in ("", "{", "[]", "\x00"):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=r"manifest\.json"):
            Manifest.read(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json can't be read"):
        Manifest.read(folder)


def test_graphs_without_a_manifest_are_no_checkpoint_unless_there_are_weights(
    folder: Path,
) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match=r"is an exported model without its manifest\.json"):
        is_exported(folder)
    (folder / "model-00001-of-00002.safetensors").touch()
    assert not is_exported(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_values_of_another_kind_are_refused_even_with_a_right_checksum(
    data: st.DataObject, exported: Path, folder: Path
) -> None:
    (folder / MANIFEST).write_bytes((exported / MANIFEST).read_bytes())
    keys = json.loads((folder / MANIFEST).read_text()).keys() - {"made_with", "checksum"}
    change_rightly(folder, **{data.draw(st.sampled_from(sorted(keys))): data.draw(JSON_VALUES)})
    with suppress(CheckpointError):
        read = Manifest.read(folder)
        assert isinstance(read.steps, int) and isinstance(read.prompt, str)
        assert read.files.keys() >= {"config.json", "tokenizer.json", "denoiser.onnx"}


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/b", "..", "", MANIFEST])
def test_files_elsewhere_are_refused(name: str, folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    change_rightly(folder, files=files | {name: {"bytes": 1, "sha256": "0"}})
    with pytest.raises(CheckpointError, match="expected a file of the same folder"):
        Manifest.read(folder)


@pytest.mark.parametrize(
    "name", ["vision_encoder.onnx", exported_folder.DATA, "config.json", "tokenizer.json"]
)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes, expected"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "bytes, expected"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "has another checksum"),
        (lambda path: (path.unlink(), path.mkdir()), "is missing"),
    ],
)
def test_a_damaged_file_is_named(name: str, damage: Any, says: str, folder: Path) -> None:
    manifest = Manifest.read(folder)
    damage(folder / name)
    assert says in dict(manifest.problems(folder))[name]
    with pytest.raises(CheckpointError, match=f"{name} .*{says}.*copy it again"):
        manifest.verify(folder)
