"""`perceptiondlm export` on the command line: what is printed, and wrong arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exported_folder import save_exported
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.export.exporter import ExportOptions
from perceptiondlm_ros.model.manifest import Manifest


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "tiny"
    folder.mkdir()
    save_checkpoint(folder)
    return folder


def test_it_exports_and_lists_what_it_wrote(
    run: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def export(checkpoint: Path, output: Path, options: Any, **others: Any) -> Manifest:
        given.append((checkpoint, options, others["name"]))
        return save_exported(output, precision=options.precision, steps=options.steps)

    monkeypatch.setattr("perceptiondlm_ros.export.exporter.export", export)
    output = tmp_path / "out"
    status, out, err = run("export", checkpoint, output, "--precision", "int8", "--steps", "3")
    assert (status, err) == (0, "")
    assert given == [(checkpoint, ExportOptions("int8", steps=3), "tiny")]
    assert out.startswith(f"{output}: tiny in int8, ")
    assert all(file in out for file in Manifest.read(output).files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp8"], "precision is 'fp8', expected one of fp32, fp16, bf16, int8"),
        (["--steps", "0"], "steps is 0"),
        (["--caption-tokens", "513"], "caption_tokens is 513"),
        (["--prompt", "<|eot_id|>"], "special token"),
    ],
)
def test_wrong_options_give_one_line(
    run: Any, checkpoint: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, out, err = run("export", checkpoint, tmp_path / "out", *arguments)
    assert (status, out) == (2, "")
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
