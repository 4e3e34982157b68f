"""What every test process needs around it before NumPy, torch and rclpy are imported.

Processes that tests start inherit the number of threads, but not the profile of Fast DDS: they run
as users run them, see `of_a_user`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

EXPORTS = "PERCEPTIONDLM_TEST_EXPORTS"
"""Names the variable with the folder of the checkpoints that a test run exports."""

_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Names of one variable: in Kilted and newer, and in Humble and Jazzy."""


def prepare() -> None:
    # Threads that compute together wait for each other in loops. With fewer free cores than threads
    # they wait for one that isn't running, and take its core meanwhile.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("COLUMNS", None)  # of the terminal that xdist runs in; tables are cut to it
    for name in _PROFILES:  # with two of them, Fast DDS calls the second an error
        os.environ.pop(name, None)
    old = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    os.environ[_PROFILES[old]] = str(Path(__file__).with_name("fastdds.xml"))
    # Shells let what runs in the background ignore interrupts, which the nodes of tests would
    # inherit; and whatever ends the tests, they are to end the processes that they started.
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.default_int_handler)


def of_a_user(**more: str) -> dict[str, str]:
    """The environment of a process that a test starts as users do, with these variables more."""
    return {k: v for k, v in os.environ.items() if k not in _PROFILES} | more
