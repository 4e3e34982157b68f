"""Makes the virtual environment in which the demo and the tests run.

Three stages, each skipped while its stamp in the environment names what it was made from: the
environment itself, the pinned packages, and the messages with this package (colcon installs them
into the environment, Python files as links). Everything lives below the environment's folder, so
deleting that folder starts over. Called by setup.sh, which has checked what the machine offers.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from setup_steps import Stage, digest, fail, files_below, run_logged

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "perceptiondlm_ros"
OVERLAY = "vision_msgs"
# Left to the sourced ROS: its compiled messages want the NumPy that they were built with, its
# OpenCV goes with that, and the message generator of Humble and Jazzy fails with EmPy 4.
FROM_ROS = ("numpy", "opencv-python-headless", "empy")
INSTALLED_FOLDERS = (PACKAGE, "export", "config", "launch")
NETWORK_ERRORS = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    r"|Connection(?: refused| aborted| reset)|Network is unreachable|Temporary failure in name"
)


def make_environment(environment: Path, with_ros: bool) -> None:
    """Creates an empty virtual environment, replacing what is there."""
    print(f"setup: making the virtual environment {environment}", file=sys.stderr)
    try:
        venv.EnvBuilder(
            clear=True, with_pip=True, symlinks=True, system_site_packages=with_ros
        ).create(environment)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(
            f"the virtual environment {environment} could not be made ({error}): install Python's "
            "venv module (Debian, Ubuntu: sudo apt install python3-venv) and check the folder's "
            "rights and free space."
        )
    # Keeps a colcon that runs further up from looking in here.
    (environment / "COLCON_IGNORE").touch()


def requirement_arguments(environment: Path, with_ros: bool) -> list[str]:
    """What to tell pip: names from the requirement files, versions from the constraints."""
    tools = REPOSITORY / "tools"
    if not with_ros:
        return [
            *("--constraint", str(tools / "constraints.txt")),
            *("--requirement", str(tools / "requirements.txt")),
            *("--requirement", str(tools / "requirements-ros.txt")),
        ]
    names = (tools / "requirements.txt").read_text().splitlines()
    pins = (tools / "constraints.txt").read_text().splitlines()
    pins = [pin for pin in pins if pin.partition("==")[0] not in FROM_ROS]
    kept = environment / "constraints-ros.txt"
    kept.write_text("\n".join([*pins, numpy_limit()]) + "\n")
    wanted = [n for n in names if n and not n.startswith("#") and n not in FROM_ROS]
    return ["--constraint", str(kept), *wanted]


def numpy_limit() -> str:
    """Holds NumPy, which other packages may renew, to the ABI of this interpreter's ROS."""
    try:
        version = metadata.version("numpy")
    except metadata.PackageNotFoundError:
        fail(
            f"{sys.executable} has no NumPy, which the messages of the sourced ROS need: install "
            "it (Debian, Ubuntu: sudo apt install python3-numpy)."
        )
    return f"numpy<{int(version.partition('.')[0]) + 1}"


def explain_pip_failure(log: Path) -> str:
    """One sentence on why pip failed and what to do."""
    text = log.read_text(errors="replace")
    if NETWORK_ERRORS.search(text):
        return (
            "the packages could not be downloaded, the network or the package index can't be "
            "reached: check the connection (or pip's index and proxy settings) and call again; "
            f"pip's output is in {log}."
        )
    if "No space left on device" in text:
        return f"the disk is full: free about 5 GB and call again; pip's output is in {log}."
    errors = [line for line in text.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1] if errors else "no reason given"
    return f"pip could not install the packages ({reason}); its whole output is in {log}."


