"""The command as such: what it imports, its version, and how it fails."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from perceptiondlm_ros.captioner import Captioner

REPOSITORY = Path(__file__).resolve().parents[3]
HEAVY = {
    *("msgspec", "numpy", "PIL", "rich", "tokenizers", "safetensors"),
    *("torch", "onnx", "onnxruntime", "rclpy"),
}


def python(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["--version"], [], ["caption", "--help"], ["check", "--help"]),
        *(["caption", "a.png", "--box", "1"], ["check", "--precision", "fp4"]),
    ],
    ids=" ".join,
)
def test_answers_without_importing_what_takes_long(arguments: list[str]) -> None:
    program = (
        "import sys; from perceptiondlm_ros.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print('heavy:', {HEAVY} & set(sys.modules))"
    )
    assert python(program, *arguments).stdout.endswith("heavy: set()\n")


def test_version_is_that_of_the_manifest(run: Any) -> None:
    version = ElementTree.parse(REPOSITORY / "package.xml").getroot().findtext("version")
    assert run("--version") == (0, f"perceptiondlm {version}\n", "")


def test_help_names_the_subcommands(run: Any) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert "caption" in out


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
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Captioner, "load", interrupted)
    assert run("caption", photo, "--box", "1,2,3,4") == (130, "", "")


def test_a_fault_of_our_own_is_not_hidden(
    run: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ModuleNotFoundError("no such module", name="perceptiondlm_ros.model.nothing")

    monkeypatch.setattr(Captioner, "load", broken)
    with pytest.raises(ModuleNotFoundError):
        run("caption", photo, "--box", "1,2,3,4")


@pytest.mark.parametrize("library", ["msgspec", "numpy", "PIL", "tokenizers"])
def test_missing_library_is_named_with_the_interpreter_that_lacks_it(
    library: str, photo: Path
) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from perceptiondlm_ros.cli.main import main\n"
        "sys.exit(main(['caption', sys.argv[1], '--box', '1,2,3,4']))"
    )
    result = python(program, photo)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"perceptiondlm: this program runs in {sys.executable} (Python")
    assert f"lacks {library}; run `{sys.executable} -m pip install " in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bare_interpreter_is_told_all_that_it_lacks_at_once(photo: Path) -> None:
    program = (
        "import sys; sys.modules.update(msgspec=None, numpy=None, PIL=None, tokenizers=None)\n"
        "from perceptiondlm_ros.cli.main import main\n"
        "sys.exit(main(['caption', sys.argv[1], '--box', '1,2,3,4']))"
    )
    result = python(program, photo)
    assert result.returncode == 2
    assert "lacks PIL, msgspec, numpy, tokenizers; run `" in result.stderr
    assert "-m pip install pillow msgspec numpy tokenizers`" in result.stderr


def test_missing_torch_is_the_backends_error_with_the_interpreter(
    photo: Path, tiny_checkpoint: Path
) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from perceptiondlm_ros.cli.main import main\n"
        "sys.exit(main(['caption', sys.argv[1], '--box', '1,2,3,4', '--checkpoint', sys.argv[2]]))"
    )
    result = python(program, photo, tiny_checkpoint)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("perceptiondlm: the torch backend needs torch")
    assert sys.executable in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(photo: Path) -> None:
    program = (
        "import sys; from perceptiondlm_ros.cli import main\n"
        "class Printing:\n"
        "    def parse_args(self, arguments): return self\n"
        "    def run(self, arguments): print('x' * 100_000)\n"
        "main._parser = Printing\n"
        "sys.stdin.read(); sys.exit(main.main([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stdin and process.stderr
    process.stdout.close()
    process.stdin.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 0
