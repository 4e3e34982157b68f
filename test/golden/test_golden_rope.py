"""A checkpoint that transformers 5 has written anew gives the published captions all the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_cases import GoldenCase

from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.torch_backend import TorchBackend


@pytest.fixture
def rewritten(golden: GoldenCase, tmp_path: Path) -> GoldenCase:
    """The case with links to the checkpoint's files, and with a config in the new words."""
    for file in golden.checkpoint.iterdir():
        if file.is_file() and file.name != "config.json":
            (tmp_path / file.name).symlink_to(file)
    config = json.loads((golden.checkpoint / "config.json").read_text())
    language = config["language_model_config"]
    rope = {"rope_theta": language.pop("rope_theta"), "rope_type": "default"}
    del language["rope_scaling"]
    language |= {"rope_parameters": rope, "dtype": language.pop("torch_dtype")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    case = tmp_path / "cases" / golden.folder.name
    case.parent.mkdir()
    case.symlink_to(golden.folder)
    return replace(golden, folder=case)


def test_captions_are_those_of_the_published_code(
    golden: GoldenCase, rewritten: GoldenCase
) -> None:
    assert rewritten.checkpoint != golden.checkpoint
    assert rewritten.config == golden.config
    backend = TorchBackend.load(rewritten.checkpoint, rewritten.config, "cpu", torch.float32)
    state = denoise(backend.start(rewritten.inputs(), "exact", golden.case["steps"]))
    np.testing.assert_array_equal(state.token_ids[0], golden.arrays["caption_ids"])
