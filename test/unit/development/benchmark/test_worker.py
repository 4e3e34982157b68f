import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.development.benchmark.stopwatch import STAGES
from perceptiondlm_ros.development.benchmark.worker import serve


def served(folder: Path, *requests: dict[str, int], backend: str = "torch") -> list[Any]:
    answers = io.StringIO()
    lines = io.StringIO(
        "".join(json.dumps({"few_steps": False, **request}) + "\n" for request in requests)
    )
    serve(io.StringIO("".join(lines)), answers, [str(folder), backend, "exact", "cpu", "3"])
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_each_request_is_answered_with_times_and_captions(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    loaded, one, again, twelve = served(
        tmp_path,
        {"tiles": 1, "regions": 1},
        {"tiles": 1, "regions": 1},
        {"tiles": 3, "regions": 12},
    )
    assert "torch" in loaded["description"] and loaded["loading_seconds"] > 0
    assert set(one["milliseconds"]) == set(STAGES)
    assert all(value > 0 for value in one["milliseconds"].values())
    assert (one["tokens"], one["groups"]) == (6, 1)
    assert (twelve["tokens"], twelve["groups"]) == (72, 2)
    assert one["digest"] == again["digest"] != twelve["digest"]
    assert one["memory"]["host"] > 10**7


def test_stages_make_up_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # This thread's own time, as others may take the processor between two stages.
    monkeypatch.setattr("time.perf_counter", time.thread_time)
    save_checkpoint(tmp_path)
    _, answer = served(tmp_path, {"tiles": 3, "regions": 6})
    times = answer["milliseconds"]
    parts = sum(times[stage] for stage in ("preprocessing", "vision", "prefill"))
    assert 0.5 * times["total"] < parts + 2 * times["step"] <= times["total"]


def test_few_steps_warm_up(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    _, few, all_ = served(
        tmp_path, {"tiles": 1, "regions": 6, "few_steps": True}, {"tiles": 1, "regions": 6}
    )
    assert few["tokens"] == all_["tokens"] and few["digest"] != all_["digest"]


@pytest.mark.parametrize(
    ("backend", "reason"),
    [("torch", "config.json can't be read"), ("tensorrt", "needs an exported model")],
)
def test_a_model_that_cannot_be_loaded_is_answered_with_the_reason(
    tmp_path: Path, backend: str, reason: str
) -> None:
    (answer,) = served(tmp_path, backend=backend)
    assert reason in answer["error"]


def test_a_request_that_cannot_be_met_ends_with_the_reason(tmp_path: Path) -> None:
    save_checkpoint(tmp_path)
    answers = served(tmp_path, {"tiles": 2, "regions": 1}, {"tiles": 1, "regions": 1})
    assert len(answers) == 2 and "tiles is 2" in answers[1]["error"]
