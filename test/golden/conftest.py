"""Runs every golden test on every golden case."""

import pytest
from golden_cases import CASES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden" in metafunc.fixturenames:
        names = [f"{case.checkpoint.name}-{case.folder.name}" for case in CASES]
        metafunc.parametrize("golden", CASES, ids=names)
