"""The table and the JSON, for any caption and any width."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.cli.caption_report import write_json, write_table
from perceptiondlm_ros.cli.region_arguments import RegionArgument

BOX = (1.0, 2.0, 3.0, 4.0)
cells = st.text(st.characters(), max_size=120)


def printed(*captions: Caption) -> str:
    stream = io.StringIO()
    write_table([RegionArgument(BOX)] * len(captions), captions, stream)
    return stream.getvalue()


def test_the_terminals_width_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = printed(Caption("word " * 40, 0.5, [], False)).splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60


def test_cut_off_and_empty_captions_can_be_told() -> None:
    out = printed(Caption("a red", 0.5, [], True), Caption(" ", 0.2, [], False))
    assert "a red ...\n" in out
    assert "(empty)\n" in out


def test_letters_that_the_terminal_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    write_table([RegionArgument(BOX)], [Caption("a café", 0.5, [], False)], stream)
    stream.seek(0)
    assert "a caf?" in stream.read()


@given(cells, st.floats(0, 1), st.booleans(), st.lists(st.integers(0, 2**31)))
def test_json_gives_back_what_was_captioned(
    text: str, confidence: float, truncated: bool, token_ids: list[int]
) -> None:
    stream = io.StringIO()
    region = RegionArgument(Path("m\udcff.png"))
    write_json([region], [Caption(text, confidence, token_ids, truncated)], stream)
    assert stream.getvalue().isascii()
    (found,) = json.loads(stream.getvalue())
    assert found.pop("region") == {"mask": "m\udcff.png"}
    # JSON joins a pair of surrogates to the letter that it stands for.
    assert found.pop("caption") == text.encode("utf-16", "surrogatepass").decode(
        "utf-16", "surrogatepass"
    )
    assert found == {"confidence": confidence, "truncated": truncated, "token_ids": token_ids}
