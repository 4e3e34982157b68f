"""Text from outside, made fit to be shown: captions and names may hold anything."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text on one line, without what moves a cursor or can't be shown.

    Control characters and lone surrogates (bytes of a file's name that are no UTF-8) become U+FFFD,
    runs of blanks one blank.
    """
    shown = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text)
    return " ".join(shown.split())
