"""The options that the demo's processes share, each defined once."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from typing import Final

from perceptiondlm_ros.development.demo.world import World
from perceptiondlm_ros.development.scenes.sample import EVALUATION_SEEDS, MAX_OBJECTS

DEFAULT_SEED: Final = 7
DEFAULT_OBJECTS: Final = 5
DEFAULT_SECONDS: Final = 20.0
MAX_SECONDS: Final = 3600.0
MAX_DOMAIN: Final = 101
"""Ports of higher ones may be taken by anything else, as systems hand them out."""


def add_world(parser: argparse.ArgumentParser, start_required: bool = False) -> None:
    """Add what settles the world; its start only for a process that is told it."""
    parser.add_argument(
        "--seed",
        type=_whole(0, len(EVALUATION_SEEDS) - 1),
        default=DEFAULT_SEED,
        help="number of the first scene; training has seen none of them (default %(default)s)",
    )
    parser.add_argument(
        "--objects",
        type=_whole(1, MAX_OBJECTS),
        default=DEFAULT_OBJECTS,
        help=f"objects in a scene, 1 to {MAX_OBJECTS} (default %(default)s)",
    )
    if start_required:
        parser.add_argument(
            "--start-ns", type=_whole(0, 2**63 - 1), required=True, help="stamp of the start [ns]"
        )


def world_of(options: argparse.Namespace) -> World:
    """The world that the options settle."""
    return World(seed=options.seed, objects=options.objects, start_ns=options.start_ns)


def add_seconds(parser: argparse.ArgumentParser) -> None:
    """Add how long the demo goes on from the first captions."""
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=DEFAULT_SECONDS,
        help="how long to go on after the first captions [s] (default %(default)g)",
    )


def add_domain(parser: argparse.ArgumentParser) -> None:
    """Add the domain of all processes, one that nobody else is likely to use."""
    parser.add_argument(
        "--domain",
        type=_whole(0, MAX_DOMAIN),
        default=random.randint(0, MAX_DOMAIN),
        help=f"ROS domain of all processes, 0 to {MAX_DOMAIN} (default: a random one)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected seconds above 0, up to {MAX_SECONDS:g}"
        )
    return value


def _whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number in a range, as an option's type."""

    def number(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"got {text!r}; expected a whole number from {low} to {high}"
            )
        return int(text)

    return number
