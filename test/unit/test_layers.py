"""Holds the layering: an import may point only downwards, wherever in a file it stands."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "perceptiondlm_ros"

# What the rooms of the node share.
_SHARED_IN_ROS = (*("ros.parameters", "ros.settings", "ros.qos", "ros.threads"),)
# For each layer, the parts of the package that it may import besides itself and those that all may,
# `errors` and `pixel_boxes`.
MAY_IMPORT = {
    "development.demo": {
        *("ros", "msg", "srv", "cli", "development.training", "development.scenes", "drawing"),
        *("captioner", "export", "runtime", "processing", "model", "text", "offline", "messages"),
        *("development.command_line", "development.plotting", "development.checkpoint_files"),
        "terminal",
    },
    # A frame goes from the inputs through captioning to the outputs, and everything is told to
    # health; the outputs also take the topics that place regions in space.
    "ros.captioning": {
        *("ros.inputs", "ros.outputs", "ros.health", *_SHARED_IN_ROS),
        *("captioner", "messages", "msg", "srv", "text"),
    },
    "ros.outputs": {
        *("ros.inputs", "ros.health", *_SHARED_IN_ROS),
        *("captioner", "drawing", "messages", "msg", "text"),
    },
    "ros.inputs": {"ros.health", *_SHARED_IN_ROS, "messages"},
    "ros.health": {*_SHARED_IN_ROS, "messages", "text"},
    **{part: {*_SHARED_IN_ROS, "messages", "model.contract"} for part in _SHARED_IN_ROS},
    "ros": {"captioner", "messages", "text", "runtime.compute_threads"},
    "cli": {
        *("offline", "messages", "drawing", "captioner"),
        *("export", "preflight", "runtime", "processing", "model", "terminal", "text"),
    },
    # Captions bags, with no ROS around.
    "offline": {"messages", "captioner", "terminal", "text"},
    # What messages hold. Read by the names of their fields, so that those of ROS and those of bags
    # are read by the same code.
    "messages": {"captioner", "text"},
    "development.benchmark": {
        *("captioner", "runtime", "processing", "model", "export", "terminal"),
        *("development.checkpoint_files", "development.command_line", "development.plotting"),
    },
    "development.training": {
        *("development.scenes", "captioner", "processing", "model", "terminal"),
        *("development.checkpoint_files", "development.plotting"),
    },
    "development.checkpoint_files": {"runtime.locate", "model"},
    "development.scenes": {"captioner", "processing", "model"},
    "development": set(),
    "preflight": {
        *("runtime.exported", "runtime.tensorrt", "processing", "model", "terminal", "text"),
    },
    "export": {"processing", "model", "terminal", "text"},
    "drawing": {"captioner", "text"},
    "captioner": {"runtime", "processing", "model.contract"},
    "runtime": {"model", "text"},
    "processing": {"model.contract", "model.config"},
    "model": set(),
    # What people see of work that takes long.
    "terminal": {"text"},
    # Boxes and masks.
    "pixel_boxes": set(),
    "text": set(),
    "errors": set(),
}
ROS_LIBRARIES = {"rclpy", "launch", "launch_ros", "cv_bridge", "message_filters", "rcl_interfaces"}
# Parts that run on an exported model, where torch is not installed.
WITHOUT_TORCH = (
    *("errors", "terminal", "text", "model.contract", "model.config", "processing"),
    "development.scenes",
    *("model.published", "model.tensor_headers", "model.manifest", "preflight"),
    *("runtime.tensorrt", "runtime.exported"),
    *("runtime.onnx_backend", "runtime.onnx_devices", "runtime.onnx_weights"),
    *("runtime.processor", "runtime.compute_threads", "runtime.feeds", "runtime.denoising"),
    "runtime.loading",
    "drawing",
)
WITH_TORCH = ("runtime.tensorrt.torch_gpu",)  # the exceptions below these
NEVER = {"transformers", "torchvision", "pickle"}


def imported_modules(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Full dotted names that the source imports, with relative imports resolved."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from package import module` names the module only in its second half.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_within(name: str, parent: str) -> bool:
    """Whether a dotted name is the parent or lies in it."""
    return name == parent or name.startswith(f"{parent}.")


def runs_without_torch(module: str) -> bool:
    """Whether a module, named within the package, runs where torch is not installed."""
    return module not in WITH_TORCH and any(is_within(module, part) for part in WITHOUT_TORCH)


def is_ros(name: str) -> bool:
    """Whether a dotted name is of a ROS library or of messages."""
    top = name.split(".")[0]
    return top in ROS_LIBRARIES or top.endswith(("_msgs", "_srvs", "_interfaces"))


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What the source of a module imports against the layering."""
    inner = module.removeprefix(f"{PACKAGE}.")
    layer = next((name for name in MAY_IMPORT if is_within(inner, name)), None)
    if layer is None:
        return [f"{module} is in no layer; add one to the table with its imports"]
    allowed = MAY_IMPORT[layer] | {layer, "errors", "pixel_boxes"}
    found = []
    for name in imported_modules(source, module, is_package):
        if is_within(name, PACKAGE):
            target = name.removeprefix(PACKAGE).lstrip(".")
            if not any(is_within(target, part) for part in allowed):
                found.append(f"{module} ({layer}) imports {name}")
        elif is_ros(name) and not is_within(layer, "ros") and layer != "development.demo":
            found.append(f"{module} imports {name}, which only ros and development.demo may")
        elif name.split(".")[0] in NEVER:
            found.append(f"{module} imports {name}, which nothing may")
        elif is_within(name, "torch") and runs_without_torch(inner):
            found.append(f"{module} imports torch, which it must run without")
    return found


