"""Text fit to be shown: what comes from outside on one line, and amounts in words."""

from __future__ import annotations

GIB, _MIB = 2**30, 2**20


def one_line(text: str) -> str:
    """The text on one line, without what moves a cursor or can't be shown.

    Control characters and lone surrogates (bytes of a file's name that are no UTF-8) become U+FFFD,
    runs of blanks one blank.
    """
    shown = "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text)
    return " ".join(shown.split())


def gibibytes(size: float) -> str:
    """Memory: 15.7 GiB; 12 MiB or 0.4 MiB where it is that small."""
    if size >= 0.095 * GIB:
        return f"{size / GIB:.1f} GiB"
    return f"{size / _MIB:.0f} MiB" if size >= 9.5 * _MIB else f"{size / _MIB:.1f} MiB"


def gigabytes(size: int) -> str:
    """Files: 16.9 GB; 9.1 MB where it is that small."""
    return f"{size / 1e9:.1f} GB" if size >= 0.95e9 else f"{size / 1e6:.1f} MB"


def counted(count: int, noun: str) -> str:
    """1 tensor, 2 tensors."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
