"""What counts as right."""

from __future__ import annotations

from perceptiondlm_ros.development.training.scores import MEASURES, score, shares

TRUTH = (
    "a large striped red circle, left of a small plain blue star",
    "a large striped red circle, above a small plain blue star",
)


def test_a_true_caption_is_right_in_everything() -> None:
    assert all(score(text, TRUTH)[name] for text in TRUTH for name in MEASURES)


def test_a_wrong_word_costs_its_measure_alone() -> None:
    scores = score("a large striped red square, left of a small plain blue star", TRUTH)
    wrong = {name for name, right in scores.items() if not right}
    assert wrong == {"shape", "whole caption"}


def test_a_wrong_neighbour_leaves_the_direction_right() -> None:
    scores = score("a large striped red circle, above a small plain blue heart", TRUTH)
    assert scores["direction"]
    assert not scores["relation"]


def test_alone_is_wrong_where_there_is_a_neighbour() -> None:
    scores = score("a large striped red circle, alone", TRUTH)
    assert not scores["direction"]
    assert not scores["relation"]


def test_nothing_is_right_in_a_broken_sentence() -> None:
    assert not any(score("a large red circle", TRUTH).values())


def test_shares() -> None:
    half = shares([score(TRUTH[0], TRUTH), score("", TRUTH)])
    assert set(half.values()) == {0.5}
