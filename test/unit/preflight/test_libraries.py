"""What is told of installed libraries, from package metadata alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perceptiondlm_ros.preflight.jetpack import JETPACKS, jetpack_at_hand
from perceptiondlm_ros.preflight.libraries import Installed, find_installed, release

ALWAYS = {"msgspec": "0.22.0", "numpy": "2.2.6", "pillow": "12.0", "tokenizers": "0.21"}
LOCKS = {"filelock": "3.0", "psutil": "7.0"}


def installed(files: tuple[str, ...] = (), **versions: str) -> Installed:
    names = {name.replace("_", "-"): version for name, version in versions.items()} | ALWAYS | LOCKS
    return find_installed(names.get, lambda distribution: list(files))


def test_nothing_is_imported() -> None:
    program = (
        "import sys; from perceptiondlm_ros.preflight.libraries import find_installed\n"
        "find_installed(); heavy = {'torch', 'onnx', 'onnxruntime', 'numpy'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_this_environment_is_described() -> None:
    found = find_installed()
    assert {"numpy", "pillow", "tokenizers", "torch", "safetensors"} <= found.libraries.keys()
    assert found.missing("torch") == []


def test_what_a_backend_lacks_is_named() -> None:
    assert installed().missing("onnx") == ["onnxruntime"]
    assert installed(onnxruntime="1.20").missing("onnx") == []
    assert installed(torch="2.8").missing("torch") == ["safetensors"]
    assert find_installed(lambda name: None).missing("onnx") == [*ALWAYS, "onnxruntime"]


@pytest.mark.parametrize("build", ["onnxruntime_gpu", "onnxruntime_openvino", "ort_nightly"])
def test_every_build_of_onnxruntime_counts(build: str) -> None:
    found = installed(**{build: "1.23.0"})
    assert found.missing("onnx") == []
    assert found.libraries["onnxruntime"].distribution == build.replace("_", "-")


def test_torch_stands_in_for_cuda_python() -> None:
    assert installed(tensorrt="10.3.0").missing("tensorrt") == ["cuda-python"]
    assert installed(tensorrt="10.3.0", cuda_python="12.6").missing("tensorrt") == []
    assert installed(tensorrt="10.3.0", torch="2.8").missing("tensorrt") == []


def test_providers_are_told_by_the_wheels_files() -> None:
    gpu = ("onnxruntime/capi/libonnxruntime_providers_cuda.so", "onnxruntime/capi/other.so")
    assert installed(gpu, onnxruntime_gpu="1.20").providers == ("CUDA", "CPU")
    assert installed(onnxruntime="1.20").providers == ("CPU",)
    assert installed().providers == ()


def test_two_builds_of_onnxruntime_are_noticed() -> None:
    assert not installed(onnxruntime="1.20").doubled
    both = installed(onnxruntime="1.20", onnxruntime_gpu="1.19")
    assert both.doubled
    assert both.libraries["onnxruntime"].version == "1.19"


@pytest.mark.parametrize(
    ("version", "old"),
    [("8.6.2", True), ("10.1.0", True), ("10.3.0", False), ("10.16.1.11", False), ("11.4", False)],
)
def test_tensorrt_older_than_10_3_is_too_old(version: str, old: bool) -> None:
    lacking = installed(tensorrt=version, cuda_python="12.6").missing("tensorrt")
    assert lacking == (["tensorrt 10.3 or newer"] if old else [])


def test_release_reads_any_version() -> None:
    assert release("10.3.0.26-1+cuda12.5") == (10, 3)
    assert release("11") == (11,)
    assert release("") == ()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref, EABI: aarch64", "5"),
        ("# R36 (release), REVISION: 3.0, GCID: 1, BOARD: generic", "6.0"),
        ("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "6.1 or 6.2"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic", "7"),
        ("# R39 (release), REVISION: 2.1, GCID: 1, BOARD: generic", "7"),
        ("# R32 (release), REVISION: 7.1, GCID: 1, BOARD: t186ref", None),
        ("something else", None),
    ],
)
def test_jetpack_is_told_by_the_release_of_its_linux(
    line: str, name: str | None, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text(line + "\n")
    found = jetpack_at_hand(tmp_path)
    assert (found and found.name) == name


def test_elsewhere_there_is_no_jetpack(tmp_path: Path) -> None:
    assert jetpack_at_hand(tmp_path) is None


def test_jetpacks_are_in_order() -> None:
    assert sorted(jetpack.linux for jetpack in JETPACKS) == [j.linux for j in JETPACKS]
