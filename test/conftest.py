"""For all tests: their surroundings, one profile for every property test (examples aren't timed,
which fails on a busy machine), and the stand-in for TensorRT."""

import surroundings

surroundings.prepare()

import os  # noqa: E402 (after the surroundings)
import re  # noqa: E402
from collections.abc import Generator, Iterator  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from tensorrt_stand_in.fixtures import (  # noqa: E402, F401 (for all tests)
    rtx,
    trt,
    trt_script,
    trt_version,
)

from perceptiondlm_ros.model.manifest import Manifest  # noqa: E402

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    """Skip files of tests that need a library which the variable says may be missing: under colcon,
    those that package.xml doesn't name. The summary lists them."""
    outcome = yield
    report, may_lack = outcome.get_result(), os.environ.get("PERCEPTIONDLM_TESTS_MAY_LACK", "")
    missing = re.search(r"No module named '(\w+)", str(report.longrepr))
    if report.failed and missing and missing[1] in may_lack.split(","):
        report.outcome = "skipped"
        report.longrepr = report.nodeid, 0, f"Skipped: {missing[1]} is not installed"


@pytest.fixture(scope="session", autouse=True)
def _exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All processes of a test run share its exports, which are to be left as they were made."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    os.environ[surroundings.EXPORTS] = str(shared / "exports")
    yield
    for file in shared.glob("exports/*/[!.]*/manifest.json"):
        Manifest.read(file.parent).verify(file.parent)
