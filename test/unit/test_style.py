"""Runs linter, formatter and type checker, so that `make test` is the only command to know, and
holds what they don't know: names, docstrings, and how long a file may be."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = ("perceptiondlm_ros", "export")

LONG_FILES = {"test_captioner.py"}
"""Those that were long already. They may only become less."""


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_tools_find_nothing(command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def repeated(names: Iterator[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def test_a_module_has_a_name_of_its_own() -> None:
    names = (path.stem for path in sources(*CODE) if path.stem != "__init__")
    assert not repeated(names)


def test_a_public_class_has_a_name_of_its_own() -> None:
    names = (
        node.name
        for path in sources(*CODE)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not repeated(names)


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(node: ast.AST, name: str = "") -> Iterator[tuple[str, Documented]]:
    """What is public in a module, a class or a function, and itself, by dotted names."""
    if isinstance(node, Documented):
        yield name, node
    for child in ast.iter_child_nodes(node):
        inner = getattr(child, "name", "")
        if isinstance(child, Documented) and (inner == "__init__" or not inner.startswith("_")):
            yield from documented(child, f"{name}.{inner}".lstrip("."))


def described(node: Documented) -> set[str]:
    """The names of its parameters or attributes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    fields = (field.target for field in node.body if isinstance(field, ast.AnnAssign))
    return {field.id for field in fields if isinstance(field, ast.Name)}


def begins_with_a_sentence(node: Documented) -> bool:
    line = (ast.get_docstring(node) or "").partition("\n")[0]
    names, colon, _ = line.partition(":")
    sections = {"Args", "Attributes", "Returns", "Raises", "Yields"}
    return not colon or not {*names.split(", ")} <= sections | described(node)


def test_docstrings_begin_with_a_sentence_that_says_what_the_thing_is() -> None:
    found = {
        name
        for path in sources(*CODE, "tools")
        for name, node in documented(ast.parse(path.read_text()))
        if not begins_with_a_sentence(node)
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'class A:\n    """Attributes:\n    x: what it is.\n    """\n    x: int',
        'class A:\n    """x: what it is."""\n    x: int',
        'def f(x, *y):\n    """Args:\n    x: what it is.\n    """',
        'def f(x, *y):\n    """x, y: what they are."""',
    ],
)
def test_a_docstring_without_a_sentence_is_found(source: str) -> None:
    ((_, _), (_, node)) = documented(ast.parse(source))
    assert not begins_with_a_sentence(node)


def test_no_file_is_long() -> None:
    long = {
        path.name
        for path in sources(*CODE, "tools", "test", "launch")
        if len(path.read_text().splitlines()) > 400
    }
    assert long <= LONG_FILES
