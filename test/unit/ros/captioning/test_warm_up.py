"""Settings reach the model as it is loaded, and what the package logs meanwhile the log of ROS."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from log_support import Log

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.ros.captioning.warm_up import library_log, load_captioner
from perceptiondlm_ros.ros.health.monitor import Monitor
from perceptiondlm_ros.ros.health.status import Activity
from perceptiondlm_ros.ros.settings import Settings
from perceptiondlm_ros.runtime.tensorrt.build_progress import BuildClock


def test_every_level_is_passed_on_in_one_line_and_only_within() -> None:
    lines = Log()
    log = logging.getLogger("perceptiondlm_ros.runtime.somewhere")
    with library_log(Monitor(lines)):
        log.debug("too much")
        log.info("read %d\nfiles", 3)
        log.warning("slow")
        log.error("broken")
    log.error("later")
    assert (lines.infos, lines.warnings, lines.errors) == (["read 3 files"], ["slow"], ["broken"])
    assert logging.getLogger("perceptiondlm_ros").level == logging.NOTSET


def test_a_build_is_the_activity_from_its_first_report_until_it_is_over() -> None:
    log = Log()
    monitor = Monitor(log)
    status = monitor.status
    status.enter(Activity.LOADING, "/models/exported")
    with library_log(monitor):
        clock = BuildClock("denoiser", every=0.0)
        clock.enter("tactics", 0.4)
        seen = status.snapshot()
        assert (seen.activity, seen.detail) == (Activity.BUILDING, "denoiser")
        clock.enter("tactics")
        assert status.snapshot().since == seen.since
        logging.getLogger("perceptiondlm_ros.runtime.tensorrt.engine_loader").info("built denoiser")
        assert status.snapshot().activity is Activity.LOADING
        status.enter(Activity.WARMING_UP)
        logging.getLogger("perceptiondlm_ros.runtime.tensorrt.program").warning("no graph")
        assert status.snapshot().activity is Activity.WARMING_UP
    assert log.infos[0] == ("building denoiser for 0 s (tactics, 40%)")


def test_what_is_raised_within_leaves_no_handler_behind() -> None:
    handlers = list(logging.getLogger("perceptiondlm_ros").handlers)
    with pytest.raises(RuntimeError), library_log(Monitor(Log())):
        raise RuntimeError
    assert logging.getLogger("perceptiondlm_ros").handlers == handlers


def test_every_setting_of_the_model_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(Captioner, "load", lambda *given, **named: found.append((given, named)))
    wanted: dict[str, Any] = {
        "backend": "torch",
        "device": "cpu",
        "steps": 7,
        "caption_tokens": 9,
        "cache": "exact",
        "decoding": "confidence",
        "decoding_threshold": 0.7,
        "threads": 3,
        "precision": "bf16",
    }
    load_captioner(replace(Settings(), checkpoint="/model", **wanted))
    load_captioner(Settings())
    assert found[0] == (("/model",), wanted)
    absent = {"steps": None, "caption_tokens": None, "decoding_threshold": None, "threads": 0}
    automatic = dict.fromkeys(("backend", "device", "cache", "decoding", "precision"), "auto")
    assert found[1] == ((None,), {**absent, **automatic})
