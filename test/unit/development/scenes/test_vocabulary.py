import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.scenes.vocabulary import (
    COLOURS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
    Attributes,
    compose_caption,
    describe_object,
    parse_caption,
)
from perceptiondlm_ros.errors import InputError

ATTRIBUTES = st.builds(
    Attributes,
    st.sampled_from(sorted(SIZES)),
    st.sampled_from(PATTERNS),
    st.sampled_from(sorted(COLOURS)),
    st.sampled_from(SHAPES),
)
SUBJECT = Attributes("large", "striped", "red", "circle")
NEIGHBOUR = Attributes("small", "plain", "blue", "star")


def test_there_is_as_much_variety_as_promised() -> None:
    assert len(SHAPES) == 8
    assert len(COLOURS) == 10
    assert len(SIZES) == 3
    assert len(PATTERNS) == 4


def test_a_caption_names_the_object_the_relation_and_the_neighbour() -> None:
    assert (
        compose_caption(SUBJECT, "left of", NEIGHBOUR)
        == "a large striped red circle, left of a small plain blue star"
    )


def test_a_lone_object_is_called_alone() -> None:
    assert compose_caption(SUBJECT) == "a large striped red circle, alone"


@given(ATTRIBUTES, st.sampled_from(RELATIONS), ATTRIBUTES)
def test_parsing_undoes_composing(
    subject: Attributes, relation: str, neighbour: Attributes
) -> None:
    parsed = parse_caption(compose_caption(subject, relation, neighbour))
    assert parsed is not None
    assert (parsed.subject, parsed.relation, parsed.neighbour) == (subject, relation, neighbour)
    assert not parsed.alone


@given(ATTRIBUTES)
def test_parsing_undoes_composing_a_lone_object(subject: Attributes) -> None:
    parsed = parse_caption(compose_caption(subject))
    assert parsed is not None
    assert parsed.subject == subject
    assert parsed.alone


@given(st.text())
def test_any_other_text_is_refused_or_is_the_caption_it_parses_to(text: str) -> None:
    parsed = parse_caption(text)
    if parsed is not None:
        assert compose_caption(parsed.subject, parsed.relation, parsed.neighbour) == text


@given(ATTRIBUTES, st.sampled_from(RELATIONS), ATTRIBUTES, st.data())
def test_one_changed_letter_never_parses_to_the_same_caption(
    subject: Attributes, relation: str, neighbour: Attributes, data: st.DataObject
) -> None:
    caption = compose_caption(subject, relation, neighbour)
    place = data.draw(st.integers(0, len(caption) - 1))
    letter = data.draw(st.characters(blacklist_characters=caption[place]))
    changed = parse_caption(caption[:place] + letter + caption[place + 1 :])
    assert changed is None or changed != parse_caption(caption)


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


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(InputError, match="colour is 'mauve'"):
        describe_object(SUBJECT._replace(colour="mauve"))


@pytest.mark.parametrize(
    ("relation", "neighbour"), [("left of", None), (None, NEIGHBOUR), ("near", NEIGHBOUR)]
)
def test_relation_and_neighbour_come_together_and_are_known(
    relation: str | None, neighbour: Attributes | None
) -> None:
    with pytest.raises(InputError, match="relation is"):
        compose_caption(SUBJECT, relation, neighbour)
