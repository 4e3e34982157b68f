"""Colours of tracks: stable, apart from each other, readable."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.drawing.colours import colour_of, track_colour

BACKGROUND = (14, 17, 23)


def luminance(colour: tuple[int, int, int]) -> float:
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_stable_and_differ_between_neighbouring_ids() -> None:
    colours = [track_colour(str(n), "cup", n) for n in range(12)]
    assert colours == [track_colour(str(n), "cup", 7 * n) for n in range(12)]
    for a, b in itertools.combinations(colours, 2):
        assert sum(abs(x - y) for x, y in zip(a, b, strict=True)) > 30


def test_a_reused_id_of_another_class_has_another_colour() -> None:
    assert track_colour("1", "cup", 0) != track_colour("1", "bowl", 0)


def test_without_an_id_the_index_decides() -> None:
    assert track_colour("", "cup", 3) == track_colour("", "bowl", 3) != track_colour("", "cup", 4)


@given(st.text())
def test_every_colour_can_be_read_on_a_label(key: str) -> None:
    contrast = (luminance(colour_of(key)) + 0.05) / (luminance(BACKGROUND) + 0.05)
    assert contrast > 4.5, "the threshold of WCAG AA"
