"""Which parts of a caption are right, judged against all captions that are true of the object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perceptiondlm_ros.development.scenes.vocabulary import Attributes, parse_caption

MEASURES = (*Attributes._fields, "direction", "relation", "well-formed", "whole caption")
"""The four attributes of the object itself; `direction`, where the neighbour is; `relation`,
direction and all four attributes of the neighbour, or "alone"; whether the caption is a sentence
of the grammar; and whether the whole of it is true."""


def score(text: str, acceptable: Sequence[str]) -> dict[str, bool]:
    """What is right about a caption, a value for each of MEASURES.

    A caption that is not well-formed has nothing right.

    Args:
        text: the caption.
        acceptable: all captions that are true of the object, at least one.
    """
    parsed = parse_caption(text)
    if parsed is None:
        return dict.fromkeys(MEASURES, False)
    truths = [truth for truth in map(parse_caption, acceptable) if truth is not None]
    own = zip(parsed.subject, truths[0].subject, strict=True)
    right = [word == truth for word, truth in own]
    right.append(any(parsed.relation == truth.relation for truth in truths))
    right.append(any(parsed[1:] == truth[1:] for truth in truths))
    return dict(zip(MEASURES, [*right, True, text in acceptable], strict=True))


def shares(scores: Iterable[dict[str, bool]]) -> dict[str, float]:
    """The share of captions of which each measure is right, in [0, 1]."""
    rows = list(scores)
    return {name: sum(row[name] for row in rows) / max(len(rows), 1) for name in MEASURES}
