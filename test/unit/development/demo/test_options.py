"""Options that can't be meant are refused before any process is started."""

from __future__ import annotations

import argparse
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.demo.options import (
    MAX_SECONDS,
    add_domain,
    add_seconds,
    add_world,
    world_of,
)
from perceptiondlm_ros.development.demo.world import World


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_world(parser, start_required=True)
    add_seconds(parser)
    add_domain(parser)
    return parser.parse_args(["--start-ns=5", *arguments])


def test_world_is_the_one_that_was_named() -> None:
    assert world_of(parse("--seed=3", "--objects=4")) == World(3, 4, 5)


def test_domain_is_the_one_that_was_named_or_one_that_is_possible() -> None:
    assert parse("--domain=42").domain == 42
    assert 0 <= parse().domain <= 101


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--seed=-1", "expected a whole number"),
        ("--seed=1048576", "0 to 1048575"),
        ("--seed=x", "expected a whole number"),
        ("--objects=0", "1 to 12"),
        ("--objects=13", "1 to 12"),
        ("--domain=102", "0 to 101"),
        ("--objects=2.5", "expected a whole number"),
        ("--seconds=0", "seconds above 0"),
        ("--seconds=nan", "seconds above 0"),
        ("--seconds=inf", "seconds above 0"),
        ("--seconds=soon", "seconds above 0"),
    ],
)
def test_bad_value_is_refused_with_what_was_expected(
    option: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(option)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


@given(st.text(max_size=12).filter(lambda text: "\0" not in text))
def test_any_text_is_a_usable_number_or_refused(text: str) -> None:
    with contextlib.suppress(SystemExit):
        options = parse(f"--objects={text}", f"--seconds={text}")
        assert 1 <= options.objects <= 12 and 0 < options.seconds <= MAX_SECONDS
