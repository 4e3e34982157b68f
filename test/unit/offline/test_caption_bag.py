"""A captioned bag holds what was there, byte for byte, and the descriptions of each frame."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bag_support
import numpy as np
import pytest
from bag_support import LATE, MS, START, contents, scene, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.messages.regions import RegionSettings
from perceptiondlm_ros.offline.caption_bag import Options, caption_bag
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE


class FakeCaption:
    confidence = 0.5
    truncated = False

    def __init__(self, text: str) -> None:
        self.text = text


class FakeCaptioner:
    """Says how bright the image is and where the boxes are; fails after so many passes."""

    name = "fake"

    def __init__(self, passes: int = 1000, error: BaseException | None = None) -> None:
        self.left = passes
        self.error = error or BackendError("out of memory")
        self.passes = 0

    def describe(
        self, image: np.ndarray, regions: Sequence[Any], prompt: str | None = None
    ) -> list[Any]:
        if self.passes == self.left:
            raise self.error
        self.passes += 1
        return [FakeCaption(f"{image[0, 0, 0]} at {box}") for box in regions]


def caption(source: Path, output: Path, captioner: Any = None, **options: Any) -> Any:
    fake = captioner or FakeCaptioner()
    return caption_bag(source, output, lambda: fake, Options(**options))


KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


@pytest.mark.parametrize(("storage", "compression"), KINDS, ids=lambda kind: kind.name)
def test_everything_is_copied_and_descriptions_are_added(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(), storage, compression)
    summary = caption(source, tmp_path / "out")
    before, after = contents(source), contents(tmp_path / "out")
    assert [m for m in after.raw if m[0] != "/region_captioner/descriptions"] == before.raw
    assert {p.suffix for p in source.iterdir()} == {p.suffix for p in (tmp_path / "out").iterdir()}
    for topic, connection in before.connections.items():
        copy = after.connections[topic]
        assert (copy.msgtype, copy.digest, copy.msgdef) == (
            connection.msgtype,
            connection.digest,
            connection.msgdef,
        )
    assert (summary.frames, summary.regions, summary.resumed) == (4, 10, 0)
    assert summary.storage == storage.name.lower()
    assert not (tmp_path / "out.partial").exists()


def test_descriptions_say_what_the_frame_shows(tmp_path: Path) -> None:
    caption(write_bag(tmp_path / "in", scene(3)), tmp_path / "out")
    described = contents(tmp_path / "out").described
    assert [log_ns for log_ns, _ in described] == [
        START + 100 * n * MS + 2 * LATE for n in range(3)
    ]
    message = described[1][1]
    assert message.header == bag_support.header(START + 100 * MS)
    assert (message.model, message.dropped) == ("fake", 0)
    assert [(r.id, r.index, r.label, r.score) for r in message.regions] == [
        ("0", 0, "cup", 0.5),
        ("1", 1, "cup", 0.5),
    ]
    assert message.regions[1].caption == "61 at (3.0, 2.0, 13.0, 11.0)"
    assert message.regions[1].caption_stamp == message.header.stamp
    assert {r.source for r in message.regions} == {0}


def test_a_single_file_is_a_bag(tmp_path: Path) -> None:
    write_bag(tmp_path / "in", scene())
    assert caption(tmp_path / "in" / "in.mcap", tmp_path / "out").frames == 4


def test_an_interrupted_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(5))
    caption(source, tmp_path / "whole")
    for error in (KeyboardInterrupt(), BackendError("out of memory")):
        with pytest.raises(type(error)):
            caption(source, tmp_path / "out", FakeCaptioner(passes=2, error=error))
        assert not (tmp_path / "out").exists()
    left = FakeCaptioner()
    summary = caption(source, tmp_path / "out", left)
    assert (left.passes, summary.resumed, summary.frames) == (1, 4, 5)
    assert contents(tmp_path / "out").raw == contents(tmp_path / "whole").raw


def test_without_anything_left_to_caption_no_model_is_loaded(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene())

    def load() -> Any:
        raise AssertionError("nothing is to be captioned")

    def stop(what: str, total: int) -> Any:
        if what == "writing":
            raise KeyboardInterrupt
        from perceptiondlm_ros.offline.caption_bag import no_progress

        return no_progress(what, total)

    with pytest.raises(KeyboardInterrupt):
        caption_bag(source, tmp_path / "out", FakeCaptioner, Options(), stop)
    assert caption_bag(source, tmp_path / "out", load, Options()).resumed == 4


def test_a_line_that_was_cut_off_is_captioned_again(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    with pytest.raises(BackendError):
        caption(source, tmp_path / "out", FakeCaptioner(passes=2))
    journal = tmp_path / "out.partial" / "captions.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert caption(source, tmp_path / "out").resumed == 1
    assert len(contents(tmp_path / "out").described) == 3


KILLED = """
import os, sys
from pathlib import Path
from test_caption_bag import FakeCaptioner
from perceptiondlm_ros.offline.caption_bag import Options, caption_bag
class Killed(FakeCaptioner):
    def describe(self, *rest):
        if self.passes == 2:
            os.kill(os.getpid(), 9)
        return super().describe(*rest)
