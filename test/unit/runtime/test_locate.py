"""Finding a checkpoint: the packaged one, a folder, or the hub's cache and network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.runtime import locate
from perceptiondlm_ros.runtime.locate import locate_checkpoint

HUB_ID = "MSALab/PerceptionDLM"


class Hub:
    """Stands in for huggingface_hub: a local cache, and a network that may fail."""

    def __init__(self, cached: Path | None = None, online: Path | Exception | None = None) -> None:
        self._cached = cached
        self._online = ConnectionError("no network in this test") if online is None else online
        self.calls: list[tuple[str, bool]] = []

    def snapshot_download(
        self, repo_id: str, *, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        assert {"*.json", "*.safetensors", "*_cpu.onnx"} == set(allow_patterns)
        self.calls.append((repo_id, local_files_only))
        if local_files_only:
            if self._cached is None:
                raise FileNotFoundError("not in the cache")
            return str(self._cached)
        if isinstance(self._online, Exception):
            raise self._online
        return str(self._online)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path could otherwise be a folder of whoever runs the tests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def install(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Hub:
    module: Any = ModuleType("huggingface_hub")
    module.snapshot_download = hub.snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return hub


def snapshot(folder: Path, shards: tuple[str, ...] = ()) -> Path:
    """A cached checkpoint, of one file or of shards."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", *(shards or ("model.safetensors",))):
        (folder / name).write_text("{}")
    if shards:
        index = {"weight_map": {f"tensor{i}": name for i, name in enumerate(shards)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


class TestFolders:
    def test_none_is_the_packaged_checkpoint(self) -> None:
        assert locate_checkpoint(None) == locate.DEFAULT_CHECKPOINT

    def test_a_folder_is_taken_as_text_or_path_and_below_the_home_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "weights").mkdir()
        monkeypatch.setenv("HOME", str(tmp_path))
        for path in (tmp_path / "weights", str(tmp_path / "weights"), "~/weights"):
            assert locate_checkpoint(path) == tmp_path / "weights"

    def test_a_folder_that_looks_like_a_hub_id_is_a_folder(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub = install(monkeypatch, Hub())
        Path(HUB_ID).mkdir(parents=True)
        assert locate_checkpoint(HUB_ID) == Path(HUB_ID)
        assert not hub.calls

    @pytest.mark.parametrize(
        "path", ["/no/such/folder", "no-such-folder", "a/b/c", "~no-such-user/x", "a\0b", "./a"]
    )
    def test_one_that_is_not_there(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = install(monkeypatch, Hub())
        with pytest.raises(CheckpointError, match=r"does not exist; expected a folder with"):
            locate_checkpoint(path)
        assert not hub.calls

    def test_a_file_is_not_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "model.safetensors").touch()
        with pytest.raises(CheckpointError, match=r"is a file; expected a folder"):
            locate_checkpoint(tmp_path / "model.safetensors")

    @pytest.mark.parametrize("path", [5, b"weights", ["weights"], True])
    def test_what_is_no_path(self, path: Any) -> None:
        with pytest.raises(InputError, match=r"path is a .*, expected a folder, a hub id"):
            locate_checkpoint(path)


class TestHub:
    def test_the_local_cache_comes_first_and_what_is_not_there_is_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cached, fetched = snapshot(tmp_path / "cached"), snapshot(tmp_path / "fetched")
        hub = install(monkeypatch, Hub(cached, online=fetched))
        assert locate_checkpoint(HUB_ID) == cached
        assert hub.calls == [(HUB_ID, True)], "the network is not touched"
        hub = install(monkeypatch, Hub(online=fetched))
        assert locate_checkpoint(HUB_ID) == fetched
        assert hub.calls == [(HUB_ID, True), (HUB_ID, False)]

    @pytest.mark.parametrize("left_out", ["config.json", "tokenizer.json", "b.safetensors"])
    def test_an_interrupted_download_is_gone_on_with(
        self, left_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cached = snapshot(tmp_path / "cached", ("a.safetensors", "b.safetensors"))
        fetched = snapshot(tmp_path / "fetched", ("a.safetensors", "b.safetensors"))
        install(monkeypatch, Hub(cached, online=fetched))
        assert locate_checkpoint(HUB_ID) == cached
        (cached / left_out).unlink()
        assert locate_checkpoint(HUB_ID) == fetched

    def test_without_network_the_error_says_which_command_fetches_the_files(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failure = ConnectionError("offline mode is on")
        install(monkeypatch, Hub(online=failure))
        with pytest.raises(CheckpointError, match="not in the local cache") as caught:
            locate_checkpoint(HUB_ID)
        assert f"`hf download {HUB_ID}`" in str(caught.value)
        assert str(failure) in str(caught.value) and caught.value.__cause__ is failure

    def test_without_the_client_the_error_says_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(CheckpointError, match=r"huggingface_hub is not installed") as caught:
            locate_checkpoint(HUB_ID)
        assert "pip install huggingface_hub" in str(caught.value)
        assert f"hf download {HUB_ID}" in str(caught.value)

    @pytest.mark.parametrize("name", ["some--one/model", "someone/model.git", HUB_ID])
    def test_the_real_client_in_offline_mode(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        constants = pytest.importorskip("huggingface_hub.constants")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
        with pytest.raises(CheckpointError, match=r"not in the local cache and can't be fetched"):
            locate_checkpoint(name)
