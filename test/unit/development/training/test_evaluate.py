"""What counts as right."""

from __future__ import annotations

import pytest

from perceptiondlm_ros.development.training.evaluate import MEASURES, score, score_table, shares

TRUTH = (
    "a large striped red circle, left of a small plain blue star",
    "a large striped red circle, above a small plain blue star",
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (TRUTH[0], set()),
        (TRUTH[1], set()),
        (TRUTH[0].replace("circle", "square"), {"shape", "whole caption"}),
        (TRUTH[1].replace("star", "heart"), {"relation", "whole caption"}),
        ("a large striped red circle, alone", {"direction", "relation", "whole caption"}),
        ("a large red circle", set(MEASURES)),
    ],
)
def test_a_wrong_word_costs_its_measures_alone(text: str, wrong: set[str]) -> None:
    assert {name for name, right in score(text, TRUTH).items() if not right} == wrong


def test_shares_are_those_of_all_captions_and_are_tabled_by_regions() -> None:
    right, broken = {**score(TRUTH[0], TRUTH), "steps": 3}, {**score("", TRUTH), "steps": 16}
    assert set(shares([right, broken]).values()) == {0.5}
    header, captions, size, *_, steps = score_table({1: [right], 2: [right, broken]}).splitlines()
    assert header.split() == ["right,", "%", "1", "2", "all", "target", "at", "6"]
    assert captions.split() == ["captions", "1", "2", "3"]
    assert size.split() == ["size", "100.0", "50.0", "66.7", "97"]
    assert steps.split() == ["denoising", "steps", "3.0", "9.5", "7.3"]