caption_bag(Path(sys.argv[1]), Path(sys.argv[2]), Killed, Options())
"""


def test_a_killed_run_leaves_no_bag_and_goes_on(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(4))
    here = Path(__file__)
    program = f"import sys; sys.path[:0] = {[str(here.parent), str(here.parents[2])]}; {KILLED}"
    run = subprocess.run(
        [sys.executable, "-c", program.replace("; \n", "\n"), str(source), str(tmp_path / "out")],
        check=False,
        timeout=120,
    )
    assert run.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert caption(source, tmp_path / "out").resumed == 2


def test_a_run_does_not_go_on_with_other_settings(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene())
    with pytest.raises(BackendError):
        caption(source, tmp_path / "out", FakeCaptioner(passes=2))
    with pytest.raises(InputError, match=r"prompt None instead of 'What is it\?'.*remove"):
        caption(source, tmp_path / "out", prompt="What is it?")
    settings = RegionSettings(classes=frozenset({"cup"}))
    with pytest.raises(InputError, match="regions"):
        caption(source, tmp_path / "out", regions=settings)
    assert caption(source, tmp_path / "out").resumed == 2


def test_only_one_run_at_a_time_writes_a_bag(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene())

    class Second(FakeCaptioner):
        def describe(self, *rest: Any) -> list[Any]:
            if not self.passes:
                with pytest.raises(InputError, match="another process"):
                    caption(source, tmp_path / "out")
            return super().describe(*rest)

    assert caption(source, tmp_path / "out", Second()).frames == 4


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene())
    with pytest.raises(InputError, match="exists already"):
        caption(source, source)


def test_detections_are_matched_within_the_tolerance_and_losses_are_counted(
    tmp_path: Path,
) -> None:
    boxes = [(2.0, 2.0, 12.0, 10.0), (0.0, 0.0, 0.0, 0.0)]
    messages = [
        ("/image", START, IMAGE, bag_support.image(START)),
        *(
            ("/detections", START + gap, DETECTIONS, bag_support.detections(START + gap, boxes))
            for gap in (20 * MS, 300 * MS)
        ),
        ("/image", START + 900 * MS, IMAGE, bag_support.image(START + 900 * MS)),
    ]
    source = write_bag(tmp_path / "in", messages)
    summary = caption(source, tmp_path / "out")
    assert (summary.frames, summary.matching.matched_nearest, summary.matching.unmatched) == (
        1,
        1,
        1,
    )
    assert summary.matching.last_gap == pytest.approx(0.3)
    assert sum(summary.dropped.values()) == 1
    assert contents(tmp_path / "out").described[0][1].dropped == 1
    with pytest.raises(InputError, match=r"0\.300 s away.*--tolerance"):
        caption(source, tmp_path / "exact", tolerance=0.0)
    assert not (tmp_path / "exact.partial").exists()


def test_unreadable_images_are_counted_and_described_as_without_regions(tmp_path: Path) -> None:
    broken = bag_support.image(START)
    broken.encoding = "heat"
    messages = [("/image", START, IMAGE, broken), *scene(2)[1:]]
    summary = caption(write_bag(tmp_path / "in", messages), tmp_path / "out")
    assert (summary.frames, summary.regions) == (2, 2)
    assert any("heat" in reason for reason in summary.dropped)
    assert contents(tmp_path / "out").described[0][1].dropped == 1
