"""A run may end at any moment: what is captioned is kept, and no bag looks whole that isn't."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import bag_support
import pytest
from bag_support import FakeCaptioner, caption, contents, scene, write_bag
from patience import PATIENCE
from rosbags.rosbag2 import CompressionMode

from perceptiondlm_ros.cli.main import main
from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.messages.region_selection import RegionSettings
from perceptiondlm_ros.offline import caption_bag as caption_module
from perceptiondlm_ros.offline.bag_reading import bag_files
from perceptiondlm_ros.offline.caption_bag import BagOptions, caption_bag


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


def test_without_anything_left_to_caption_no_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_bag(tmp_path / "in", scene())
    with monkeypatch.context() as patch:
        patch.setattr(caption_module, "write_bag", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            caption(source, tmp_path / "out")
    no_load = Mock(side_effect=AssertionError("nothing is to be captioned"))
    assert caption_bag(source, tmp_path / "out", no_load, BagOptions()).resumed == 4


@pytest.mark.parametrize("left", [slice(0, -4096), slice(0, 7000), slice(100, None)])
def test_damage_to_what_is_kept_is_an_error_that_says_what_to_do(
    left: slice, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    with pytest.raises(BackendError):
        caption(source, tmp_path / "out", FakeCaptioner(passes=2))
    journal = tmp_path / "out.partial" / "captions.db"
    journal.write_bytes(journal.read_bytes()[left])
    with pytest.raises(InputError, match=r"damaged; remove .*out\.partial to begin anew"):
        caption(source, tmp_path / "out")


def test_what_an_earlier_version_left_is_refused_by_name(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene())
    left = tmp_path / "out.partial" / "captions.jsonl"
    left.parent.mkdir()
    left.write_text("{}")
    with pytest.raises(InputError, match=r"out\.partial.*earlier version.*remove the folder"):
        caption(source, tmp_path / "out")
    assert left.read_text() == "{}" and list(left.parent.iterdir()) == [left]


KILLED = """
import os, sys
from bag_support import FakeCaptioner
from perceptiondlm_ros.cli import bag
from perceptiondlm_ros.cli.main import main
class Killed(FakeCaptioner):
    def describe(self, *rest):
        if self.passes == 2:
            os.kill(os.getpid(), int(sys.argv[1]))
        return super().describe(*rest)
bag.load_captioner = lambda arguments: Killed()
sys.exit(main(["bag", *sys.argv[2:]]))
"""


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_killed_run_leaves_no_bag_and_goes_on(
    sent: signal.Signals,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that is asked to end leaves no copy of what was compressed, either."""
    source = write_bag(tmp_path / "in", scene(4), compression=CompressionMode.FILE)
    (unpacked := tmp_path / "unpacked").mkdir()
    folders = {"PYTHONPATH": str(Path(bag_support.__file__).parent), "TMPDIR": str(unpacked)}
    command = [sys.executable, "-c", KILLED, str(int(sent)), str(source), str(tmp_path / "out")]
    run = subprocess.run(
        command, env=os.environ | folders, check=False, timeout=PATIENCE, capture_output=True
    )
    assert run.returncode == status, run.stderr
    assert (b"the same command goes on" in run.stderr) == (sent == signal.SIGTERM)
    assert bool([*unpacked.iterdir()]) == (sent == signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("perceptiondlm_ros.cli.bag.load_captioner", lambda _: FakeCaptioner())
    assert main(["bag", *command[-2:]]) == 0
    assert "in 4 frames, 2 of them in earlier runs" in capsys.readouterr().out


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


@pytest.mark.parametrize("other", [["--precision", "bf16"], ["--decoding", "schedule"]])
def test_a_run_does_not_go_on_with_another_model(
    other: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    captioner = FakeCaptioner(passes=2)
    monkeypatch.setattr("perceptiondlm_ros.cli.bag.load_captioner", lambda _: captioner)
    command = ["bag", str(write_bag(tmp_path / "in", scene())), str(tmp_path / "out")]
    assert main(command) != 0
    captioner.left = 1000
    assert main([*command, *other]) != 0
    assert other[0][2:] in capsys.readouterr().err
    assert main(command) == 0


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
    (tmp_path / "link").symlink_to("nothing")
    for output in (source, tmp_path / "link", tmp_path / "new" / ".."):
        with pytest.raises(InputError, match="exists already"):
            caption(source, output)


def test_what_else_is_in_the_folder_of_a_run_stays(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "notes.txt").write_text("mine")
    assert caption(source, tmp_path / "out").frames == 2
    assert [path.name for path in (tmp_path / "out.partial").iterdir()] == ["notes.txt"]


def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"output: .*Not a directory") as error:
        caption(source, tmp_path / "file" / "out")
    assert "kept" not in str(error.value)
    assert caption(source, tmp_path / "new" / "folder" / "out").frames == 2


def test_where_a_bag_can_t_be_unpacked_another_place_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_bag(tmp_path / "in", scene(2), compression=CompressionMode.FILE)
    (full := tmp_path / "full").mkdir()
    (full / "in.mcap").symlink_to("/dev/full")
    monkeypatch.setattr(bag_files, "TemporaryDirectory", lambda prefix: nullcontext(str(full)))
    with pytest.raises(InputError, match=r"unpacked to .*No space left.*TMPDIR names another"):
        caption(source, tmp_path / "out")
