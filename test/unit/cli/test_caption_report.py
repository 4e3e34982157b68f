"""The table and the JSON, for any caption and any width."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.captioner import Caption
from perceptiondlm_ros.cli.caption import json_text, table_text
from perceptiondlm_ros.cli.region_arguments import RegionArgument

BOX = (1.0, 2.0, 3.0, 4.0)
cells = st.text(st.characters(), max_size=120)


def printed(*captions: Caption) -> str:
    return table_text([RegionArgument(BOX)] * len(captions), captions)


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
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert "a caf?" in printed(Caption("a café", 0.5, [], False))


@given(cells, st.floats(0, 1), st.booleans(), st.lists(st.integers(0, 2**31)))
def test_json_gives_back_what_was_captioned(
    text: str, confidence: float, truncated: bool, token_ids: list[int]
) -> None:
    region = RegionArgument(Path("m\udcff.png"))
    told = json_text([region], [Caption(text, confidence, token_ids, truncated)])
    assert told.isascii()
    (found,) = json.loads(told)
    assert found.pop("region") == {"mask": "m\udcff.png"}
    # JSON joins a pair of surrogates to the letter that it stands for.
    assert found.pop("caption") == text.encode("utf-16", "surrogatepass").decode(
        "utf-16", "surrogatepass"
    )
    assert found == {"confidence": confidence, "truncated": truncated, "token_ids": token_ids}
