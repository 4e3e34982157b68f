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
PROGRAM = TOOLS / "build_environment.py"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The set-up program, looking at a small repository of its own."""
    spec = importlib.util.spec_from_file_location("build_environment", PROGRAM)
    assert spec
    assert spec.loader
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
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setattr(module, "REPOSITORY", repository)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    return module


class Recorder:
    """Stands in for pip and colcon: notes what would run, and fails or stops where told to."""

    def __init__(self, tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.titles: list[str] = []
        self.outcome: bool | type[BaseException] = True
        self.log = ""
        monkeypatch.setattr(tool, "run_logged", self.run)
        monkeypatch.setattr(tool, "make_environment", self.make)

    def run(self, title: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> bool:
        self.titles.append(title)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.log)
        if isinstance(self.outcome, bool):
            return self.outcome
        raise self.outcome

    def make(self, environment: Path, with_ros: bool) -> None:
        self.titles.append("environment")
        (environment / "stamps").mkdir(parents=True, exist_ok=True)
        for stamp in (environment / "stamps").iterdir():
            stamp.unlink()

    def take(self) -> list[str]:
        """What ran since the last call."""
        titles, self.titles = self.titles, []
        return titles


ALL = ["environment", "installing packages", "building vision_msgs and perceptiondlm_ros"]


@pytest.fixture
def recorder(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(tool, monkeypatch)


def test_second_call_does_nothing(tool: ModuleType, recorder: Recorder, tmp_path: Path) -> None:
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == ALL
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == []


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("tools/constraints.txt", ALL[1:]),
        ("tools/requirements.txt", ALL[1:]),
        ("interfaces/vision_msgs/package.xml", ALL[2:]),
        ("package.xml", ["building perceptiondlm_ros"]),
        ("CMakeLists.txt", ["building perceptiondlm_ros"]),
        ("msg/Region.msg", ["building perceptiondlm_ros"]),
        ("srv/Describe.srv", ["building perceptiondlm_ros"]),
        # Links show an edited file by themselves.
        ("perceptiondlm_ros/errors.py", []),
        ("config/node.yaml", []),
    ],
)
def test_an_edited_file_runs_only_what_depends_on_it(
    name: str, runs: list[str], tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    tool.set_up(tmp_path / "venv")
    recorder.take()
    (tool.REPOSITORY / name).write_text("something else")
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == runs


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("perceptiondlm_ros/model/vision.py", 1),
        ("perceptiondlm_ros/checkpoints/small/model.safetensors", 1),
        ("export/onnx.py", 1),
        ("perceptiondlm_ros/__pycache__/errors.cpython-311.pyc", 0),
        ("perceptiondlm_ros/.errors.py.swp", 0),
        ("test/unit/test_other.py", 0),
    ],
)
def test_a_new_file_is_linked_if_it_is_installed(
    name: str, runs: int, tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    tool.set_up(tmp_path / "venv")
    recorder.take()
    path = tool.REPOSITORY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new")
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == ["building perceptiondlm_ros"] * runs


def test_link_of_a_deleted_file_goes(tool: ModuleType, tmp_path: Path) -> None:
    code = tmp_path / "lib/python3.11/site-packages/perceptiondlm_ros/model"
    share = tmp_path / "share/perceptiondlm_ros/config"
    for folder in (code, share):
        folder.mkdir(parents=True)
        (folder / "kept").symlink_to(TOOLS / "setup.sh")
        (folder / "deleted").symlink_to(tmp_path / "nothing")
    tool.prune_links(tmp_path)
    assert [p.name for p in code.iterdir()] == [p.name for p in share.iterdir()] == ["kept"]


def test_interrupted_installation_starts_from_a_clean_environment(
    tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.outcome = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        tool.set_up(tmp_path / "venv")
    recorder.outcome = True
    recorder.take()
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == ALL


def test_interrupted_build_keeps_the_packages(
    tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    tool.set_up(tmp_path / "venv")
    (tool.REPOSITORY / "msg/Region.msg").write_text("something else")
    recorder.outcome = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        tool.set_up(tmp_path / "venv")
    recorder.outcome = True
    recorder.take()
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == ["building perceptiondlm_ros"]


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
    log: str, says: str, tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    recorder.outcome, recorder.log = False, log
    with pytest.raises(SystemExit, match=says) as caught:
        tool.set_up(tmp_path / "venv")
    assert "setup-packages.log" in str(caught.value)
    recorder.outcome = True
    recorder.take()
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == ALL[1:]


def test_moved_environment_is_made_anew(
    tool: ModuleType, recorder: Recorder, tmp_path: Path
) -> None:
    tool.set_up(tmp_path / "venv")
    recorder.take()
    (tmp_path / "venv").rename(tmp_path / "moved")
    tool.set_up(tmp_path / "moved")
    assert recorder.take() == ALL


def test_sourced_ros_makes_an_environment_of_its_own(
    tool: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool.set_up(tmp_path / "venv")
    recorder.take()
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(tool, "has_own_vision_msgs", lambda environment: True)
    tool.set_up(tmp_path / "venv")
    assert recorder.take() == [*ALL[:2], "building perceptiondlm_ros"]


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


def test_sourced_ros_without_numpy_is_explained(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(tool.metadata, "version", missing)
    with pytest.raises(SystemExit, match="has no NumPy, which the messages"):
        tool.requirement_arguments(tmp_path, with_ros=True)


def test_pins_left_to_the_sourced_ros_are_names_of_the_constraints(tool: ModuleType) -> None:
    pins = (TOOLS / "constraints.txt").read_text().splitlines()
    assert {pin.partition("==")[0] for pin in pins} >= set(tool.FROM_ROS)


def test_paths_of_the_build_machine_are_replaced(tool: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "share" / "a" / "cmake" / "export.cmake"
    path.parent.mkdir(parents=True)
    path.write_text('"/opt/python/cp312-cp312/include/python3.12;/opt/python/cp312-cp312/lib/x"')
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
