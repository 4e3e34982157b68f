"""What the package logs while it loads a model reaches the log of ROS; a build is an activity."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from perceptiondlm_ros.ros.health.library_log import library_log
from perceptiondlm_ros.ros.health.status import Activity, Status
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildProgress, log_progress


@dataclass
class Logger:
    lines: list[tuple[str, str]] = field(default_factory=list)

    def __getattr__(self, severity: str) -> Any:
        return lambda line: self.lines.append((severity, line))


def test_every_level_is_passed_on_in_one_line_and_only_within() -> None:
    logger: Any = Logger()
    log = logging.getLogger("perceptiondlm_ros.runtime.somewhere")
    with library_log(logger, Status()):
        log.debug("too much")
        log.info("read %d\nfiles", 3)
        log.warning("slow")
        log.error("broken")
    log.error("later")
    assert logger.lines == [("info", "read 3 files"), ("warning", "slow"), ("error", "broken")]
    assert logging.getLogger("perceptiondlm_ros").level == logging.NOTSET


def test_a_build_is_the_activity_from_its_first_report_until_it_is_over() -> None:
    status, logger = Status(), Logger()
    status.enter(Activity.LOADING, "/models/exported")
    with library_log(logger, status):  # type: ignore[arg-type]
        report = log_progress(every=10.0)
        report(BuildProgress("denoiser", "tactics", 0.0, 0.4))
        seen = status.snapshot()
        assert (seen.activity, seen.detail) == (Activity.BUILDING, "denoiser")
        report(BuildProgress("denoiser", "tactics", 10.0))
        assert status.snapshot().since == seen.since
        logging.getLogger("perceptiondlm_ros.runtime.tensorrt.ensure").info("built denoiser")
        assert status.snapshot().activity is Activity.LOADING
    assert logger.lines[0] == ("info", "building denoiser for 0 s (tactics, 40%)")


def test_what_is_raised_within_leaves_no_handler_behind() -> None:
    handlers = list(logging.getLogger("perceptiondlm_ros").handlers)
    with pytest.raises(RuntimeError), library_log(Logger(), Status()):  # type: ignore[arg-type]
        raise RuntimeError
    assert logging.getLogger("perceptiondlm_ros").handlers == handlers
