"""The stages of the set-up: what makes them run again, and that an interruption leaves no trap."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up program, looking at a small repository of its own."""
    spec = importlib.util.spec_from_file_location(
        "build_environment", TOOLS / "build_environment.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # The program is started as a script, which has its own folder on the path.
    monkeypatch.syspath_prepend(str(TOOLS))
    spec.loader.exec_module(module)
    repository = tmp_path / "repository"
    for name in (
        *("package.xml", "CMakeLists.txt", "tools/constraints.txt", "tools/executable.in"),
        *("tools/requirements.txt", "tools/requirements-ros.txt", "msg/Region.msg"),
        *("srv/Describe.srv", "interfaces/vision_msgs/package.xml"),
        *("perceptiondlm_ros/errors.py", "config/node.yaml", "launch/node.launch.py"),
    ):
        write(repository / name, name)
    monkeypatch.setattr(module, "REPOSITORY", repository)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    return module


class SetUp:
    """The set-up of an environment with pip and colcon replaced, which fail where told to."""

    def __init__(self, tool: ModuleType, environment: Path, patch: pytest.MonkeyPatch) -> None:
        self.environment = environment
        self.repository: Path = tool.REPOSITORY
        self.outcome: bool | type[BaseException] = True
        self.log = ""
        self._tool = tool
        self._titles: list[str] = []
        patch.setattr(tool, "run_logged", self._run)
        patch.setattr(tool, "make_environment", self._make)

    def __call__(self) -> list[str]:
        """Bring the environment up to date and return what ran."""
        self._titles = []
        self._tool.set_up(self.environment)
        return self._titles

    def _run(self, title: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> bool:
        self._titles.append(title)
        write(log, self.log)
        if isinstance(self.outcome, bool):
            return self.outcome
        raise self.outcome

    def _make(self, environment: Path, with_ros: bool) -> None:
        self._titles.append("environment")
        (environment / "stamps").mkdir(parents=True, exist_ok=True)
        for stamp in (environment / "stamps").iterdir():
            stamp.unlink()


ALL = ["environment", "installing packages", "building vision_msgs and perceptiondlm_ros"]
BUILD = ["building perceptiondlm_ros"]


@pytest.fixture
def set_up(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    return SetUp(tool, tmp_path / "venv", monkeypatch)


RUNS = {
    "tools/constraints.txt tools/requirements.txt": ALL[1:],
    "interfaces/vision_msgs/package.xml": ALL[2:],
    "package.xml CMakeLists.txt msg/Region.msg srv/Describe.srv": BUILD,
    # Links show an edited file by themselves.
    "perceptiondlm_ros/errors.py config/node.yaml": [],
    # New files are linked if they are installed.
    "perceptiondlm_ros/model/vision.py export/onnx.py": BUILD,
    "perceptiondlm_ros/checkpoints/small/model.safetensors": BUILD,
    "perceptiondlm_ros/__pycache__/errors.cpython-311.pyc perceptiondlm_ros/.errors.py.swp": [],
    "test/unit/test_other.py": [],
}


@pytest.mark.parametrize(
    ("name", "runs"), [(name, runs) for names, runs in RUNS.items() for name in names.split()]
)
def test_a_changed_or_new_file_runs_only_what_depends_on_it(
    name: str, runs: list[str], set_up: SetUp
) -> None:
    assert set_up() == ALL
    assert set_up() == [], "a second call does nothing"
    write(set_up.repository / name, "something else")
    assert set_up() == runs


def test_link_of_a_deleted_file_goes(tool: ModuleType, tmp_path: Path) -> None:
    code = tmp_path / "lib/python3.11/site-packages/perceptiondlm_ros/model"
    share = tmp_path / "share/perceptiondlm_ros/config"
    for folder in (code, share):
        folder.mkdir(parents=True)
        (folder / "kept").symlink_to(TOOLS / "setup.sh")
        (folder / "deleted").symlink_to(tmp_path / "nothing")
    tool.prune_links(tmp_path)
    assert [p.name for p in code.iterdir()] == [p.name for p in share.iterdir()] == ["kept"]


def test_interruption_of_installing_starts_anew_and_of_building_builds_again(
    set_up: SetUp,
) -> None:
    for expected in (ALL, BUILD):
        set_up.outcome = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            set_up()
        set_up.outcome = True
        assert set_up() == expected
        (set_up.repository / "msg/Region.msg").write_text("something else")


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("WARNING: Retrying after NewConnectionError('…')\nERROR: x", "check the connection"),
        ("ERROR: [Errno 28] No space left on device", "the disk is full: free about 5 GB"),
        ("ERROR: Could not find a version that satisfies x==9", "satisfies x==9"),
        ("", "no reason given"),
    ],
)
def test_failed_installation_is_explained_and_tried_again(
    log: str, says: str, set_up: SetUp
) -> None:
    set_up.outcome, set_up.log = False, log
    with pytest.raises(SystemExit, match=says) as caught:
        set_up()
    assert "setup-packages.log" in str(caught.value)
    set_up.outcome = True
    assert set_up() == ALL[1:]


def test_moved_environment_and_a_sourced_ros_make_one_anew(
    set_up: SetUp, tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    set_up.environment = set_up.environment.rename(tmp_path / "moved")
    assert set_up() == ALL
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(tool, "has_own_vision_msgs", lambda environment: True)
    assert set_up() == [*ALL[:2], *BUILD]


@pytest.mark.parametrize(("of_ros", "limit"), [("1.21.5", "numpy<2"), ("2.3.4", "numpy<3")])
def test_sourced_ros_keeps_its_own_libraries(
    of_ros: str, limit: str, tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.metadata, "version", {"numpy": of_ros}.__getitem__)
    (tool.REPOSITORY / "tools/requirements.txt").write_text("# names\nnumpy\ntokenizers\n")
    (tool.REPOSITORY / "tools/constraints.txt").write_text(
        'empy==4.2.1\nnumpy==2.2.6; python_version < "3.11"\ntokenizers==0.23.3\n'
    )
    *options, name = tool.requirement_arguments(tmp_path, with_ros=True)
    assert name == "tokenizers"
    assert options[0] == "--constraint"
    assert Path(options[1]).read_text().splitlines() == ["tokenizers==0.23.3", limit]
    pins = (TOOLS / "constraints.txt").read_text().splitlines()
    assert {pin.partition("==")[0] for pin in pins} >= set(tool.FROM_ROS)


def test_sourced_ros_without_numpy_is_explained(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tool.metadata, "version", missing)
    with pytest.raises(SystemExit, match="has no NumPy, which the messages"):
        tool.requirement_arguments(tmp_path, with_ros=True)


def test_paths_of_the_build_machine_are_replaced(tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "share/a/cmake/export.cmake"
    write(path, '"/opt/python/cp312-cp312/include/python3.12;/opt/python/cp312-cp312/lib/x"')
    tool.point_exports_here(tmp_path)
    text = path.read_text()
    assert "/opt/python" not in text
    assert f"{tmp_path}/lib/x" in text


def test_command_output_goes_to_the_log(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log" / "x.log"
    program = "import sys; print('much output'); sys.exit(3)"
    assert not tool.run_logged("trying", [sys.executable, "-c", program], log, os.environ)
    assert "much output" in log.read_text()
    assert "much output" not in (err := capsys.readouterr().err)
    assert "trying: failed after" in err
