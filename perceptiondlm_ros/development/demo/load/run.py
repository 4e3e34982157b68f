"""The node under load: 30 images of 1280x720 a second into a model that is too slow for them.

Measures in the real node's process and judges the figures; 0 only where every limit holds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from tqdm import tqdm

from perceptiondlm_ros.development.demo.load.camera import RATE
from perceptiondlm_ros.development.demo.load.figures import (
    SETTLING_S,
    Measured,
    figures,
    measure,
    table,
)
from perceptiondlm_ros.development.demo.load.plot import plot
from perceptiondlm_ros.development.demo.load.records import read
from perceptiondlm_ros.development.demo.options import add_domain
from perceptiondlm_ros.development.demo.processes import Processes

_START_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.5
_PROFILE: Final = "fastdds_large_images.xml"
_PROFILE_VARIABLES: Final = {
    False: "FASTDDS_DEFAULT_PROFILES_FILE",
    True: "FASTRTPS_DEFAULT_PROFILES_FILE",
}
"""By whether Fast DDS is that of Jazzy or older."""


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
    lines = [f"{time_ns} {size:.3f}\n" for time_ns, size in memory]
    (options.output / "memory.txt").write_text("".join(["# time [ns], memory [MB]\n", *lines]))
    return _conclude(measure(read(records), memory), options.output)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make load", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="how long to measure [s] (default %(default)g); 600 is the long mode, which alone "
        "says something about memory",
    )
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
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("load_output"),
        help="folder for figures, plot, records and logs (default %(default)s)",
    )
    add_domain(parser)
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, records: Path) -> list[tuple[int, float]]:
    """Memory of the node [MB] by time [ns], looked at until the time is over."""
    environment = (
        _large_images()
        | os.environ
        | {
            "ROS_DOMAIN_ID": str(options.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONUNBUFFERED": "1",
        }
    )
    memory: list[tuple[int, float]] = []
    with Processes(options.output, environment) as processes:
        given = [f"--records={records}"]
        given += [] if options.packaged else [f"--pass-seconds={options.pass_seconds}"]
        # Every frame wants a pass, and none takes the place of one that was lost on the way.
        given += ["--ros-args", "-p", "reuse.enabled:=false", "-p", "matching.tolerance:=0.0"]
        processes.start("node", "perceptiondlm_ros.development.demo.load.node", *given)
        processes.start("camera", "perceptiondlm_ros.development.demo.load.camera")
        _wait_for_captions(processes, records)
        pid = processes.pid("node")
        with tqdm(total=options.seconds, unit="s", bar_format=_BAR) as bar:
            end = time.monotonic() + options.seconds + SETTLING_S
            while (left := end - time.monotonic()) > 0:
                _check(processes.wait_for_end(min(_LOOK_S, left)), processes)
                memory.append((time.time_ns(), resident_mb(pid)))
                bar.set_postfix_str(f"node {memory[-1][1]:.1f} MB, load {os.getloadavg()[0]:.1f}")
                bar.update(max(options.seconds - left, 0.0) - bar.n)
            bar.update(options.seconds - bar.n)
    return memory


def _large_images() -> dict[str, str]:
    """The variable that lets Fast DDS carry such images in one piece; none where one is set."""
    if any(name in os.environ for name in _PROFILE_VARIABLES.values()):
        return {}
    prefixes = os.environ.get("AMENT_PREFIX_PATH", sys.prefix).split(os.pathsep)
    paths = [Path(prefix, "share/perceptiondlm_ros/config", _PROFILE) for prefix in prefixes]
    old = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    # Setting both would load it twice, which Fast DDS calls an error.
    return {_PROFILE_VARIABLES[old]: str(next(path for path in paths if path.exists()))}


_BAR: Final = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"


def _wait_for_captions(processes: Processes, records: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while not (records.exists() and any(r.event == "published" for r in read(records))):
        _check(processes.wait_for_end(0.2), processes)
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"no captions within {_START_LIMIT_S:.0f} s; see {processes.log('node')}"
            )


def _check(ended: tuple[str, int] | None, processes: Processes) -> None:
    if ended:
        name, status = ended
        raise RuntimeError(f"{name} ended with status {status}; see {processes.log(name)}")


def resident_mb(pid: int) -> float:
    """What of a process is in memory, its share of what it shares with others included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _conclude(measured: Measured, output: Path) -> int:
    if not len(measured.started) or not len(measured.memory):
        print("load: nothing was measured", file=sys.stderr)
        return 2
    every = figures(measured, RATE)
    print("\n".join(table(every)))
    path = output / "figures.json"
    path.write_text(json.dumps([{**vars(f), "within": f.within} for f in every], indent=1))
    plot(measured, RATE, output / "load.png")
    missed = [figure.name.strip() for figure in every if not figure.within]
    verdict = f"missed: {', '.join(missed)}" if missed else "every limit holds"
    print(f"{verdict}; plot: {output / 'load.png'}, figures: {path}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
