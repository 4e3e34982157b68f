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
from perceptiondlm_ros.errors import InputError

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
def test_any_other_text_is_refused_or_is_the_caption_it_parses_to(text: str) -> None:
    parsed = parse_caption(text)
    assert parsed is None or compose_caption(*parsed) == text


@given(ATTRIBUTES, PLACES, st.data())
def test_one_changed_letter_never_parses_to_the_same_caption(
    subject: Attributes, place: tuple[str | None, Attributes | None], data: st.DataObject
) -> None:
    caption = compose_caption(subject, *place)
    at = data.draw(st.integers(0, len(caption) - 1))
    letter = data.draw(st.characters(blacklist_characters=caption[at]))
    assert parse_caption(caption[:at] + letter + caption[at + 1 :]) != parse_caption(caption)


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


@pytest.mark.parametrize(
    ("subject", "relation", "neighbour", "message"),
    [
        (SUBJECT._replace(colour="mauve"), None, None, "colour is 'mauve'"),
        (SUBJECT, "left of", None, "relation is"),
        (SUBJECT, None, NEIGHBOUR, "relation is"),
        (SUBJECT, "near", NEIGHBOUR, "relation is"),
    ],
)
def test_words_are_known_and_relation_and_neighbour_come_together(
    subject: Attributes, relation: str | None, neighbour: Attributes | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compose_caption(subject, relation, neighbour)
