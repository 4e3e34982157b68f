"""`perceptiondlm compile`: engines for RTX GPUs, made on any machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from perceptiondlm_ros.terminal import Progress
from perceptiondlm_ros.text import gigabytes

_DESCRIPTION = """\
Compiles the graphs of an exported model to engines for RTX GPUs, without one, into its folder
`engines`, where the tensorrt backend finds them on the robot. Needs TensorRT for RTX
(in a clone of the repository `pip install ".[rtx]"`), there of the same version."""

_EPILOG = """\
Without --gpu one engine of each graph runs on every GPU that TensorRT for RTX serves, from Ampere
(compute capability 8.0) on. Engines for Jetsons, Turing and Hopper are built on the device, by
TensorRT."""


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand's arguments."""
    parser = subparsers.add_parser(
        "compile",
        help="build engines for RTX GPUs ahead of time",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "exported", metavar="EXPORTED", type=Path, help="what `perceptiondlm export` wrote"
    )
    parser.add_argument(
        "--gpu",
        action="append",
        default=[],
        metavar="NAME",
        help="such as 'RTX 4090', 'RTX A6000', 8.9 or sm_89; may be given several times (default: "
        "all that are served)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Compile, and say what is there.

    Raises:
        PerceptionDLMError: the model can't be compiled, or the folder can't be written.
    """
    with Progress("starting") as waiting:
        from perceptiondlm_ros.runtime.tensorrt.ahead_of_time import compile_engines

        found = compile_engines(
            arguments.exported, arguments.gpu, lambda progress: waiting.now(str(progress))
        )
        for engine in found:
            size = gigabytes(engine.path.stat().st_size)
            done = "built" if engine.built else "was there"
            print(f"{engine.path}: {engine.target}, {size}, {done}", flush=True)
