"""The command line of `perceptiondlm bag`: every option is told, mistakes are one clear line."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bag_support
import numpy as np
import pytest
from bag_support import START, FakeCaptioner, contents, scene, write_bag, write_mcap

import perceptiondlm_ros.offline
from perceptiondlm_ros.cli import bag
from perceptiondlm_ros.cli.main import main
from perceptiondlm_ros.messages.boxes import FITS
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE


@pytest.fixture(autouse=True)
def captioner(monkeypatch: pytest.MonkeyPatch) -> FakeCaptioner:
    fake = FakeCaptioner()
    monkeypatch.setattr("perceptiondlm_ros.cli.bag.load_captioner", lambda _: fake)
    return fake


@pytest.fixture
def tells(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, and returns what it says."""

    def run(source: Path, output: Path, *options: str) -> str:
        assert main(["bag", str(source), str(output), *options]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which fails, and returns the one line on stderr."""

    def run(*arguments: object) -> str:
        try:
            status = main(["bag", *map(str, arguments)])
        except SystemExit as end:
            status = int(str(end.code))
        assert status == 2
        *usage, line = capsys.readouterr().err.strip().splitlines()
        assert not usage or usage[0].startswith("usage:")
        return line

    return run


def frame(image: Any, boxes: list[tuple[float, float, float, float]]) -> list[Any]:
    """The messages of one frame."""
    found = bag_support.detections(START, boxes)
    return [("/image", START, IMAGE, image), ("/detections", START + 1, DETECTIONS, found)]


def test_a_bag_that_is_not_whole_is_an_error_or_told(
    tmp_path: Path, tells: Callable[..., str], fails: Callable[..., str]
) -> None:
    notes = bag_support.Foreign("/notes", "json", ("diary", "jsonschema", b"{}"))
    source, out = write_mcap(tmp_path / "in.mcap", scene(3), [notes]), tmp_path / "out"
    source.write_bytes(source.read_bytes()[:-20])
    line = fails(source, out)
    assert "it ends in the middle of a record" in line
    assert "`mcap recover`" in line and "--partial" in line
    captioned, foreign, lacking, written = tells(source, out, "--partial").splitlines()
    assert captioned == "captioned 6 regions in 3 frames"
    assert foreign == "copied as they are, not being ROS 2's: /notes (json)"
    assert lacking.startswith("the bag is not whole: in.mcap: at byte")
    assert written == f"{out}: mcap, captions on /region_captioner/descriptions"


def test_options_reach_the_frames(tmp_path: Path, tells: Callable[..., str]) -> None:
    source, out = write_bag(tmp_path / "in", scene(3)), tmp_path / "out"
    options = ["--max-regions", "2", "--descriptions", "/said", "--min-score", "0.4"]
    assert "1 detections dropped: above the limit of 2 regions" in tells(source, out, *options)
    assert [len(message.regions) for _, message in contents(out, "/said").described] == [1, 2, 2]


def test_normalised_boxes_are_told_with_the_options_that_make_them_right(
    tmp_path: Path, tells: Callable[..., str]
) -> None:
    shares = [(0.1, 0.2, 0.4, 0.8), (0.5, 0.5, 1.0, 0.9)]
    source = write_bag(tmp_path / "in", frame(bag_support.image(START), shares))
    told = tells(source, tmp_path / "out")
    assert "2 detections dropped: smaller than two pixels" in told
    assert "detections.image_width:=1" in told and "--image-width 1 --image-height 1" in told
    advised = ["--image-width", "1", "--image-height", "1", "--image-fit", "stretch"]
    assert "dropped" not in tells(source, tmp_path / "again", *advised)
    ((_, message),) = contents(tmp_path / "again").described
    sizes = [(region.bbox.size_x, region.bbox.size_y) for region in message.regions]
    assert np.allclose(sizes, [(0.3 * 32, 0.6 * 24), (0.5 * 32, 0.4 * 24)])


def test_nearly_black_images_are_told_with_the_option_that_makes_them_right(
    tmp_path: Path, tells: Callable[..., str]
) -> None:
    dark = bag_support.picture(START, "mono16", np.full((24, 32), 1000, np.uint16))
    source = write_bag(tmp_path / "in", frame(dark, [(2, 2, 9, 9)]))
    told = tells(source, tmp_path / "out")
    assert "1 frames have an image whose captions are doubtful" in told
    assert "set --significant-bits 10" in told
    assert "doubtful" not in tells(source, tmp_path / "again", "--significant-bits=10")
    told = tells(source, tmp_path / "few", "--significant-bits=8")
    assert "got numbers above 255, expected 8 significant bits" in told


def test_the_ways_to_fit_an_image_are_those_of_the_node() -> None:
    assert bag._FITS == FITS


def test_several_topics_have_to_be_told_apart(
    tmp_path: Path, tells: Callable[..., str], fails: Callable[..., str]
) -> None:
    more = [("/depth", START, IMAGE, bag_support.image(START))]
    source = write_bag(tmp_path / "in", [*more, *scene(2)])
    line = fails(source, tmp_path / "out")
    assert "--image" in line
    assert "/depth (1), /image (2)" in line
    given = ["--image", "/image", "--detections", "/detections"]
    assert "in 2 frames" in tells(source, tmp_path / "out", *given)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--image", "/other"], "no topic /other of sensor_msgs/Image"),
        (["--image", "/chatter"], "no topic /chatter"),
        (["--detections", "/image"], "no topic /image of vision_msgs/Detection2DArray"),
        (["--descriptions", "/image"], "has a topic /image already"),
        (["--image", "relative"], "expected a full topic name"),
        (["--tolerance", "-1"], "expected seconds from 0 to 10"),
        (["--tolerance", "nan"], "expected seconds"),
        (["--max-regions", "0"], "expected a whole number of at least 1"),
        (["--min-score", "2"], "expected a score from 0 to 1"),
        (["--classes", ","], "expected names separated by commas"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], told: str, tmp_path: Path, fails: Callable[..., str]
) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    assert told in fails(source, tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_what_is_no_bag_to_caption_is_told(tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "out"
    assert "no such file or folder" in fails(tmp_path / "nowhere", out)
    assert "no metadata.yaml" in fails(tmp_path, out)
    silent = write_bag(tmp_path / "silent", scene(1)[1:2])
    assert "no messages of sensor_msgs/Image" in fails(silent, out)


def test_every_option_of_the_documentation_is_in_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["bag", "--help"])
    told = capsys.readouterr().out
    assert "OUT.partial" in told
    text = (Path(__file__).parents[3] / "docs" / "bags.md").read_text(encoding="utf-8")
    assert set(re.findall(r"--[a-z-]+", text)) <= set(re.findall(r"--[a-z-]+", told))


def test_without_rosbags_it_says_what_to_install(
    tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is imported anew sets this as well, and other tests must find their own modules again.
    monkeypatch.setattr(perceptiondlm_ros, "offline", perceptiondlm_ros.offline)
    for name in [name for name in sys.modules if name.startswith("perceptiondlm_ros.offline")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    assert "pip install rosbags" in fails(tmp_path, tmp_path / "out")


def test_a_terminal_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    source = write_bag(tmp_path / "in", scene(3))
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    assert "captioning" in terminal.getvalue() and "of 3 frames" in terminal.getvalue()


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], captioner: FakeCaptioner
) -> None:
    captioner.left, captioner.error = 0, KeyboardInterrupt()
    source = write_bag(tmp_path / "in", scene(2))
    assert main(["bag", str(source), str(tmp_path / "out")]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
