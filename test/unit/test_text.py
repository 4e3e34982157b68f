"""Text from outside on one line that no terminal obeys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.text import one_line

any_text = st.text(st.characters())


@given(any_text)
def test_the_result_can_be_printed_and_sent_and_lacks_no_letter(text: str) -> None:
    line = one_line(text)
    assert line.isprintable() and line == line.strip() and "  " not in line
    line.encode()
    assert one_line(line) == line
    assert [c for c in line if c.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a\tred \n\u00a0 star\u2028", "a red star"),
        ("a\x1b[31m", "a\ufffd[31m"),
        ("m\udcff.png", "m\ufffd.png"),
        ("", ""),
    ],
)
def test_blanks_are_joined_and_the_rest_replaced(text: str, expected: str) -> None:
    assert one_line(text) == expected
