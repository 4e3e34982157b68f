"""The command `perceptiondlm`: finds the subcommand, and turns what fails into one line.

A subcommand is a module with `add_parser`, which stores its `run` in the arguments; `run` returns
the exit status, or None for 0. Neither module nor parser imports NumPy, Pillow or a backend before
`run` is called, so that `--help` answers at once and on any interpreter.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from perceptiondlm_ros.cli import bag, caption, check, compile, export  # noqa: A004
from perceptiondlm_ros.cli.interpreter import interpreter, what_to_install
from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.runtime.compute_threads import sleep_while_waiting
from perceptiondlm_ros.text import one_line

SUBCOMMANDS = (caption, bag, export, compile, check)
FAILED = 2  # argparse's status for wrong arguments
INTERRUPTED = 128 + signal.SIGINT  # what a shell reports

_DISTRIBUTION = "perceptiondlm_ros"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Raises:
        SystemExit: with status 2 for wrong arguments, 0 after `--help` and `--version`.
    """
    if arguments is None:  # the process is ours
        sleep_while_waiting()
    given = sys.argv[1:] if arguments is None else arguments
    parsed = _parser().parse_args(_with_negative_boxes(given))
    # Where nobody else decides what it does; another thread than the main one can't.
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        status: int | None = parsed.run(parsed)
        sys.stdout.flush()
    except PerceptionDLMError as error:
        cause = error.__cause__
        lacking = isinstance(cause, ImportError) and what_to_install(cause)
        return _fail(f"{error}: {interpreter()}" if lacking else str(error))
    except ImportError as error:
        reason = what_to_install(error)
        if reason is None:
            raise
        return _fail(reason)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python flushes once more as it ends, into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return status or 0


def _terminate(number: int, frame: object) -> NoReturn:
    """End by an exception, so that temporary files are removed, with what a shell reports."""
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="perceptiondlm",
        description="Captions for the regions of an image, all in one parallel denoising pass.",
        allow_abbrev=False,
    )
    version = f"%(prog)s {_version()}"
    parser.add_argument(
        "--version", action="version", version=version, help="show the version and exit"
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "of unknown version: it runs without having been installed"


def _with_negative_boxes(arguments: Sequence[str]) -> list[str]:
    """`--box -5,0,9,9` as `--box=-5,0,9,9`; argparse takes the first for two options."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--box" and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _fail(reason: str) -> int:
    print("perceptiondlm:", one_line(reason), file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
