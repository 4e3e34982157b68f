from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceptiondlm_ros.development.benchmark.options import parse


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        parse(arguments)
    assert exit_.value.code == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    return error


def test_defaults_measure_the_small_checkpoint_everywhere() -> None:
    options = parse([])
    assert (options.like, options.checkpoint, options.backends) == ("small", None, None)
    assert options.caches == ("exact", "prefix")
    assert options.regions == (1, 2, 3, 4, 5, 6, 12)
    assert (options.tiles, options.steps, options.repetitions) == (None, None, 3)
    assert options.output == Path("bench_output")


def test_quick_gives_way_to_what_is_said() -> None:
    quick = parse(["--quick"])
    assert (quick.regions, quick.steps, quick.repetitions) == ((1, 6), 8, 1)
    told = parse(["--quick", "--steps", "3", "--regions", "2", "--repetitions", "5"])
    assert (told.regions, told.steps, told.repetitions) == ((2,), 3, 5)


def test_a_value_that_is_named_twice_is_measured_once() -> None:
    options = parse(["--regions", "6", "1", "6", "--caches", "prefix", "prefix"])
    assert (options.regions, options.caches) == ((6, 1), ("prefix",))


def test_a_checkpoint_takes_the_place_of_random_weights() -> None:
    assert parse(["--checkpoint", "a/b"]).checkpoint == Path("a/b")
    assert parse(["--checkpoint", "a/b"]).like is None
    packaged = parse(["--checkpoint"])
    assert (packaged.like, packaged.checkpoint) == (None, Path())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "huge"], "invalid choice: 'huge'"),
        (["--backends", "torch", "jax"], "invalid choice: 'jax'"),
        (["--caches"], "expected at least one argument"),
        (["--regions", "0"], "got '0', expected a whole number from 1 to 64"),
        (["--tiles", "-1"], "--tiles"),
        (["--steps", "many"], "got 'many', expected a whole number from 1 to 1024"),
        (["--like", "small", "--checkpoint", "a"], "not allowed with"),
        (["--rep", "3"], "--rep"),
        (["small"], "small"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refused(capsys, *arguments)
    assert error.startswith("bench: ") and message in error and "bench --help" in error


@given(st.text(max_size=8))
def test_any_text_is_a_number_in_range_or_refused(text: str) -> None:
    try:
        steps = parse([f"--steps={text}"]).steps
    except SystemExit as exit_:
        steps, status = None, exit_.code
    else:
        status = 0
    assert status == 2 if steps is None else 1 <= steps <= 1024
