"""Boxes as they are typed."""

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.cli.region_arguments import box

coordinates = st.floats(-1e6, 1e6)


@given(st.lists(coordinates, min_size=4, max_size=4))
def test_four_numbers_that_span_an_area_are_a_box(values: list[float]) -> None:
    x0, y0, x1, y1 = values
    text = ",".join(map(str, values))
    if x0 < x1 and y0 < y1:
        assert box(text).region == (x0, y0, x1, y1)
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="x0 < x1 and y0 < y1"):
            box(text)


@given(
    st.text() | st.lists(st.sampled_from(["1", "-2", "x", "nan", "inf", "1e999", ""])).map(",".join)
)
def test_anything_else_is_refused(text: str) -> None:
    try:
        found = box(text).region
    except argparse.ArgumentTypeError:
        return
    assert all(map(math.isfinite, found))
    assert found[0] < found[2] and found[1] < found[3]


def test_the_label_is_what_was_typed() -> None:
    assert box("-5,0.5,10,1234567").label == "box -5,0.5,10,1234567"
