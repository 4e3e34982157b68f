"""What is installed, where from, and what the set-up says on machines that lack something."""

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "perceptiondlm_ros"
SETUP = REPOSITORY / "tools" / "setup.sh"
MANIFEST = ElementTree.parse(REPOSITORY / "package.xml").getroot()


def run(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a command from an empty environment unless one is given."""
    return subprocess.run(
        command, cwd=cwd, env=env or {}, capture_output=True, text=True, check=False
    )


def python(program: str, cwd: Path) -> str:
    """What a program prints, run by this interpreter with nothing in its environment."""
    result = run([sys.executable, "-c", program], cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# --- what is installed


@pytest.mark.parametrize("from_repository", [True, False])
def test_package_and_messages_are_found_without_sourcing(
    from_repository: bool, tmp_path: Path
) -> None:
    program = (
        "from perceptiondlm_ros.msg import RegionDescription, RegionDescriptionArray;"
        "from perceptiondlm_ros.srv import DescribeRegions;"
        "from vision_msgs.msg import Detection2DArray; import perceptiondlm_ros.errors, rclpy;"
        "print(perceptiondlm_ros.errors.__name__, RegionDescription().FRESH)"
    )
    found = python(program, REPOSITORY if from_repository else tmp_path)
    assert found == "perceptiondlm_ros.errors 0"


def test_every_source_file_is_installed() -> None:
    installed = Path(python(f"import {PACKAGE}; print({PACKAGE}.__path__[0])", Path("/")))
    missing = [
        str(path)
        for path in (REPOSITORY / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        if not (installed / path.relative_to(REPOSITORY / PACKAGE)).is_file()
    ]
    assert not missing, f"run 'make setup': {missing}"


def test_executables_start_with_the_interpreter_of_the_environment() -> None:
    prefix = Path(sys.prefix)
    for path in (prefix / "bin" / "perceptiondlm", prefix / "lib" / PACKAGE / "region_captioner"):
        assert os.access(path, os.X_OK), path
        shebang = path.read_text().splitlines()[0]
        assert shebang.startswith(f"#!{prefix}/bin/python"), shebang


@pytest.mark.parametrize("folder", ["config", "launch"])
def test_shared_files_are_installed(folder: str) -> None:
    names = {p.name for p in (REPOSITORY / folder).glob("*.*")}
    share = Path(sys.prefix) / "share" / PACKAGE / folder
    assert names
    assert names <= {p.name for p in share.iterdir()}


def test_overlay_has_the_fields_of_vision_msgs_4() -> None:
    """Names, order and types decide whether the real package understands the messages."""
    from vision_msgs import msg

    def fields(name: str) -> dict[str, str]:
        found: dict[str, str] = getattr(msg, name).get_fields_and_field_types()
        return found

    wanted = {
        "Point2D": "x: double, y: double",
        "Pose2D": "position: vision_msgs/Point2D, theta: double",
        "BoundingBox2D": "center: vision_msgs/Pose2D, size_x: double, size_y: double",
        "ObjectHypothesis": "class_id: string, score: double",
        "ObjectHypothesisWithPose": (
            "hypothesis: vision_msgs/ObjectHypothesis, pose: geometry_msgs/PoseWithCovariance"
        ),
        "Detection2D": (
            "header: std_msgs/Header, results: sequence<vision_msgs/ObjectHypothesisWithPose>, "
            "bbox: vision_msgs/BoundingBox2D, id: string"
        ),
        "Detection2DArray": (
            "header: std_msgs/Header, detections: sequence<vision_msgs/Detection2D>"
        ),
    }
    for name, text in wanted.items():
        assert ", ".join(f"{k}: {v}" for k, v in fields(name).items()) == text


# --- the manifest


def test_manifest_is_valid_and_names_what_cmake_looks_for() -> None:
    from catkin_pkg.package import parse_package

    package = parse_package(str(REPOSITORY / "package.xml"), warnings=(warnings := []))
    assert warnings == []
    assert package.package_format == 3
    assert package.get_build_type() == "ament_cmake"
    declared = {d.name for d in [*package.build_depends, *package.buildtool_depends]}
    declared |= {d.name for d in package.test_depends}
    cmake = (REPOSITORY / "CMakeLists.txt").read_text()
    assert set(re.findall(r"find_package\((\w+)", cmake)) <= declared


def imported(*folders: str) -> set[str]:
    """First names of what the Python files of the folders import from outside."""
    names = set()
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add((node.module or "").partition(".")[0])
    return names - sys.stdlib_module_names - {PACKAGE}


KEYS = {
    "PIL": "python3-pil",
    "cv2": "python3-opencv",
    "filelock": "python3-filelock",
    "numpy": "python3-numpy",
    "psutil": "python3-psutil",
    "rich": "python3-rich",
}
"""Names in rosdep of what ROS doesn't build itself."""


def test_manifest_names_what_the_node_and_its_launch_file_import_and_nothing_else() -> None:
    declared = {tag.text for name in ("depend", "exec_depend") for tag in MANIFEST.iter(name)}
    interfaces = {tag.text for tag in MANIFEST.iter("depend")}
    wanted = {KEYS.get(name, name) for name in imported(f"{PACKAGE}/ros", "launch")}
    assert wanted
    assert declared == wanted | interfaces | set(KEYS.values()) | {"rosidl_default_runtime"}


def test_manifest_names_what_the_interfaces_use() -> None:
    used = {
        found
        for path in (*REPOSITORY.glob("msg/*.msg"), *REPOSITORY.glob("srv/*.srv"))
        for found in re.findall(r"(?m)^(\w+)/\w+", path.read_text())
    }
    assert {tag.text for tag in MANIFEST.iter("depend")} == used
    assert f"DEPENDENCIES {' '.join(sorted(used))}" in (REPOSITORY / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("name", ["numpy", "pillow"])
def test_manifest_asks_pip_for_the_versions_that_setup_asks_for(name: str) -> None:
    floor = re.search(rf'"{name}>=[\d.]+', (REPOSITORY / "setup.py").read_text())
    command = re.search(r"pip install .*", (REPOSITORY / "package.xml").read_text())
    assert floor and command
    assert floor[0] in command[0]


def test_every_interface_file_is_built() -> None:
    for folder in (REPOSITORY, REPOSITORY / "interfaces" / "vision_msgs"):
        cmake = (folder / "CMakeLists.txt").read_text()
        listed = set(re.findall(r"\b(?:msg|srv)/\w+\.(?:msg|srv)", cmake))
        files = {*folder.glob("msg/*.msg"), *folder.glob("srv/*.srv")}
        assert listed == {str(path.relative_to(folder)) for path in files}


def test_version_is_written_once() -> None:
    version = MANIFEST.findtext("version")
    assert version
    assert run([sys.executable, "setup.py", "--version"], REPOSITORY).stdout.split()[-1] == version
    for name in ("setup.py", "pyproject.toml", "CMakeLists.txt"):
        assert version not in (REPOSITORY / name).read_text(), f"{name} repeats the version"


def test_every_installed_version_is_pinned() -> None:
    wanted = [
        re.split(r"[\[;]", line)[0]
        for path in (REPOSITORY / "tools").glob("requirements*.txt")
        for line in path.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    pins = (REPOSITORY / "tools" / "constraints.txt").read_text()
    loose = [n for n in wanted if not re.search(rf"(?im)^{n.replace('_', '[-_]')}==\S", pins)]
    assert wanted
    assert not loose


def test_pip_installs_code_and_data_without_ros(tmp_path: Path) -> None:
    # setuptools leaves its traces where it builds, so it gets a copy.
    source = tmp_path / "source"
    source.mkdir()
    folders = (PACKAGE, "export", "msg", "interfaces")
    for name in ("setup.py", "pyproject.toml", "package.xml", "MANIFEST.in", *folders):
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / name)
    data = source / PACKAGE / "checkpoints" / "other"
    data.mkdir(parents=True)
    (data / "config.json").write_text("{}")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", "target"]
    pip = run([sys.executable, "-m", "pip", "install", *options, source], tmp_path, os.environ)
    assert pip.returncode == 0, pip.stderr
    target = tmp_path / "target"
    assert (target / PACKAGE / "errors.py").is_file()
    assert (target / PACKAGE / "model" / "config.py").is_file()
    assert (target / PACKAGE / "checkpoints" / "other" / "config.json").is_file()
    assert (target / PACKAGE / "export" / "exporter.py").is_file()
    definitions = target / PACKAGE / "definitions"
    assert (definitions / PACKAGE / "RegionDescription.msg").is_file()
    assert (definitions / "vision_msgs" / "Detection2D.msg").is_file()
    assert (target / "bin" / "perceptiondlm").is_file()
    assert not (target / PACKAGE / "ros").exists()
    # What a source distribution has; setup.py reads package.xml.
    assert "package.xml" in (source / f"{PACKAGE}.egg-info" / "SOURCES.txt").read_text().split()


# --- what the set-up says


def machine(folder: Path, **programs: str | None) -> dict[str, str]:
    """An environment whose PATH has a working machine's programs, replaced or removed as named."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name in ("sh", "dirname", "uname", "c++"):
        found = shutil.which(name)
        assert found, name
        (bin_folder / name).symlink_to(found)
    (bin_folder / "python3").symlink_to(sys.executable)
    for name, script in programs.items():
        path = bin_folder / name.replace("cxx", "c++")
        path.unlink(missing_ok=True)
        if script is not None:
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
    return {"PATH": str(bin_folder), "HOME": str(folder)}


@pytest.mark.parametrize(
    ("programs", "variables", "says"),
    [
        ({"python3": None}, {}, "Python 3.10 to 3.14 is needed, found no python3: install"),
        (
            {"python3": "[ $1 = --version ] && echo Python 3.9.2 && exit 0; exit 1"},
            {},
            "Python 3.10 to 3.14 is needed, found Python 3.9.2: install",
        ),
        ({"cxx": None}, {}, "no C++ compiler found"),
        ({"cxx": None}, {"CXX": "missing-compiler"}, "no C++ compiler found"),
        ({"uname": "[ $1 = -m ] && echo aarch64 || echo Linux"}, {}, "this is Linux aarch64:"),
        ({"uname": "[ $1 = -m ] && echo arm64 || echo Darwin"}, {}, "this is Darwin arm64:"),
        (
            {"python3": 'case $2 in *"import venv"*) exit 1;; *base_exec*) echo /nowhere;; esac'},
            {},
            "python3 lacks the modules venv and ensurepip: install them",
        ),
        (
            {"python3": "case $2 in *Python.h*) exit 1;; *base_exec*) echo /nowhere;; esac"},
            {},
            "python3 lacks its C headers",
        ),
        (
            {"python3": 'case $2 in *"import rclpy"*) exit 1;; *base_exec*) echo /nowhere;; esac'},
            {"ROS_DISTRO": "jazzy"},
            "ROS_DISTRO is 'jazzy', but python3 can't import its rclpy: source",
        ),
    ],
)
def test_setup_says_what_is_missing(
    programs: dict[str, str | None], variables: dict[str, str], says: str, tmp_path: Path
) -> None:
    environment = machine(tmp_path, **programs) | variables
    result = run([shutil.which("sh") or "sh", SETUP, tmp_path / "venv"], tmp_path, environment)
    assert result.returncode == 1
    assert says in result.stderr
    assert result.stderr.startswith("setup: ")
    assert result.stderr.count("\n") == 1, "one sentence, nothing around it"
    assert not (tmp_path / "venv").exists()


def test_setup_says_that_there_is_no_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        unreachable = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": address,
            "PIP_NO_CACHE_DIR": "1",
        }
        environment = machine(tmp_path) | unreachable
        result = run([shutil.which("sh") or "sh", SETUP, tmp_path / "venv"], tmp_path, environment)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "the network or the package index can't be reached: check the connection" in last
    log = re.search(r"output is in (\S+)\.$", last)
    assert log
    assert Path(log[1]).is_file()


def test_setup_runs_no_stage_when_all_is_in_place() -> None:
    """Done already (make test calls it), so it has nothing to do and nothing to say."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    if "ROS_DISTRO" in os.environ:
        pytest.skip("needs the variables that the ROS was sourced with")

    def stamps() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in Path(sys.prefix, "stamps").iterdir()}

    before = stamps()
    result = run(["sh", SETUP, sys.prefix], REPOSITORY, environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert stamps() == before


# --- what make adds to the environment


def made(target: str, folder: Path, **variables: str) -> dict[str, list[str]]:
    """What the set-up and the program of a target see of the variables that name folders."""
    told = 'echo "$0:${AMENT_PREFIX_PATH-none}:and:${LD_LIBRARY_PATH-none}"'
    shutil.copy(REPOSITORY / "Makefile", folder)
    for name in ("tools/setup.sh", "venv/bin/python", "venv/bin/pytest"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{told}\n")
        path.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], **variables}
    result = run(["make", target, "VENV=venv"], folder, environment)
    assert result.returncode == 0, result.stderr
    lines = [line.split(":") for line in result.stdout.splitlines()]
    return {Path(program).name: paths for program, *paths in lines}


@pytest.mark.parametrize("target", ["demo", "test", "evaluate", "train", "bench"])
def test_a_sourced_ros_is_told_what_was_built_into_the_environment(
    target: str, tmp_path: Path
) -> None:
    program = "pytest" if target == "test" else "python"
    sourced = {"AMENT_PREFIX_PATH": "/ros", "LD_LIBRARY_PATH": "/ros/a:/ros/b"}
    venv = str(tmp_path / "venv")
    assert made(target, tmp_path, ROS_DISTRO="jazzy", **sourced) == {
        "setup.sh": ["/ros", "and", "/ros/a", "/ros/b"],
        program: [venv, "/ros", "and", f"{venv}/lib", "/ros/a", "/ros/b"],
    }
    # An empty part would be the folder that one happens to be in.
    assert made(target, tmp_path, ROS_DISTRO="jazzy")[program] == [venv, "and", f"{venv}/lib"]


def test_without_a_sourced_ros_make_leaves_the_variables_alone(tmp_path: Path) -> None:
    assert made("test", tmp_path)["pytest"] == ["none", "and", "none"]


@pytest.mark.parametrize(("may_lack", "status"), [("x,nowhere_to_be_had", 5), ("x", 2), ("", 2)])
def test_files_of_tests_are_skipped_only_for_libraries_that_colcon_may_lack(
    may_lack: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text("import nowhere_to_be_had\n")
    around = {"PYTHONPATH": str(REPOSITORY / "test"), "PERCEPTIONDLM_TESTS_MAY_LACK": may_lack}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "conftest", str(tmp_path)]
    done = run(command, tmp_path, os.environ | around)
    assert done.returncode == status, done.stdout
    assert ("nowhere_to_be_had is not installed" in done.stdout) is (status == 5)
