"""Text that is safe to print: names of files and captions may hold anything."""

from __future__ import annotations

import sys


def one_line(text: str) -> str:
    """The text on one line, without what moves the cursor or can't be shown.

    Control characters and lone surrogates (bytes of a file's name that are no UTF-8) become U+FFFD,
    runs of blanks one blank.
    """
    shown = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text)
    return " ".join(shown.split())


def encodable(text: str) -> str:
    """The text with a ? for each character that standard output's encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
