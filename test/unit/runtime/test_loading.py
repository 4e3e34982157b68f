"""Choosing a backend, a device and a cache mode."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from exported_models import exported, tiny
from tiny_checkpoint import save_checkpoint, tiny_config

from perceptiondlm_ros.errors import BackendError, CheckpointError, InputError
from perceptiondlm_ros.runtime import loading, processor
from perceptiondlm_ros.runtime.loading import check_cache, choose_cache, load_backend
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT
from perceptiondlm_ros.runtime.tensorrt import open_gpu, products
from perceptiondlm_ros.runtime.tensorrt.gpu import GpuInfo
from perceptiondlm_ros.runtime.tensorrt.tensorrt_backend import TensorRTBackend
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

    @pytest.fixture(autouse=True)
    def no_driver(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(loading, "driver_cuda_version", lambda: None)
        monkeypatch.setattr(loading, "_ROCM_DRIVER", tmp_path / "kfd")

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

    def test_torch_is_asked_for_a_gpu_where_there_is_a_driver_of_rocm(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr(
            TorchBackend, "load", lambda *given: SimpleNamespace(description="rocm")
        )
        assert self.chosen() == "onnxruntime"
        (tmp_path / "kfd").touch()
        assert self.chosen() == "rocm"

    def test_a_torch_that_cannot_load_its_libraries_is_told_and_not_needed(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(MetaPathFinder):
            def find_spec(self, name: str, *others: Any) -> None:
                if name == "perceptiondlm_ros.runtime.torch_backend":
                    raise OSError("libtorch_cuda.so: cannot open shared object file")

        monkeypatch.setattr(loading, "driver_cuda_version", lambda: "13.0")
        monkeypatch.delitem(sys.modules, "perceptiondlm_ros.runtime.torch_backend")
        monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
        assert self.chosen() == "onnxruntime"
        assert "torch can't be imported (libtorch_cuda.so" in caplog.text

    def test_onnxruntime_has_no_graphs_for_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: here)
        assert self.chosen("onnx") == "onnxruntime"
        with pytest.raises(BackendError, match="exported for CPUs alone, and device is cuda:0"):
            self.chosen("onnx", "cuda")


class TestTensorRTForRTX:
    """`auto` with an exported model on machines that have TensorRT for RTX and a driver."""

    SERVED = GpuInfo("NVIDIA GeForce RTX 4090", (8, 9), "13.0", 2**34, 2**34, shared=False)

    @pytest.fixture(autouse=True)
    def installed(self, rtx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def spec(name: str) -> Any:
            return None if name == "tensorrt" else find_spec(name)

        monkeypatch.setattr(loading, "find_spec", spec)

    @pytest.fixture
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        """Makes this a machine with a driver, and a GPU or why there is none."""

        def make(driver: str, found: GpuInfo | BackendError) -> Any:
            gpu = SimpleNamespace(info=lambda: found, close=lambda: None)

            def open_it(name: str) -> Any:
                if isinstance(found, BackendError):
                    raise found
                return gpu

            for module in (loading, products):
                monkeypatch.setattr(module, "driver_cuda_version", lambda: driver)
            monkeypatch.setattr(open_gpu, "open_gpu", open_it)
            return gpu

        return make

    def test_it_runs_the_model_where_it_can(
        self, machine: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded: list[Any] = []
        monkeypatch.setattr(TensorRTBackend, "load", lambda *given: loaded.append(given))
        gpu = machine("13.2", self.SERVED)
        load_backend(exported(tiny()), "auto", "auto")
        assert loaded == [(exported(tiny()), gpu)]

    @pytest.mark.parametrize(
        ("driver", "gpu", "why"),
        [
            ("12.8", SERVED, "installed for CUDA 13, and the driver for CUDA 12.8"),
            ("13.0", replace(SERVED, compute=(7, 5)), "has compute capability 7.5"),
            ("13.0", replace(SERVED, compute=(9, 0)), "has compute capability 9.0"),
            ("13.0", BackendError("needs cuda-python"), "needs cuda-python"),
            ("13.0", BackendError("no GPU"), "no GPU"),
        ],
    )
    def test_elsewhere_onnxruntime_does_and_the_log_says_why(
        self,
        driver: str,
        gpu: GpuInfo | BackendError,
        why: str,
        machine: Callable[..., Any],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        machine(driver, gpu)
        assert "onnxruntime" in load_backend(exported(tiny()), "auto", "auto").description
        (record,) = caplog.records
        assert "so ONNX Runtime does" in record.message and why in record.message


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
