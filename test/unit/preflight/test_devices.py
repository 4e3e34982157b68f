"""The table of devices, and what is found out about the one at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.preflight.devices import DEVICES, device_at_hand, find_device
from perceptiondlm_ros.text import GIB

TOTAL, AVAILABLE = 15 * GIB, 9 * GIB


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(total=TOTAL, available=AVAILABLE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def machine(root: Path, model: str) -> Path:
    (root / "proc" / "device-tree").mkdir(parents=True)
    (root / "proc" / "device-tree" / "model").write_bytes(model.encode() + b"\0")
    return root


def no_driver(command: list[str]) -> str:
    raise FileNotFoundError(command[0])


def test_names_are_unique_and_can_be_found() -> None:
    names = [device.name for device in DEVICES]
    assert len(set(names)) == len(names)
    assert [find_device(name) for name in names] == list(DEVICES)


def test_memory_is_that_of_the_data_sheets() -> None:
    memory = {device.name: device.memory // GIB for device in DEVICES}
    named = {"orin-nano-4": 4, "orin-nx-16": 16, "agx-orin-64": 64, "thor-128": 128}
    assert {**named, "rtx-3060-12": 12, "l4": 24, "h200": 141}.items() <= memory.items()


def test_precisions_follow_the_compute_capability() -> None:
    assert find_device("t4").precisions == ("fp32", "fp16", "int8")
    assert find_device("t4").usual_precision == "fp16"
    assert find_device("agx-orin-64").precisions == ("fp32", "fp16", "bf16", "int8")
    assert find_device("thor-128").precisions[-1] == "fp8"
    assert find_device("h100").usual_precision == "bf16"
    assert find_device("cpu").usual_precision == "fp32"


@pytest.mark.parametrize("name", ["", "orin", "H100", "here "])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(InputError, match=r"expected here, cpu, or one of orin-nano-4, .*h200"):
        find_device(name)


def test_a_jetson_shares_its_memory_and_says_what_is_free(tmp_path: Path) -> None:
    root = machine(tmp_path, "NVIDIA Jetson Orin NX Engineering Reference Developer Kit")
    device = device_at_hand(no_driver, root)
    assert device.title.startswith("NVIDIA Jetson Orin NX")
    assert device.shared and device.compute == (8, 7)
    assert (device.memory, device.free) == (TOTAL, AVAILABLE)
    assert device.usable == device.free - GIB // 2


def test_other_boards_are_no_jetsons(tmp_path: Path) -> None:
    device = device_at_hand(no_driver, machine(tmp_path, "Raspberry Pi 5 Model B"))
    assert device.compute is None


def test_a_gpu_is_asked_of_its_driver(tmp_path: Path) -> None:
    def ask(command: list[str]) -> str:
        assert command[0] == "nvidia-smi"
        return "NVIDIA H100 80GB HBM3, 81559, 80000, 9.0\nNVIDIA L4, 23034, 22500, 8.9\n"

    device = device_at_hand(ask, tmp_path)
    assert device.title == "NVIDIA H100 80GB HBM3"
    assert not device.shared and device.compute == (9, 0)
    assert (device.memory, device.free) == (81559 * 2**20, 80000 * 2**20)


@pytest.mark.parametrize(
    "answer", ["", "No devices were found\n", "Orin (nvgpu), [N/A], [N/A], 8.7\n"]
)
def test_a_driver_without_an_answer_leaves_the_cpu(answer: str, tmp_path: Path) -> None:
    device = device_at_hand(lambda command: answer, tmp_path)
    assert device.name == "cpu"
    assert device.compute is None


def test_little_free_memory_never_counts_below_nothing() -> None:
    assert replace(find_device("cpu"), free=10).usable == 0


def test_this_machine_is_known() -> None:
    device = find_device("here")
    assert 0 < device.usable < device.memory
