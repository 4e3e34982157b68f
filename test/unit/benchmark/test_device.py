import os
import sys

import numpy as np
import pytest

from perceptiondlm_ros.benchmark import device


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


def test_waiting_without_a_device_is_nothing() -> None:
    device.wait_for_device()
