"""The node under load: 30 images of 1280x720 a second into a model that is too slow for them.

Measures in the real node's process and judges the figures; 0 only where every limit holds. Only
600 seconds say something about memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

import psutil

from perceptiondlm_ros.development.checkpoint_files import write_json
from perceptiondlm_ros.development.demo.load.load_camera import RATE
from perceptiondlm_ros.development.demo.load.load_report import (
    SETTLING_S,
    Measured,
    figure_table,
    figures,
    measure,
    plot_load,
    read_events,
)
from perceptiondlm_ros.development.demo.processes import (
    Processes,
    add_common_options,
    private_environment,
)
from perceptiondlm_ros.terminal import Progress

_START_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.5
_LOAD: Final = "perceptiondlm_ros.development.demo.load"
_PROFILE: Final = "share/perceptiondlm_ros/config/fastdds_large_images.xml"
_PROFILE_VARIABLES: Final = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""For Fast DDS as it is now, and as it was up to Jazzy."""


def main(arguments: list[str] | None = None) -> int:
    """Run the load; 1 if a limit was missed, 2 if the node did not last or nothing came of it."""
    options = _parse(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    records = options.output / "records.jsonl"
    records.unlink(missing_ok=True)
    try:
        memory = _run(options, records)
    except KeyboardInterrupt:
        return 130
    except RuntimeError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    return _conclude(measure(read_events(records), memory), options.output)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument(
        "--pass-seconds",
        type=float,
        default=0.25,
        help="what a pass of the model takes [s] (default %(default)g)",
    )
    parser.add_argument(
        "--packaged",
        action="store_true",
        help="take the packaged checkpoint instead, which wants the processor for itself",
    )
    add_common_options(parser, "load_output", "figures, plot, records and logs", seconds=30.0)
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, records: Path) -> list[tuple[int, float]]:
    """Memory of the node [MB] by time [ns], looked at until the time is over."""
    environment = _large_images() | private_environment(options.domain)
    memory: list[tuple[int, float]] = []
    with Processes(options.output, environment) as processes:
        given = [f"--records={records}"]
        given += [] if options.packaged else [f"--pass-seconds={options.pass_seconds}"]
        # Every frame wants a pass, and none takes the place of one that was lost on the way.
        given += ["--ros-args", "-p", "reuse.enabled:=false", "-p", "matching.tolerance:=0.0"]
        processes.start("node", f"{_LOAD}.measured_node", *given)
        processes.start("camera", f"{_LOAD}.load_camera")
        _wait_for_captions(processes, records)
        node = psutil.Process(processes.pid("node"))
        with Progress("measuring", options.seconds + SETTLING_S, "s") as progress:
            end = time.monotonic() + options.seconds + SETTLING_S
            while (left := end - time.monotonic()) > 0:
                _check(processes, min(_LOOK_S, left))
                progress.advance(min(_LOOK_S, left))
                memory.append((time.time_ns(), node.memory_info().rss / 2**20))
                progress.now(f"node {memory[-1][1]:.1f} MB, load {os.getloadavg()[0]:.1f}")
    return memory


def _large_images() -> dict[str, str]:
    """The variable that lets Fast DDS carry such images in one piece; none where one is set."""
    if any(name in os.environ for name in _PROFILE_VARIABLES):
        return {}
    prefixes = os.environ.get("AMENT_PREFIX_PATH", sys.prefix).split(os.pathsep)
    path = next(path for prefix in prefixes if (path := Path(prefix, _PROFILE)).exists())
    # Setting both would load it twice, which Fast DDS calls an error.
    return {_PROFILE_VARIABLES[os.environ.get("ROS_DISTRO") in ("humble", "jazzy")]: str(path)}


def _wait_for_captions(processes: Processes, records: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while not (records.exists() and any(r.event == "published" for r in read_events(records))):
        _check(processes, 0.2)
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"no captions within {_START_LIMIT_S:.0f} s; see {processes.log('node')}"
            )


def _check(processes: Processes, seconds: float) -> None:
    if ended := processes.wait_for_end(seconds):
        name, status = ended
        raise RuntimeError(f"{name} ended with status {status}; see {processes.log(name)}")


def _conclude(measured: Measured, output: Path) -> int:
    if not len(measured.started) or not len(measured.memory):
        print("load: nothing was measured", file=sys.stderr)
        return 2
    every = figures(measured, RATE)
    print(figure_table(every))
    path, plot = output / "figures.json", output / "load.png"
    write_json(path, [{**figure._asdict(), "within": figure.within} for figure in every])
    plot_load(measured, RATE, plot)
    missed = [figure.name for figure in every if not figure.within]
    verdict = f"missed: {', '.join(missed)}" if missed else "every limit holds"
    print(f"{verdict}; plot: {plot}, figures: {path}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
