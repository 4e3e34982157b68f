"""Captions for viewers that don't wrap text themselves."""

from __future__ import annotations

import textwrap

from perceptiondlm_ros.text import one_line


def lines_of(heading: str, caption: str, columns: int, most: int) -> list[str]:
    """The heading, then the caption in at most `most` lines of about `columns` characters."""
    wrapped = textwrap.wrap(one_line(caption), columns, max_lines=most, placeholder=" ...")
    return [line for line in (heading, *wrapped) if line]
