"""The node under load for a few seconds: how it behaves. Times are judged by `make load`.

A busy machine makes everything late, so nothing here is about how late.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ros_domains import own_domain
from surroundings import of_a_user

from perceptiondlm_ros.development.demo.load.load_report import TimedEvent, read_events

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")

# A camera is faster than such passes even on a busy machine.
SECONDS, PASS_SECONDS = 10.0, 1.0


class Run:
    """One load, with what it printed and left."""

    def __init__(self, output: Path, domain: int) -> None:
        self.output = output
        self.process = subprocess.run(
            [
                *(sys.executable, "-m", "perceptiondlm_ros.development.demo.load.run_load"),
                f"--seconds={SECONDS}",
                f"--pass-seconds={PASS_SECONDS}",
                f"--output={output}",
                f"--domain={domain}",
            ],
            env=of_a_user(),
            capture_output=True,
            text=True,
            check=False,
        )
        self.said = self.process.stdout + self.process.stderr
        self.records: list[TimedEvent] = list(read_events(output / "records.jsonl"))
        self.figures = {
            figure["name"]: figure for figure in json.loads((output / "figures.json").read_text())
        }

    def stamps(self, event: str) -> list[int]:
        return [record.stamp_ns for record in self.records if record.event == event]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with own_domain() as domain:
        return Run(tmp_path_factory.mktemp("load") / "out", domain)


def test_it_lasts_and_captions_while_many_more_frames_come(run: Run) -> None:
    assert run.process.returncode in (0, 1), run.said
    started, handed = run.stamps("started"), run.stamps("handed")
    assert len(started) >= 3, run.said
    assert len(set(handed)) > len(started), "the model was never too slow"


def test_fast_dds_takes_its_profile(run: Run) -> None:
    for name in ("node", "camera"):
        assert "XML" not in (run.output / f"{name}.log").read_text()


def test_the_newest_frame_wins_and_none_is_captioned_twice_or_out_of_order(run: Run) -> None:
    handed = [(r.time_ns, r.stamp_ns) for r in run.records if r.event == "handed"]
    stamps_handed = [stamp for _, stamp in handed]
    free = [record.time_ns for record in run.records if record.event == "ready"]
    for since, stamp in zip(free, run.stamps("started")[1:], strict=False):
        newer = [other for time, other in handed if time < since and other > stamp]
        assert len(newer) <= 1, "one may have been on its way when the model became free"
    for event in ("started", "ready", "published"):
        stamps = run.stamps(event)
        assert stamps == sorted(set(stamps)), event
    places = [stamps_handed.index(stamp) for stamp in run.stamps("started")]
    assert np.diff(places).max() > 1, "frames were left out for newer ones"


def test_each_pass_is_published(run: Run) -> None:
    ready, published = run.stamps("ready"), run.stamps("published")
    assert set(published) <= set(ready)
    assert len(published) >= len(ready) - 1, "the last may end with the node"


def test_memory_shows_no_trend(run: Run) -> None:
    """A kept image is 2.8 MB, over one percent of the node; this many would be several times it.

    Shared memory counts from when it is used first, which is later on a busy machine.
    """
    assert run.figures["growth of memory of a short run"]["value"] < 40


def test_the_figures_are_printed_judged_and_drawn(run: Run) -> None:
    every = run.figures.values()
    limited = {figure["name"]: figure for figure in every if figure["limit"] is not None}
    assert len(limited) >= 6
    for name, figure in limited.items():
        assert figure["within"] == (figure["value"] <= figure["limit"])
        assert name in run.said
    assert (run.process.returncode == 0) == all(figure["within"] for figure in every)
    with Image.open(run.output / "load.png") as picture:
        assert picture.size[0] > 1000
