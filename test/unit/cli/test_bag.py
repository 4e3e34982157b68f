"""The command line of `perceptiondlm bag`: every option is told, mistakes are one clear line."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import bag_support
import numpy as np
import pytest
from bag_support import START, FakeCaptioner, contents, scene, write_bag

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


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a call that fails."""
    try:
        status = main(["bag", *map(str, arguments)])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    *usage, line = capsys.readouterr().err.strip().splitlines()
    assert not usage or usage[0].startswith("usage:")
    return line


def test_it_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    captioned, written = capsys.readouterr().out.splitlines()
    assert captioned == "captioned 6 regions in 3 frames"
    assert written == f"{tmp_path / 'out'}: mcap, captions on /region_captioner/descriptions"
    assert len(contents(tmp_path / "out").described) == 3


def test_a_bag_that_is_not_whole_is_an_error_or_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = bag_support.Foreign("/notes", "json", ("diary", "jsonschema", b"{}"))
    source = bag_support.write_mcap(tmp_path / "in.mcap", scene(3), [notes])
    source.write_bytes(source.read_bytes()[:-20])
    line = fails(capsys, source, tmp_path / "out")
    assert "it ends in the middle of a record" in line
    assert "`mcap recover`" in line and "--partial" in line
    assert main(["bag", str(source), str(tmp_path / "out"), "--partial"]) == 0
    captioned, foreign, lacking, written = capsys.readouterr().out.splitlines()
    assert captioned == "captioned 6 regions in 3 frames"
    assert foreign == "copied as they are, not being ROS 2's: /notes (json)"
    assert lacking.startswith("the bag is not whole: in.mcap: at byte")
    assert written.startswith(str(tmp_path / "out"))


def test_options_reach_the_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    options = ["--max-regions", "2", "--descriptions", "/said", "--min-score", "0.4"]
    assert main(["bag", str(source), str(tmp_path / "out"), *options]) == 0
    assert "1 detections dropped: above the limit of 2 regions" in capsys.readouterr().out
    described = contents(tmp_path / "out", "/said").described
    assert [len(message.regions) for _, message in described] == [1, 2, 2]


def test_normalised_boxes_are_told_with_the_options_that_make_them_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = [(0.1, 0.2, 0.4, 0.8), (0.5, 0.5, 1.0, 0.9)]
    messages = [
        ("/image", START, IMAGE, bag_support.image(START)),
        ("/detections", START + 1, DETECTIONS, bag_support.detections(START, shares)),
    ]
    source = write_bag(tmp_path / "in", messages)
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "2 detections dropped: smaller than two pixels" in told
    assert "detections.image_width:=1" in told and "--image-width 1 --image-height 1" in told
    advised = ["--image-width", "1", "--image-height", "1", "--image-fit", "stretch"]
    assert main(["bag", str(source), str(tmp_path / "again"), *advised]) == 0
    assert "dropped" not in capsys.readouterr().out
    ((_, message),) = contents(tmp_path / "again").described
    sizes = [(region.bbox.size_x, region.bbox.size_y) for region in message.regions]
    assert np.allclose(sizes, [(0.3 * 32, 0.6 * 24), (0.5 * 32, 0.4 * 24)])


def test_nearly_black_images_are_told_with_the_option_that_makes_them_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = bag_support.image(START)
    dark.encoding, dark.step = "mono16", 2 * dark.width
    dark.data = np.full(dark.width * dark.height, 1000, np.uint16).view(np.uint8)
    found = bag_support.detections(START, [(2, 2, 9, 9)])
    messages = [("/image", START, IMAGE, dark), ("/detections", START + 1, DETECTIONS, found)]
    source = write_bag(tmp_path / "in", messages)
    assert main(["bag", str(source), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "1 frames have an image whose captions are doubtful" in told
    assert "set --significant-bits 10" in told
    assert main(["bag", str(source), str(tmp_path / "again"), "--significant-bits=10"]) == 0
    assert "doubtful" not in capsys.readouterr().out
    assert main(["bag", str(source), str(tmp_path / "few"), "--significant-bits=8"]) == 0
    assert "got numbers above 255, expected 8 significant bits" in capsys.readouterr().out


def test_the_ways_to_fit_an_image_are_those_of_the_node() -> None:
    assert bag._FITS == FITS


def test_several_topics_have_to_be_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [("/depth", START, IMAGE, bag_support.image(START))]
    source = write_bag(tmp_path / "in", [*more, *scene(2)])
    line = fails(capsys, source, tmp_path / "out")
    assert "--image" in line
    assert "/depth (1), /image (2)" in line
    given = ["--image", "/image", "--detections", "/detections"]
    assert main(["bag", str(source), str(tmp_path / "out"), *given]) == 0


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
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_bag(tmp_path / "in", scene(2))
    assert told in fails(capsys, source, tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_what_is_no_bag_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "no such file or folder" in fails(capsys, tmp_path / "nowhere", out)
    assert "no metadata.yaml" in fails(capsys, tmp_path, out)
    (tmp_path / "old.bag").write_text("#ROSBAG V2.0")
    assert "ROS 1" in fails(capsys, tmp_path / "old.bag", out)
    (tmp_path / "half.mcap").write_bytes(b"\x89MCAP0\r\n")
    assert "half.mcap" in fails(capsys, tmp_path / "half.mcap", out)
    source = write_bag(tmp_path / "in", scene(2))
    (source / "metadata.yaml").unlink()
    assert "reindex" in fails(capsys, source, out)
    silent = write_bag(tmp_path / "silent", [("/chatter", START, *chatter())])
    assert "no messages of sensor_msgs/Image" in fails(capsys, silent, out)


def chatter() -> tuple[str, Any]:
    return bag_support.STRING, bag_support.text("hello")


def test_bags_without_matches_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = START + 5_000_000_000
    messages = [
        ("/image", START, IMAGE, bag_support.image(START)),
        ("/detections", late, DETECTIONS, bag_support.detections(late, [(1, 1, 9, 9)])),
    ]
    source = write_bag(tmp_path / "in", messages)
    assert "5.000 s away" in fails(capsys, source, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_every_option_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bag", "--help"])
    told = capsys.readouterr().out
    options = ("--image", "--detections", "--masks", "--descriptions", "--tolerance", "--partial")
    options += ("--max-regions", "--min-score", "--classes", "--excluded-classes", "--checkpoint")
    options += ("--backend", "--device", "--steps", "--caption-tokens", "--cache", "--prompt")
    options += ("--image-width", "--image-height", "--image-fit", "--significant-bits")
    assert [option for option in options if option not in told] == []
    assert "OUT.partial" in told
    text = (Path(__file__).parents[3] / "docs" / "bags.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"--[a-z-]+", text))
    assert documented <= {*options, "--help"}


def test_without_rosbags_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is imported anew sets this as well, and other tests must find their own modules again.
    monkeypatch.setattr(perceptiondlm_ros, "offline", perceptiondlm_ros.offline)
    for name in [name for name in sys.modules if name.startswith("perceptiondlm_ros.offline")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    line = fails(capsys, tmp_path, tmp_path / "out")
    assert "pip install rosbags" in line


def test_a_terminal_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_bag(tmp_path / "in", scene(3))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main(["bag", str(source), str(tmp_path / "out")]) == 0
        terminal.flush()
        shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert b"captioning" in shown
    assert b"of 3 frames" in shown


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], captioner: FakeCaptioner
) -> None:
    captioner.left, captioner.error = 0, KeyboardInterrupt()
    source = write_bag(tmp_path / "in", scene(2))
    assert main(["bag", str(source), str(tmp_path / "out")]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