def point_exports_here(environment: Path) -> None:
    """Rewrites paths of the wheels' build machine in their CMake files, which don't exist here."""
    include = sysconfig.get_path("include")
    for path in environment.joinpath("share").rglob("*.cmake"):
        text = path.read_text()
        if "/opt/python/" in text:
            text = re.sub(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+", include, text)
            text = re.sub(r"/opt/python/cp\d+-cp\d+/lib", f"{environment}/lib", text)
            path.write_text(text)


def install_packages(environment: Path, stage: Stage, with_ros: bool) -> None:
    """Installs the pinned packages."""
    stage.begin()
    log = environment / "log" / "setup-packages.log"
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install"]
    # Without a retry pip doesn't say that the network was the reason.
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=3"]
    command = [*pip, *options, *requirement_arguments(environment, with_ros)]
    if not run_logged("installing packages", command, log, os.environ):
        stage.forget()
        fail(explain_pip_failure(log))
    if not with_ros:
        point_exports_here(environment)
    stage.finish()


def build_variables(environment: Path, with_ros: bool) -> dict[str, str]:
    """The variables that colcon runs with: nothing of another ROS unless one is asked for."""
    variables = dict(os.environ)
    variables["PATH"] = f"{environment / 'bin'}:{variables.get('PATH', '/usr/bin:/bin')}"
    if not with_ros:
        variables.pop("PYTHONPATH", None)
        variables["AMENT_PREFIX_PATH"] = variables["CMAKE_PREFIX_PATH"] = str(environment)
    return variables


def build(environment: Path, stages: Mapping[str, Stage], with_ros: bool) -> None:
    """Builds the named packages and installs them into the environment."""
    for stage in stages.values():
        stage.begin()
    log = environment / "log" / "setup-build.log"
    command = [
        *(str(environment / "bin" / "python"), "-m", "colcon"),
        *("--log-base", str(environment / "log" / "colcon"), "build"),
        *("--base-paths", str(REPOSITORY), str(REPOSITORY / "interfaces" / OVERLAY)),
        *("--packages-select", *stages),
        *("--build-base", str(environment / "build"), "--install-base", str(environment)),
        *("--merge-install", "--symlink-install", "--event-handlers", "console_cohesion+"),
        *("--cmake-args", f"-DPython3_EXECUTABLE={environment / 'bin' / 'python'}"),
        "-DBUILD_TESTING=OFF",
    ]
    title = f"building {' and '.join(stages)}"
    if not run_logged(title, command, log, build_variables(environment, with_ros)):
        for stage in stages.values():
            stage.forget()
        fail(f"{title} failed; see the end of {log}.")
    prune_links(environment)
    for stage in stages.values():
        stage.finish()


def prune_links(environment: Path) -> None:
    """Removes links of files that have left the repository."""
    code = environment.glob(f"lib/python3*/site-packages/{PACKAGE}")
    for folder in (*code, environment / "share" / PACKAGE):
        for path in folder.rglob("*"):
            if path.is_symlink() and not path.exists():
                path.unlink()


def overlay_key() -> str:
    """Changes with the overlay's definitions."""
    return digest(files_below(REPOSITORY / "interfaces" / OVERLAY))


def package_key() -> str:
    """Changes with what is compiled, and with the list (not the contents) of linked files."""
    compiled = files_below(REPOSITORY / "msg", REPOSITORY / "srv")
    single = [REPOSITORY / n for n in ("package.xml", "CMakeLists.txt", "tools/executable.in")]
    linked = files_below(*(REPOSITORY / name for name in INSTALLED_FOLDERS))
    names = [str(path.relative_to(REPOSITORY)) for path in (*compiled, *linked)]
    return digest([*single, *compiled, *names])


def has_own_vision_msgs(environment: Path) -> bool:
    """Whether the sourced ROS brings vision_msgs itself."""
    command = [str(environment / "bin" / "python"), "-c", "import vision_msgs.msg"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def set_up(environment: Path) -> None:
    """Brings the environment up to date."""
    distribution = os.environ.get("ROS_DISTRO", "")
    with_ros = bool(distribution)
    # The place is part of it: a moved environment has links and first lines that lead nowhere.
    made_from = [sys.version, sys.prefix, distribution, str(environment), str(REPOSITORY)]
    base = Stage(environment, "environment", digest(made_from))
    tools = REPOSITORY / "tools"
    pins = [tools / "constraints.txt", *sorted(tools.glob("req*.txt"))]
    packages = Stage(environment, "packages", digest([base.key, *pins]))
    if not base.done or packages.interrupted:
        make_environment(environment, with_ros)
        base.begin()
        base.finish()
    if not packages.done:
        install_packages(environment, packages, with_ros)

    keys = {OVERLAY: overlay_key(), PACKAGE: digest([overlay_key(), package_key()])}
    if with_ros and has_own_vision_msgs(environment):
        del keys[OVERLAY]
    stages = {name: Stage(environment, name, digest([packages.key, keys[name]])) for name in keys}
    stale = {name: stage for name, stage in stages.items() if not stage.done}
    if stale:
        build(environment, stale, with_ros)


def main() -> None:
    """Entry point: the environment's folder is the only argument."""
    environment = Path(sys.argv[1]).resolve()
    # Two calls at once would tear each other's files, so the second waits.
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        set_up(environment)


if __name__ == "__main__":
    main()
