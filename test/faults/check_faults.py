"""Checks that the tests catch small faults: makes each in turn and runs the tests named for it.

    python test/faults/check_faults.py [PART ...]

The faults stand in files beside this one, one for each part of the package. Each has `what` it is,
a `file`, the text to `find` there exactly once, what to `replace` it with, and the `tests` of which
at least one has to fail. The status is 1 if a fault is not caught. Files are put back afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CAUGHT, NO_TESTS_RAN = 1, (2, 3, 4, 5)  # exit statuses of pytest


def faults(parts: list[str]) -> list[dict]:
    files = [HERE / f"{part}.toml" for part in parts] or sorted(HERE.glob("*.toml"))
    return [fault for file in files for fault in tomllib.loads(file.read_text())["fault"]]


def is_caught(fault: dict) -> bool:
    """Whether a test fails with the fault; a ValueError for a fault that can't be made."""
    path = REPOSITORY / fault["file"]
    sound = path.read_text()
    if (found := sound.count(fault["find"])) != 1:
        raise ValueError(f"{fault['file']} holds the text to find {found} times, expected once")
    try:
        path.write_text(sound.replace(fault["find"], fault["replace"]))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        run = subprocess.run(
            [*command, *fault["tests"]], cwd=REPOSITORY, capture_output=True, text=True
        )
    finally:
        path.write_text(sound)
    if run.returncode in NO_TESTS_RAN:
        raise ValueError(f"the tests can't be run: {run.stdout[-500:]}")
    return run.returncode == CAUGHT


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    missed = 0
    chosen = faults(parser.parse_args().parts)
    for number, fault in enumerate(chosen, start=1):
        try:
            result = "caught" if is_caught(fault) else "MISSED"
        except ValueError as error:
            result = f"MISSED ({error})"
        missed += result != "caught"
        print(f"{number}/{len(chosen)} {result}: {fault['file']}: {fault['what']}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
