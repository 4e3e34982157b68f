"""The command as such: what it imports, its version, and how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from perceptiondlm_ros.captioner import Captioner

REPOSITORY = Path(__file__).resolve().parents[3]
HEAVY = "msgspec numpy PIL rich tokenizers safetensors torch onnx onnxruntime rclpy"


def python(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_answers_without_importing_what_takes_long() -> None:
    """Help, and complaints about arguments."""
    program = """if True:
        import sys
        from perceptiondlm_ros.cli.main import main
        heavy, *lines = sys.argv[1:]
        for line in lines:
            try:
                main(line.split())
            except SystemExit:
                pass
        print("heavy:", sorted(set(sys.modules) & set(heavy.split())))
    """
    lines = ("--help", "--version", "", "caption --help", "check --help", "bag --help")
    wrong = ("caption a.png --box 1", "check --precision fp4")
    assert python(program, HEAVY, *lines, *wrong).stdout.endswith("heavy: []\n")


def test_version_is_that_of_the_manifest_and_help_names_the_subcommands(run: Any) -> None:
    version = ElementTree.parse(REPOSITORY / "package.xml").getroot().findtext("version")
    assert run("--version") == (0, f"perceptiondlm {version}\n", "")
    status, out, _ = run("--help")
    assert status == 0 and all(
        name in out for name in ("caption", "bag", "export", "compile", "check")
    )


@pytest.mark.parametrize("arguments", [[], ["captions"], ["caption"], ["--verison"]])
def test_wrong_arguments_are_explained(arguments: list[str], run: Any) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: perceptiondlm")
    assert "error: " in err.splitlines()[-1]


def test_an_error_is_one_line_even_if_a_name_is_not(run: Any) -> None:
    status, out, err = run("caption", "two\nlines \x1b[31m.png", "--box", "1,2,3,4")
    assert (status, out) == (2, "")
    assert err.startswith("perceptiondlm: IMAGE two lines \ufffd[31m.png ")
    assert err.count("\n") == 1


def test_interruption_leaves_no_traceback(
    run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Captioner, "load", Mock(side_effect=KeyboardInterrupt))
    assert run("caption", photo, "--box", "1,2,3,4") == (130, "", "")


def test_a_fault_of_our_own_is_not_hidden(
    run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ModuleNotFoundError("no such module", name="perceptiondlm_ros.model.nothing")
    monkeypatch.setattr(Captioner, "load", Mock(side_effect=error))
    with pytest.raises(ModuleNotFoundError):
        run("caption", photo, "--box", "1,2,3,4")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("no", name="tokenizers"), "lacks tokenizers; run `"),
        (ImportError("old C library", name="numpy.core"), "can't load numpy (old C library); run"),
    ],
)
def test_a_library_is_named_with_the_interpreter_that_lacks_it(
    error: ImportError, says: str, run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Captioner, "load", Mock(side_effect=error))
    status, out, err = run("caption", photo, "--box", "1,2,3,4")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"perceptiondlm: this program runs in {sys.executable} (Python")
    assert says in err and f"`{sys.executable} -m pip install " in err


def test_a_bare_interpreter_is_told_all_that_it_lacks_at_once(photo: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[2:]))\n"
        "from perceptiondlm_ros.cli.main import main\n"
        "sys.exit(main(['caption', sys.argv[1], '--box', '1,2,3,4']))"
    )
    result = python(program, photo, "msgspec", "numpy", "PIL", "rich", "tokenizers")
    assert (result.returncode, result.stdout) == (2, "")
    assert "lacks PIL, msgspec, numpy, rich, tokenizers; run `" in result.stderr
    assert "-m pip install pillow msgspec numpy rich tokenizers`" in result.stderr


def test_compiling_needs_nothing_that_exporting_does(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[2:]))\n"
        "from perceptiondlm_ros.cli.main import main\n"
        "sys.exit(main(['compile', sys.argv[1]]))"
    )
    result = python(program, tmp_path, "filelock", "onnx", "onnxscript")
    assert result.returncode == 2 and "lacks filelock; run `" in result.stderr


def test_missing_torch_is_the_backends_error_with_the_interpreter(
    run: Any, photo: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "perceptiondlm_ros.runtime.torch_backend", raising=False)
    status, out, err = run(
        "caption", photo, "--box", "1,2,3,4", "--checkpoint", tiny_checkpoint, "--backend", "torch"
    )
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("perceptiondlm: the torch backend needs torch") and sys.executable in err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = """if True:
        import sys
        from perceptiondlm_ros.cli import main
        class Printing:
            def parse_args(self, arguments): return self
            def run(self, arguments): print("x" * 100_000)
        main._parser = Printing
        sys.exit(main.main([]))
    """
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:  # noqa: PTH123 (it has no path)
        command = [sys.executable, "-c", program]
        result = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
