"""The demo: a camera with a detector, the node and a recorder, each a process, until it is over."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from perceptiondlm_ros.development.demo.demo_output import ALL_WELL, NO_CAPTIONS, TOO_FEW_RIGHT
from perceptiondlm_ros.development.demo.processes import (
    Processes,
    add_common_options,
    private_environment,
)
from perceptiondlm_ros.development.demo.world import add_world

_LIMIT_S: Final = 1800.0
"""What loading and ending may take at most, besides the time of the demo itself."""

_LAST_LINES: Final = 8
_CHILDREN: Final = ("camera", "node", "recorder")
_LINES: Final = {
    ALL_WELL: (),
    TOO_FEW_RIGHT: ("fewer than 80 % are right",),
    NO_CAPTIONS: (),
}
_DEMO: Final = "perceptiondlm_ros.development.demo"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 if at least 80 % of the captions are right, else another status."""
    options = _parse(arguments)
    clear(options.output)
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _leave)
    print(
        f"demo on ROS domain {options.domain}; ends by itself, Ctrl-C ends it earlier", flush=True
    )
    world = [f"--seed={options.seed}", f"--objects={options.objects}"]
    world.append(f"--start-ns={time.time_ns()}")
    # Quoted as JSON, which is YAML too: a folder may be called 42 or have a colon in its name.
    checkpoint = f"checkpoint:={json.dumps(options.checkpoint)}"
    listening = [f"--seconds={options.seconds}", f"--output={options.output}"]
    try:
        with Processes(options.output, private_environment(options.domain)) as processes:
            start = processes.start
            start("camera", f"{_DEMO}.demo_camera", *world)
            start("node", "perceptiondlm_ros.ros.region_captioner", "--ros-args", "-p", checkpoint)
            start("recorder", f"{_DEMO}.recorder", *world, *listening, speaks=True)
            ended = processes.wait_for_end(options.seconds + _LIMIT_S)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return conclude(ended, processes)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    add_world(parser)
    what = "pictures, bag and logs; those of an earlier demo are replaced"
    add_common_options(parser, "demo_output", what, seconds=20.0)
    parser.add_argument(
        "--checkpoint",
        default="",
        help="checkpoint folder or hub id (default: the one that comes with the package)",
    )
    return parser.parse_args(arguments)


def clear(output: Path) -> None:
    """Make the folder; of one that is there, remove only what an earlier demo left."""
    output.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(output / "bag", ignore_errors=True)
    for old in [*output.glob("annotated_*.png"), *(output / f"{name}.log" for name in _CHILDREN)]:
        old.unlink(missing_ok=True)


def conclude(ended: tuple[str, int] | None, processes: Processes) -> int:
    """The exit status; a failure is told on standard error with the logs to look into."""
    name, status = ended or ("recorder", NO_CAPTIONS)
    told = []
    if ended is None:
        told.append("the demo came to no end")
    elif name != "recorder" or status not in _LINES:
        told.append(f"{name} ended before the demo did, with status {status}")
    elif status == ALL_WELL:
        return status
    else:  # without captions it is the node that has to say why
        name, told = "node", list(_LINES[status])
    if status != TOO_FEW_RIGHT:
        last = processes.log(name).read_text(errors="replace").splitlines()[-_LAST_LINES:]
        told += [f"--- the last lines of {processes.log(name)} ---", *last, "---"]
    told.append(f"logs: {', '.join(str(processes.log(child)) for child in _CHILDREN)}")
    print("\n".join(told), file=sys.stderr, flush=True)
    return status if status > 0 else 1


def _leave(sign: int, frame: object) -> NoReturn:
    sys.exit(128 + sign)


if __name__ == "__main__":
    sys.exit(main())
