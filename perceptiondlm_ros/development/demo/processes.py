"""Child processes with a log each, all of which end when the parent does, however it does.

This file is also the program that each child runs: it does as `python -m` does. Standard input is
a pipe of which only the parent holds the other end. It is closed by the system however the parent
ends, even killed, and that ends the child at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from perceptiondlm_ros.development.command_line import number

_GRACE_S: Final = 30.0
"""What all children together get to end by themselves before they are killed. On a busy machine it
takes seconds, and a recorder that is killed leaves no bag that can be read."""

_LOOK_S: Final = 0.05
_CHILD: Final = "perceptiondlm_ros.development.demo.processes"

_MAX_DOMAIN: Final = 101
"""Ports of higher ones may be taken by anything else, as systems hand them out."""


def add_common_options(
    parser: argparse.ArgumentParser, output: str, what: str, seconds: float
) -> None:
    """Add how long the processes run, the folder for what they leave, and the domain of all, one
    that nobody else is likely to use."""
    parser.add_argument(
        "--seconds",
        type=number(float, 0.1, 3600.0),
        default=seconds,
        help="how long to go on after the first captions [s] (default %(default)g)",
    )
    parser.add_argument("--output", type=_folder, default=Path(output), help=f"folder for {what}")
    parser.add_argument(
        "--domain",
        type=number(int, 0, _MAX_DOMAIN),
        default=random.randint(0, _MAX_DOMAIN),
        help=f"ROS domain of all processes, 0 to {_MAX_DOMAIN} (default: a random one)",
    )


def _folder(text: str) -> Path:
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file; expected a folder or a new name")
    return Path(text)


def private_environment(domain: int) -> dict[str, str]:
    """An own domain on this machine alone, so that no other robot hears it, nor it them."""
    return os.environ | {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **({"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}),
        "PYTHONUNBUFFERED": "1",
    }


class Processes:
    """Starts Python modules and stops them again. Use it with `with`.

    logs: folder of the log files, NAME.log each.
    """

    def __init__(self, logs: Path, environment: dict[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: set[str] = set()

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        """The id of a process that was started."""
        return self._started[name].pid

    def start(self, name: str, module: str, *arguments: str, speaks: bool = False) -> None:
        """Start a module. speaks: its standard output is the parent's, else the log's as well."""
        with self.log(name).open("wb") as log:
            self._started[name] = subprocess.Popen(
                [sys.executable, "-m", _CHILD, module, *arguments],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=None if speaks else log,
                stderr=log,
                # An interrupt from the keyboard is for the parent, which ends all in good order.
                start_new_session=True,
            )

    def wait_for_end(self, timeout: float) -> tuple[str, int] | None:
        """Name and status of the next process to end; None if none does within `timeout` s."""
        deadline = time.monotonic() + timeout
        while True:
            for name, process in self._started.items():
                if process.poll() is not None and name not in self._ended:
                    self._ended.add(name)
                    return name, process.returncode
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Ask all to end, kill those that don't, and return when none is left."""
        try:
            for process in self._started.values():
                process.send_signal(signal.SIGINT)  # none to one that has ended
            deadline = time.monotonic() + _GRACE_S
            for process in self._started.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:  # also when told to hurry up meanwhile
            for process in self._started.values():
                process.kill()
                process.wait()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)  # nobody is left to be told anything


def main() -> None:
    """Run a module; the arguments are its name, then its own arguments."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
