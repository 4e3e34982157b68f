"""What the graphs take is declared once: an input that is added there is found everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_models import exported, tiny
from tensorrt_stand_in.everywhere import load, skip_where_missing
from tensorrt_stand_in.versions import VERSIONS
from tiny_checkpoint import picture, random_model, rectangles, tiny_config, tiny_tokenizer

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.errors import BackendError
from perceptiondlm_ros.export.exporter import ExportOptions, export
from perceptiondlm_ros.export.graphs import denoiser_graph
from perceptiondlm_ros.model.contract import DENOISER, Buckets
from perceptiondlm_ros.model.graph_spec import GraphSpec, TensorSpec
from perceptiondlm_ros.model.manifest import Manifest, TensorRecord
from perceptiondlm_ros.runtime.backend import Backend
from perceptiondlm_ros.runtime.onnx_backend import OnnxBackend
from perceptiondlm_ros.runtime.tensorrt.profiles import Sizes, denoiser_profiles
from perceptiondlm_ros.runtime.torch_backend import TorchBackend

ADDED = TensorSpec("rows", "added", "float32", ("groups", "rows", "2*kinds", "width"))
MASKS = list(rectangles(48, 64, 3))


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more input of the denoiser, declared where all are."""
    monkeypatch.setitem(vars(DENOISER), "inputs", (ADDED, *DENOISER.inputs))


def backend(name: str, folder: Path | None = None) -> Backend:
    """On an export, that of the tiny checkpoint unless another is given."""
    if name == "torch":
        return TorchBackend(random_model(tiny_config(prefix_sees_captions=False)))
    folder = folder or exported(tiny())
    if name == "onnx":
        return OnnxBackend.load(folder, "cpu")
    skip_where_missing(name)
    return load(folder, name)


def captions(loaded: Backend) -> list[Any]:
    captioner = Captioner(loaded, tiny_tokenizer(), name="tiny", cache="prefix")
    return [caption.token_ids for caption in captioner.describe(picture(48, 64), MASKS)]


@pytest.mark.usefixtures("added")
def test_the_exporter_has_an_example_with_axes_of_its_own() -> None:
    graph = denoiser_graph(random_model(tiny_config()), mask_id=256)
    example, axes = graph.arguments["added"], graph.dynamic_shapes["inputs"]["added"]
    assert example.dtype == torch.float32
    assert example.shape[:2] == graph.arguments["token_ids"].shape
    assert example.shape[2] == 2 * graph.arguments["class_columns"].shape[1]
    assert example.shape[3] == 32 and sorted(axes) == [0, 1, 2]
    assert graph.inputs["added"] == TensorRecord("float32", ("groups", "rows", "2*kinds", 32))


@pytest.mark.usefixtures("added")
def test_engines_are_built_for_its_shapes() -> None:
    profiles = denoiser_profiles(Sizes(tiny_config(), Buckets((1, 3), (6,)), caption_tokens=6))
    for profile in profiles:
        rows = [shape[1] for shape in profile["token_ids"]]
        kinds = [shape[1] for shape in profile["class_columns"]]
        groups = [shape[0] for shape in profile["token_ids"]]
        expected = zip(groups, rows, kinds, strict=True)
        assert profile["added"] == tuple((g, r, 2 * k, 32) for g, r, k in expected)


@pytest.mark.parametrize("name", ["torch", "onnx", VERSIONS[0]])
def test_every_backend_demands_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = backend(name)
    monkeypatch.setitem(vars(DENOISER), "inputs", (ADDED, *DENOISER.inputs))
    with pytest.raises((ValueError, BackendError), match=r"takes added, token_ids, .*: added"):
        captions(loaded)


def test_every_backend_feeds_it_to_a_model_that_was_exported_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = captions(backend("onnx"))
    monkeypatch.setitem(vars(DENOISER), "inputs", (ADDED, *DENOISER.inputs))
    known = GraphSpec.feed

    def feed(graph: Any, role: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As ever, with values for the added input."""
        if role == "rows":
            shape = (*arrays["token_ids"].shape, 2 * arrays["class_columns"].shape[1], 32)
            arrays = {**arrays, "added": np.zeros(shape)}
        return known(graph, role, arrays)

    monkeypatch.setattr(GraphSpec, "feed", feed)
    export(tiny(), tmp_path / "with", ExportOptions(), name="tiny")
    told = Manifest.read(tmp_path / "with").graphs["denoiser"].inputs
    assert told["added"] == TensorRecord("float32", ("groups", "rows", "2*kinds", 32))
    for name in ("onnx", VERSIONS[0]):
        assert captions(backend(name, tmp_path / "with")) == expected
