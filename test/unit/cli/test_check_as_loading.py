"""`check` says of an exported folder what loading it says: no more, and no less."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_folder import rewrite
from exported_models import exported, tiny
from safetensors.torch import load_file, save_file
from tiny_checkpoint import CONFIG, picture, rectangle, save_tokenizer, special_tokens

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.model.manifest import MANIFEST, Manifest
from perceptiondlm_ros.model.published import INDEX, WEIGHTS
from perceptiondlm_ros.preflight.findings import PreflightReport
from perceptiondlm_ros.preflight.preflight import preflight

DATA = ("vision_encoder.onnx.data", "denoiser.onnx.data")
Layout = Callable[[Path, Path], Path]
"""Makes of an exported folder another one, within a folder that is given."""


@pytest.fixture(scope="module")
def whole() -> Path:
    return exported(tiny())


@pytest.fixture(scope="module")
def expected(whole: Path) -> list[int]:
    return caption(whole)


def caption(folder: Path) -> list[int]:
    """The tokens that a loaded model gives to one region of noise."""
    image, mask = picture(48, 64), rectangle(48, 64, (10, 10, 40, 40))
    return Captioner.load(folder, device="cpu").describe(image, [mask])[0].token_ids


def loads(folder: Path) -> bool:
    try:
        Captioner.load(folder, device="cpu")
    except PerceptionDLMError:
        return False
    return True


def told(report: PreflightReport) -> list[str]:
    return [f"{f.subject}: {f.text}" for f in report.findings if f.status == "fail"]


def plain(whole: Path, place: Path) -> Path:
    return Path(shutil.copytree(whole, place / "plain"))


def oddly_named(whole: Path, place: Path) -> Path:
    return Path(shutil.copytree(whole, place / "with blanks, ümlauts, 漢字 and\na line"))


def linked_folder(whole: Path, place: Path) -> Path:
    (place / "folder").symlink_to(whole)
    (place / "again").symlink_to("folder")
    return place / "again"


def hub_cache(whole: Path, place: Path) -> Path:
    """Files by their hash, and relative links to them."""
    blobs, snapshot = place / "blobs", place / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for file in whole.iterdir():
        name = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blobs / name)
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", name))
    return snapshot


def hard_links(whole: Path, place: Path) -> Path:
    folder = plain(whole, place)
    (place / "hard").mkdir()
    for file in folder.iterdir():
        (place / "hard" / file.name).hardlink_to(file)
    return place / "hard"


def apart(whole: Path, place: Path, ending: str) -> Path:
    """Some files are links to another folder, where they have other names."""
    folder = plain(whole, place)
    (place / "elsewhere").mkdir()
    for file in [file for file in folder.iterdir() if file.name.endswith(ending)]:
        target = file.rename(place / "elsewhere" / f"moved {file.name}")
        file.symlink_to(target)
    return folder


def two_places(whole: Path, place: Path) -> Path:
    """Every file is a link, graphs to one folder and weights to another."""
    for name in ("graphs", "weights", "mixed"):
        (place / name).mkdir()
    for file in whole.iterdir():
        target = place / ("weights" if file.name in DATA else "graphs") / file.name
        shutil.copyfile(file, target)
        (place / "mixed" / file.name).symlink_to(target)
    return place / "mixed"


def with_more(whole: Path, place: Path) -> Path:
    folder = plain(whole, place)
    (folder / "engines").mkdir()
    (folder / "README.md").write_text("more")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    return folder


@pytest.mark.parametrize(
    "layout",
    [
        oddly_named,
        linked_folder,
        hub_cache,
        hard_links,
        partial(apart, ending=".data"),
        partial(apart, ending=".onnx"),
        partial(apart, ending=".json"),
        two_places,
        with_more,
    ],
)
def test_every_layout_is_checked_and_loaded(
    layout: Layout, whole: Path, expected: list[int], tmp_path: Path
) -> None:
    folder = layout(whole, tmp_path)
    report = preflight(folder, "cpu")
    assert report.fits, told(report)
    assert caption(folder) == expected


def test_a_relative_path_is_as_good(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_places(whole, tmp_path)
    monkeypatch.chdir(folder)
    assert preflight(Path(), "cpu").fits and loads(Path())
    monkeypatch.chdir(tmp_path)
    assert preflight(Path(f"{folder.name}/"), "cpu").fits and loads(Path(f"{folder.name}/"))


def change_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def change_language(folder: Path, **values: Any) -> None:
    change_config(folder, language_model_config=CONFIG["language_model_config"] | values)


def replaced(path: Path, kind: str) -> None:
    """What was copied as another thing, or in part."""
    data = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if kind == "cut off":
        path.write_bytes(data[:-2])
    elif kind == "empty":
        path.touch()
    elif kind == "a folder":
        path.mkdir()
    elif kind != "missing":
        path.symlink_to({"dangling": path.with_name("nowhere"), "circular": path.name}[kind])


EACH = ("config.json", "tokenizer.json", "denoiser.onnx", "denoiser_cpu.onnx", *DATA, MANIFEST)


def agree(folder: Path, *, fits: bool) -> None:
    """Hold both to the verdict."""
    assert loads(folder) is fits
    try:
        report = preflight(folder, "cpu")
    except PerceptionDLMError:
        assert not fits
    else:
        assert report.fits is fits, told(report)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in ("missing", "cut off") for name in EACH),
        *((kind, DATA[0]) for kind in ("dangling", "circular", "a folder", "empty")),
        *((kind, MANIFEST) for kind in ("dangling", "a folder")),
        *(("dangling", f"{name}processor_config.json") for name in ("", "pre")),
    ],
)
def test_a_damaged_file_fails_in_both(kind: str, name: str, whole: Path, tmp_path: Path) -> None:
    folder = plain(whole, tmp_path)
    replaced(folder / name, kind)
    agree(folder, fits=False)


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS) | changes
    save_file({n: t for n, t in tensors.items() if t is not None}, folder / WEIGHTS)


def quantise(folder: Path) -> None:
    name = "language_model.model.layers.0.self_attn.q_proj.weight"
    fewer = load_file(folder / WEIGHTS)[name].to(torch.float8_e4m3fn)
    change_weights(folder, **{name: fewer, f"{name}_scale_inv": torch.ones(1, 1)})


ROPE, YARN = {"rope_theta": 8.0}, {"rope_type": "yarn", "factor": 4.0}
SHARD = '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
PIXELS = '{"image_mean": [0.4, 0.5, 0.5]}'
MORE_TOKENS = [f"<more {i}>" for i in range(100)]
OF_BOTH: dict[str, Callable[[Path], object]] = {
    "contradicting": lambda f: change_language(f, rope_theta=7.0, rope_parameters=ROPE),
    "fewer tiles": lambda f: (f / "processor_config.json").write_text('{"max_sub_img": 2}'),
    "other pixels": lambda f: (f / "preprocessor_config.json").write_text(PIXELS),
    "no special tokens": lambda f: save_tokenizer(f, special_tokens()[1:]),
    "more tokens": lambda f: save_tokenizer(f, [*special_tokens(), *MORE_TOKENS]),
}
OF_CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    **OF_BOTH,
    "transformers 5": lambda f: change_language(f, rope_parameters={"rope_theta": 5e5}),
    "scaled rotation": lambda f: change_language(f, rope_parameters=YARN),
    "sliding window": lambda f: change_language(f, sliding_window=128),
    "another image token": lambda f: change_config(f, image_token_id=3),
    "quantised": quantise,
    "no tensor": lambda f: change_weights(f, **{"language_model.lm_head.weight": None}),
    "no weights": lambda f: (f / WEIGHTS).unlink(),
    "an index to nothing": lambda f: (f / INDEX).write_text(SHARD),
    "a manifest link to nothing": lambda f: (f / MANIFEST).symlink_to(f / "nowhere"),
}
FIT = ("fewer tiles", "transformers 5")


@pytest.mark.parametrize("known", [False, True], ids=["unnoticed", "known to the manifest"])
@pytest.mark.parametrize("change", OF_BOTH)
def test_a_changed_export_is_judged_alike(
    change: str, known: bool, whole: Path, tmp_path: Path
) -> None:
    folder = plain(whole, tmp_path)
    OF_BOTH[change](folder)
    if known:
        rewrite(folder, Manifest.read(folder))
    agree(folder, fits=known and change in FIT)


@pytest.mark.parametrize("layout", [plain, linked_folder, hub_cache])
def test_checkpoints_of_every_layout_are_checked_and_loaded(layout: Layout, tmp_path: Path) -> None:
    agree(layout(tiny(), tmp_path), fits=True)


@pytest.mark.parametrize("change", OF_CHECKPOINTS)
def test_checkpoints_are_judged_alike_and_in_the_same_words(change: str, tmp_path: Path) -> None:
    folder = plain(tiny(), tmp_path)
    OF_CHECKPOINTS[change](folder)
    agree(folder, fits=change in FIT)
    if change not in FIT:
        with pytest.raises(PerceptionDLMError) as raised:
            Captioner.load(folder, device="cpu")
        assert any(str(raised.value) in text for text in told(preflight(folder, "cpu")))
