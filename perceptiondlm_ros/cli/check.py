"""`perceptiondlm check`: what would fail on a device, before it does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from perceptiondlm_ros.terminal import Progress

DOES_NOT_FIT = 1

_DESCRIPTION = """\
Checks a checkpoint, or what `perceptiondlm export` wrote, against a device: files, checksums,
precision, memory, and the libraries that are installed. Needs no GPU and no TensorRT, and loads
no weights."""

_EPILOG = """\
The exit status is 0 where everything fits, 1 where something would fail, and 2 where the check
itself can't be made. Sizes of activations are estimates from above."""


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand's arguments."""
    parser = subparsers.add_parser(
        "check",
        help="check a model against a device, without one",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "folder",
        metavar="OUTPUT_OR_CHECKPOINT",
        nargs="?",
        help="an exported folder, a checkpoint in the published layout, or the hub id of one that "
        "was fetched (default: the packaged small checkpoint)",
    )
    parser.add_argument(
        "--device",
        default="here",
        metavar="NAME",
        help="what to check against: here, cpu, or a name such as orin-nx-16; "
        "--devices lists them (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8"),
        help="what a checkpoint would be exported in (default: bf16, fp16 or fp32, whichever the "
        "device is made for); an exported model has its own",
    )
    parser.add_argument(
        "--devices", action="store_true", help="list the devices that --device knows and exit"
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check and print.

    Returns:
        0, or 1 where something would fail.

    Raises:
        PerceptionDLMError: the folder can't be read or an argument can't be used.
    """
    # Here and not above, so that the help needs none of the libraries.
    from perceptiondlm_ros.cli import check_report
    from perceptiondlm_ros.preflight.preflight import preflight
    from perceptiondlm_ros.runtime.locate import locate_checkpoint

    if arguments.devices:
        check_report.write_devices(sys.stdout)
        return 0
    with Progress("checking"):
        folder = locate_checkpoint(arguments.folder, fetch=False)
        report = preflight(folder, arguments.device, arguments.precision)
    write = check_report.write_json if arguments.json else check_report.write_text
    write(report, sys.stdout)
    return 0 if report.fits else DOES_NOT_FIT
