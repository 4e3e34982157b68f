import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from perceptiondlm_ros.development.benchmark import device


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux keeps it")
def test_a_peak_is_seen_after_it_is_over() -> None:
    before = device.peak_memory()["host"]
    size = before + 2**26
    block = np.ones(size, dtype=np.uint8)
    assert block[-1] == 1
    del block
    assert device.peak_memory()["host"] >= size


def test_the_machine_and_its_libraries_are_named() -> None:
    machine = device.machine()
    assert machine["processor"] and 1 <= machine["cores"] <= (os.cpu_count() or 1)
    assert machine["memory_bytes"] > 10**8
    versions = device.versions()
    assert versions["numpy"] == np.__version__
    assert versions["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")


def test_gpus_are_those_that_the_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device.machine()["gpus"] == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA L4'\n")
    tool.chmod(0o755)
    assert device.machine()["gpus"] == ["NVIDIA H100", "NVIDIA L4"]
    tool.write_text("#!/bin/sh\necho 'no driver' >&2\nexit 9\n")
    assert device.machine()["gpus"] == []


def test_without_a_device_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    device.wait_for_device()
    assert set(device.peak_memory()) == {"host"}


def test_a_device_is_waited_for_through_what_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    runtime = ModuleType("cuda.bindings.runtime")
    runtime.__dict__["cudaDeviceSynchronize"] = lambda: waits.append("cuda-python")
    runtime.__dict__["cudaMemGetInfo"] = lambda: (0, 10, 16)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime)
    monkeypatch.setattr(device, "import_cuda_runtime", lambda: runtime)
    device.wait_for_device()
    assert device.peak_memory()["device"] == 6
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waits.append("torch"))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (3, 16))
    device.wait_for_device()
    assert device.peak_memory()["device"] == 13
    assert waits == ["cuda-python", "torch"]
