"""Captions: what is composed can be parsed, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.scenes.vocabulary import (
    RELATIONS,
    WORDS,
    Attributes,
    compose_caption,
    parse_caption,
)

ATTRIBUTES = st.builds(Attributes, *(st.sampled_from(words) for words in WORDS))
SUBJECT = Attributes("large", "striped", "red", "circle")
NEIGHBOUR = Attributes("small", "plain", "blue", "star")
PLACES = st.one_of(st.just((None, None)), st.tuples(st.sampled_from(RELATIONS), ATTRIBUTES))


def test_a_caption_names_the_object_the_relation_and_the_neighbour() -> None:
    assert (
        compose_caption(SUBJECT, "left of", NEIGHBOUR)
        == "a large striped red circle, left of a small plain blue star"
    )
    assert compose_caption(SUBJECT) == "a large striped red circle, alone"
    assert [len(words) for words in WORDS] == [3, 4, 10, 8]


@given(ATTRIBUTES, PLACES)
def test_parsing_undoes_composing(
    subject: Attributes, place: tuple[str | None, Attributes | None]
) -> None:
    assert parse_caption(compose_caption(subject, *place)) == (subject, *place)


@given(st.text())
def test_any_other_text_is_no_caption_or_the_one_it_parses_to(text: str) -> None:
    parsed = parse_caption(text)
    assert parsed is None or compose_caption(*parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a large striped red circle",
        "a large striped red circle, alone.",
        "a large striped red circle, alone\n",
        "A large striped red circle, alone",
        "an large striped red circle, alone",
        "a striped large red circle, alone",
        "a large striped red circle, left of",
        "a large striped red circle, near a small plain blue star",
        "a large striped red circle, left of a small plain blue star, alone",
    ],
)
def test_a_caption_that_is_not_well_formed_parses_to_none(text: str) -> None:
    assert parse_caption(text) is None
