"""What a process can tell of its machine, and of the device that it uses."""

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from perceptiondlm_ros.development.benchmark import machine


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux keeps it")
def test_a_peak_is_seen_after_it_is_over() -> None:
    size = machine.peak_memory()["host"] + 2**26
    block = np.ones(size, dtype=np.uint8)
    assert block[-1] == 1
    del block
    assert machine.peak_memory()["host"] >= size


def test_the_machine_its_gpus_and_libraries_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = machine.library_versions()
    assert versions["numpy"] == np.__version__
    assert versions["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = machine.describe_machine()
    assert found["processor"] and 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["memory_bytes"] > 10**8 and found["gpus"] == []
    tool = tmp_path / "nvidia-smi"
    for script, gpus in (
        ("echo 'NVIDIA H100'\necho 'NVIDIA L4'", ["NVIDIA H100", "NVIDIA L4"]),
        ("echo 'no driver' >&2\nexit 9", []),
    ):
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        assert machine.describe_machine()["gpus"] == gpus


def test_a_device_is_waited_for_through_what_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    for name in ("cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    machine.wait_for_device()
    assert set(machine.peak_memory()) == {"host"}

    waits: list[str] = []
    runtime = ModuleType("cuda.bindings.runtime")
    runtime.__dict__["cudaDeviceSynchronize"] = lambda: waits.append("cuda-python")
    runtime.__dict__["cudaMemGetInfo"] = lambda: (0, 10, 16)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime)
    monkeypatch.setattr(machine, "import_cuda_runtime", lambda: runtime)
    machine.wait_for_device()
    assert machine.peak_memory()["device"] == 6

    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waits.append("torch"))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (3, 16))
    machine.wait_for_device()
    assert machine.peak_memory()["device"] == 13
    assert waits == ["cuda-python", "torch"]
