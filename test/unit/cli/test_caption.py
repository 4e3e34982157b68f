"""`perceptiondlm caption`, from the arguments to what is printed and written."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.runtime.loading import BACKENDS


def test_rows_keep_the_order_of_the_command_line(
    run: Any, fake: list[Any], photo: Path, half: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(half.parent)  # a path in full may be longer than a line
    regions = ["--box", "0,0,10,10", "--mask", half.name, "--box", "5,5,25,20"]
    status, out, err = run("caption", *regions[:2], photo, *regions[2:])
    assert (status, err) == (0, "")
    heading, *rows = (line.split(maxsplit=4) for line in out.splitlines())
    assert heading == ["region", "confidence", "caption"]
    assert rows == [
        ["1", "box", "0,0,10,10", "0.50", "a box 10 wide"],
        ["2", "mask", half.name, "0.60", "a mask of 600 pixels ..."],
        ["3", "box", "5,5,25,20", "0.70", "a box 20 wide"],
    ]


def test_json_holds_everything_and_nothing_else_is_on_stdout(
    run: Any, fake: list[Any], photo: Path, half: Path
) -> None:
    status, out, err = run("caption", photo, "--box", "-3,.5,10,9.5", "--mask", half, "--json")
    assert (status, len(err.splitlines())) == (0, 1)
    names = ("region", "caption", "confidence", "truncated", "token_ids")
    rows = (
        ({"box": [-3, 0.5, 10, 9.5]}, "a box 13 wide", 0.5, False, [3, 0]),
        ({"mask": str(half)}, "a mask of 600 pixels", 0.6, True, [3, 1]),
    )
    assert json.loads(out) == [dict(zip(names, row, strict=True)) for row in rows]


def test_each_box_that_is_cut_is_told_with_what_is_left(
    run: Any, fake: list[Any], photo: Path
) -> None:
    boxes = ["-3,0,10,9.5", "0,0,40,30", "20,10,40.5,90", "5,5,9,9"]
    status, out, err = run("caption", photo, *(f"--box={box}" for box in boxes))
    assert status == 0 and len(out.splitlines()) == 5
    told = "reaches beyond the image of 40 x 30 pixels; it is cut to box"
    assert err.splitlines() == [
        f"perceptiondlm: --box -3,0,10,9.5 {told} 0,0,10,9.5",
        f"perceptiondlm: --box 20,10,40.5,90 {told} 20,10,40,30",
    ]


def test_shares_of_the_image_are_no_pixels(run: Any, fake: list[Any], photo: Path) -> None:
    status, _, err = run("caption", photo, "--box", "0.1,0.2,0.5,0.9", "--box", "1,1,2,9")
    assert status == 0
    assert err == (
        "perceptiondlm: --box 0.1,0.2,0.5,0.9 is smaller than two pixels; coordinates are pixels "
        "of the image, which has 40 x 30, and no shares of it\n"
    )


def test_a_nearly_black_picture_of_16_bits_is_told_or_stretched(
    run: Any, fake: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "dark.png"
    Image.fromarray(np.full((30, 40), 4000, np.uint16)).save(path)
    status, _, err = run("caption", path, "--box", "1,1,9,9")
    assert status == 0 and err.startswith(f"perceptiondlm: captions of {path} are doubtful: ")
    assert "use only the lowest 12 bits" in err and "set --significant-bits 12" in err
    assert run("caption", path, "--box", "1,1,9,9", "--significant-bits", "12")[::2] == (0, "")
    for wrong in ("7", "17", "x", "-1"):
        status, _, err = run("caption", path, "--box", "1,1,9,9", f"--significant-bits={wrong}")
        assert status == 2 and f"got {wrong!r}, expected a whole number from 8 to 16" in err


NAMES = ("path", "backend", "device", "steps", "caption_tokens", "cache", "decoding")
NAMES += ("decoding_threshold", "threads", "precision")
OPTIONS = ["--checkpoint", "a/b", "--backend", "torch", "--device", "cpu", "--steps", "7"]
OPTIONS += ["--caption-tokens", "9", "--cache", "exact", "--prompt", "What?"]
OPTIONS += ["--decoding", "confidence", "--decoding-threshold", "0.8"]
OPTIONS += ["--threads", "3", "--precision", "fp32"]
GIVEN = ("a/b", "torch", "cpu", 7, 9, "exact", "confidence", 0.8, 3, "fp32")
DEFAULTS = tuple(inspect.signature(Captioner.load).parameters[name].default for name in NAMES)


@pytest.mark.parametrize(
    ("options", "expected", "prompt"), [([], DEFAULTS, None), (OPTIONS, GIVEN, "What?")]
)
def test_options_reach_the_captioner_and_defaults_are_its_own(
    options: list[str],
    expected: tuple[object, ...],
    prompt: str | None,
    run: Any,
    fake: list[Any],
    photo: Path,
) -> None:
    assert run("caption", photo, "--box", "1,1,9,9", *options)[0] == 0
    (captioner,) = fake
    assert captioner.options == dict(zip(NAMES, expected, strict=True))
    assert captioner.prompts == [prompt]


def test_the_help_names_the_backends_that_can_be_loaded(run: Any) -> None:
    status, out, _ = run("caption", "--help")
    assert status == 0
    told = out.rpartition("--backend BACKEND")[2].partition("--device")[0]
    assert all(backend in told for backend in BACKENDS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no region was given; expected at least one --box x0,y0,x1,y1 or --mask FILE"),
        (["--box", "1,2,3"], "got '1,2,3', expected four numbers x0,y0,x1,y1"),
        (["--box", "a,b,c,d"], "expected four numbers"),
        (["--box", "1,1,nan,9"], "expected four numbers"),
        (["--box", "1,1,inf,9"], "expected four numbers"),
        (["--box", "10,10,5,5"], "expected x0 < x1 and y0 < y1"),
        (["--box"], "expected one argument"),
        (["--mask", "missing.png"], "--mask missing.png can't be read: No such file"),
        (["--box", "1,1,9,9", "--steps", "0"], "--steps: got '0', expected a whole number"),
        (["--box", "1,1,9,9", "--steps", "a"], "--steps: got 'a', expected a whole number"),
        (["--box", "1,1,9,9", "--caption-tokens", "1.5"], "--caption-tokens: got '1.5'"),
        (["--box", "1,1,9,9", "--prompt", "\udcff"], "--prompt: got '\\udcff', expected text"),
        (["--box", "1,1,9,9", "--annotate", "x"], "--annotate x doesn't end like a picture"),
        (["--box", "1,1,9,9", "--annotate", "no/such/x.png"], "there is no folder no/such"),
    ],
)
def test_bad_arguments_are_explained_before_anything_is_loaded(
    arguments: list[str], says: str, run: Any, fake: list[Any], photo: Path
) -> None:
    status, out, err = run("caption", photo, *arguments)
    assert (status, out, fake) == (2, "", [])
    assert says in err.splitlines()[-1]


def test_annotate_never_overwrites_an_input(
    run: Any, fake: list[Any], photo: Path, half: Path
) -> None:
    before = photo.read_bytes(), half.read_bytes()
    for path in (photo, half):
        status, _, err = run("caption", photo, "--mask", half, "--annotate", path)
        assert status == 2
        assert "is one of the inputs" in err
    assert (photo.read_bytes(), half.read_bytes()) == before


def test_annotated_picture_shows_each_region(
    run: Any, fake: list[Any], tmp_path: Path, photo: Path, half: Path
) -> None:
    output = tmp_path / "annotated.png"
    status, out, err = run("caption", photo, "--mask", half, "--annotate", output)
    assert (status, err) == (0, "")
    assert "a mask of 600 pixels" in out
    with Image.open(output) as picture, Image.open(photo) as original:
        changed = np.asarray(picture) != np.asarray(original)
    assert changed.any()


def test_a_real_checkpoint_captions_and_refuses(run: Any, tiny_checkpoint: Path) -> None:
    if not tiny_checkpoint.is_dir():
        pytest.skip(f"no golden data in {tiny_checkpoint.parent}")
    photo = tiny_checkpoint / "cases" / "photo"
    command: list[str | Path] = ["caption", photo / "image.jpg", "--mask", photo / "mask_1.png"]
    command += ["--checkpoint", tiny_checkpoint, "--steps", "2", "--caption-tokens", "4", "--json"]
    status, out, err = run(*command, "--box", "40,30,200,180")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [list(item["region"]) for item in found] == [["mask"], ["box"]]
    for item in found:
        assert len(item["token_ids"]) == 4
        assert 0 <= item["confidence"] <= 1
    for wrong, says in (
        ("--box=900,900,950,950", "--box 900,900,950,950 covers no pixel of the 640 x 476 image"),
        ("--box=-9,0,-1,9", "--box -9,0,-1,9 covers no pixel"),
        ("--cache=none", "cache is 'none', expected one of auto, exact, prefix"),
        ("--decoding=none", "decoding is 'none', expected one of auto, schedule, confidence"),
        ("--decoding-threshold=0", "decoding_threshold is 0.0, expected a number above 0"),
        ("--backend=none", "backend is 'none', expected one of"),
        ("--device=none", "device is 'none'"),
        ("--checkpoint=/no/such", "checkpoint /no/such does not exist"),
    ):
        status, out, err = run(*command, wrong)
        assert (status, out) == (2, "")
        assert err.startswith(f"perceptiondlm: {says}") and err.count("\n") == 1
