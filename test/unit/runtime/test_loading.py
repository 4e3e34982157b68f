"""Choosing a backend, a device and a cache mode."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_models import exported, tiny
from tiny_checkpoint import save_checkpoint, tiny_config

from perceptiondlm_ros.errors import BackendError, CheckpointError, InputError
from perceptiondlm_ros.runtime import loading, processor
from perceptiondlm_ros.runtime.loading import check_cache, choose_cache, load_backend
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT
from perceptiondlm_ros.runtime.torch_backend import TorchBackend


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(path)
    return path


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_torch_runs_a_checkpoint(folder: Path, backend: str) -> None:
    loaded = load_backend(folder, backend, "cpu")
    assert loaded.config == tiny_config()
    assert "torch" in loaded.description and "cpu, float32" in loaded.description


@pytest.mark.parametrize(
    ("cpuinfo", "multiplies"),
    [
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 sse\n", True),
        ("flags\t\t: fpu avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx512f sse\nbugs\t\t: bf16\n", False),
        ("flags\t\t:\n", False),
        ("", False),
        (None, False),
    ],
)
def test_bf16_is_refused_where_the_processor_lacks_it(
    folder: Path,
    tmp_path: Path,
    cpuinfo: str | None,
    multiplies: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo, encoding="utf-8")
    for precision in ("auto", "fp32"):
        description = load_backend(folder, "torch", "cpu", precision=precision).description
        assert description.endswith("on cpu, float32")
    if multiplies:
        description = load_backend(folder, "torch", "cpu", precision="bf16").description
        assert description.endswith("on cpu, bfloat16")
    else:
        with pytest.raises(BackendError, match=r"precision is bf16.*use precision auto or fp32"):
            load_backend(folder, "auto", "cpu", precision="bf16")


def test_an_export_keeps_its_precision() -> None:
    folder = exported(tiny())
    for precision in ("auto", "fp32"):
        assert load_backend(folder, "onnx", "cpu", precision=precision).description.endswith("fp32")
    with pytest.raises(
        BackendError, match=r"precision is bf16.*exported in fp32.*--precision bf16"
    ):
        load_backend(folder, "auto", "cpu", precision="bf16")


class TestGraphsBesideACheckpoint:
    """Which backend runs the packaged checkpoint, whose graphs are for CPUs."""

    @staticmethod
    def chosen(backend: str = "auto", device: str = "auto") -> str:
        return load_backend(DEFAULT_CHECKPOINT, backend, device).description.partition(" ")[0]

    @pytest.fixture
    def without(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Makes a library one that isn't installed."""

        def hide(library: str) -> None:
            monkeypatch.setitem(sys.modules, library, None)
            for backend in ("torch_backend", "onnx_backend"):
                name = f"perceptiondlm_ros.runtime.{backend}"
                monkeypatch.delitem(sys.modules, name, raising=False)

        return hide

    @pytest.mark.parametrize("backend", ["auto", "onnx"])
    @pytest.mark.parametrize("device", ["auto", "cpu"])
    def test_onnxruntime_runs_them(self, backend: str, device: str) -> None:
        assert self.chosen(backend, device) == "onnxruntime"

    def test_torch_runs_the_checkpoint_when_asked(self) -> None:
        assert self.chosen("torch") == "torch"

    def test_torch_computes_in_bf16(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = []
        monkeypatch.setattr(TorchBackend, "load", lambda *given: loaded.append(given[3]))
        monkeypatch.setattr("perceptiondlm_ros.runtime.torch_backend.multiplies_bf16", lambda: True)
        load_backend(DEFAULT_CHECKPOINT, "auto", "cpu", precision="bf16")
        assert loaded == [torch.bfloat16]
        with pytest.raises(BackendError, match=r"precision is bf16.*graphs beside .* in fp32"):
            load_backend(DEFAULT_CHECKPOINT, "onnx", "cpu", precision="bf16")

    @pytest.mark.parametrize("device", ["auto", "cpu"])
    def test_torch_runs_it_without_onnxruntime(
        self, device: str, without: Callable[[str], None]
    ) -> None:
        without("onnxruntime")
        assert self.chosen(device=device) == "torch"

    def test_without_both_the_error_names_the_smaller_one(
        self, without: Callable[[str], None]
    ) -> None:
        without("onnxruntime")
        without("torch")
        with pytest.raises(BackendError, match="pip install onnxruntime`"):
            self.chosen()

    def test_a_gpu_is_for_torch(
        self, monkeypatch: pytest.MonkeyPatch, without: Callable[[str], None]
    ) -> None:
        loaded = []
        monkeypatch.setattr(TorchBackend, "load", lambda *given: loaded.append(given[2]))
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        load_backend(DEFAULT_CHECKPOINT, "auto", "cuda:1")
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr(loading, "driver_cuda_version", lambda: "13.0")
        load_backend(DEFAULT_CHECKPOINT, "auto", "auto")
        assert loaded == ["cuda:1", "auto"]
        assert self.chosen(device="cpu") == "onnxruntime"
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert self.chosen() == "onnxruntime"
        without("torch")
        assert self.chosen() == "onnxruntime"

    def test_onnxruntime_has_no_graphs_for_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: here)
        assert self.chosen("onnx") == "onnxruntime"
        with pytest.raises(BackendError, match="exported for CPUs alone, and device is cuda:0"):
            self.chosen("onnx", "cuda")


@pytest.mark.parametrize("backend", ["jax", "", "Torch", None])
def test_other_backends_are_refused_by_name(folder: Path, backend: Any) -> None:
    with pytest.raises(
        BackendError, match=r"backend is .*expected one of auto, torch, onnx, tensorrt"
    ):
        load_backend(folder, backend, "cpu")


def test_without_torch_the_error_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "perceptiondlm_ros.runtime.torch_backend", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendError, match=r"the torch backend needs torch.*pip install torch"):
        load_backend(folder, "torch", "cpu")


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json can't be read"):
        load_backend(tmp_path, "auto", "cpu")


@pytest.mark.parametrize(
    ("cache", "prefix_sees_captions", "expected"),
    [
        ("auto", True, "exact"),
        ("auto", False, "prefix"),
        ("exact", False, "exact"),
        ("prefix", True, "prefix"),
    ],
)
def test_auto_is_the_prefix_cache_only_where_it_changes_nothing(
    cache: str, prefix_sees_captions: bool, expected: str
) -> None:
    assert choose_cache(cache, tiny_config(prefix_sees_captions=prefix_sees_captions)) == expected


@pytest.mark.parametrize("cache", ["", "none", "Exact", None, 1])
def test_other_cache_modes_are_refused_by_name(cache: Any) -> None:
    for refuse in (check_cache, lambda value: choose_cache(value, tiny_config())):
        with pytest.raises(InputError, match=r"cache is .*expected one of auto, exact, prefix"):
            refuse(cache)