def sources() -> Iterator[tuple[Path, str]]:
    """Every Python file with the module name under which it is installed."""
    for folder, name in (("perceptiondlm_ros", PACKAGE), ("export", f"{PACKAGE}.export")):
        root = REPOSITORY / folder
        for path in sorted(root.rglob("*.py")):
            parts = [*path.relative_to(root).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            yield path, ".".join([name, *parts])


def test_imports_point_only_downwards() -> None:
    modules = list(sources())
    assert modules, "no source file was found"
    found = [
        violation
        for path, module in modules
        if module != PACKAGE
        for violation in violations(path.read_text(), module, path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {name: path for path, name in sources() if not is_within(name, f"{PACKAGE}.model")}
    imports: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = imported_modules(path.read_text(), module, path.name == "__init__.py")
        parents = {parent for name in names for parent in (name, name.rpartition(".")[0])}
        imports[module] = (parents & modules.keys()) - {module}
    TopologicalSorter(imports).prepare()  # raises a CycleError with the circle


def test_package_files_are_empty() -> None:
    filled = [str(path) for path, _ in sources() if path.name == "__init__.py" and path.read_text()]
    assert not filled, f"importing a folder must run nothing: {filled}"


def test_top_package_file_is_left_to_the_message_generator() -> None:
    assert not (REPOSITORY / PACKAGE / "__init__.py").exists(), (
        "an own __init__.py at the top hides the generated messages from a Python that is started "
        "in the repository"
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.vision", "from perceptiondlm_ros.runtime import denoising"),
        ("model.vision", "from ..processing.tiles import tile"),
        ("model.vision", "def f():\n    from perceptiondlm_ros import captioner"),
        ("model.vision", "if TYPE_CHECKING:\n    from .. import captioner"),
        ("processing.tiles", "import torch.nn.functional as F"),
        ("runtime.torch_backend", "from perceptiondlm_ros.processing.tiles import tile"),
        ("captioner", "import rclpy"),
        ("cli.main", "from sensor_msgs.msg import Image"),
        ("cli.main", "from perceptiondlm_ros.msg import RegionDescription"),
        ("ros.region_captioner", "from perceptiondlm_ros.runtime.backend import Backend"),
        ("ros.inputs.frames", "from perceptiondlm_ros.ros.captioning.captioning import Captioning"),
        ("ros.outputs.markers", "from perceptiondlm_ros.ros.captioning.reuse import Reuse"),
        ("ros.health.watch", "from perceptiondlm_ros.ros.inputs.frames import Inputs"),
        ("ros.qos", "from perceptiondlm_ros.ros.health.monitor import Monitor"),
        ("development.scenes.render", "from perceptiondlm_ros.development.training import train"),
        ("model.language", "import transformers"),
        ("elsewhere.thing", "import json"),
    ],
)
def test_violation_is_found(module: str, source: str) -> None:
    assert violations(source, f"{PACKAGE}.{module}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.vision", "import torch\nfrom perceptiondlm_ros.errors import CheckpointError"),
        ("model.vision", "from . import contract\nfrom .config import Config"),
        ("processing.tiles", "from perceptiondlm_ros.model.contract import TILE\nimport numpy"),
        (
            "ros.captioning.warm_up",
            "import rclpy\nfrom perceptiondlm_ros.captioner import Captioner",
        ),
        ("ros.captioning.prepared_frame", "from perceptiondlm_ros.msg import RegionDescription"),
        (
            "development.demo.run_demo",
            "from perceptiondlm_ros.development.scenes.moving import MovingScene\nimport rclpy",
        ),
        ("cli.main", "from perceptiondlm_ros.drawing import draw"),
    ],
)
def test_permitted_import_is_not_reported(module: str, source: str) -> None:
    assert violations(source, f"{PACKAGE}.{module}") == []


def test_relative_imports_are_resolved_in_package_files() -> None:
    source = "from . import vision\nfrom ..errors import CheckpointError"
    names = list(imported_modules(source, f"{PACKAGE}.model", is_package=True))
    assert names == [f"{PACKAGE}.model.vision", f"{PACKAGE}.errors.CheckpointError"]


def test_torch_is_not_loaded_behind_the_back() -> None:
    modules = [m for _, m in sources() if runs_without_torch(m.removeprefix(f"{PACKAGE}."))]
    assert modules
    program = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "False", run.stdout + run.stderr
