"""The graphs beside the packaged checkpoint: those of today's exporter, with its weights."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir
import pytest
from exported_models import exported, tiny

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import sample_scene
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.export.packaged_graphs import main, write_beside
from perceptiondlm_ros.model.manifest import BESIDE, Manifest
from perceptiondlm_ros.model.published import INDEX, WEIGHTS
from perceptiondlm_ros.preflight.preflight import preflight
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT

GRAPHS = ("vision_encoder_cpu.onnx", "denoiser_cpu.onnx")
MAKE_ANEW = (
    "the graphs beside the packaged checkpoint are not what the exporter makes of it: run "
    "`make packaged-graphs` and commit perceptiondlm_ros/checkpoints/small"
)


def structure(path: Path) -> list[Any]:
    """Inputs, weights, operators and outputs; values have numbers instead of names."""
    graph = onnx_ir.load(path.resolve()).graph
    numbers: dict[Any, int] = {None: -1}

    def numbered(values: Any) -> list[int]:
        return [numbers.setdefault(value, len(numbers)) for value in values]

    def plain(attribute: Any) -> Any:
        value = attribute.value
        return content(value) if isinstance(value, onnx_ir.TensorProtocol) else value

    def content(tensor: Any) -> tuple[Any, ...]:
        return tensor.dtype, tuple(tensor.shape), hashlib.sha256(tensor.tobytes()).hexdigest()

    ends = [[(v.name, v.dtype, str(v.shape)) for v in e] for e in (graph.inputs, graph.outputs)]
    numbered(graph.inputs)
    nodes = [
        (
            *(node.domain, node.op_type, numbered(node.inputs), numbered(node.outputs)),
            sorted((name, plain(attribute)) for name, attribute in node.attributes.items()),
        )
        for node in graph
    ]
    weights = {numbers.get(v): content(v.const_value) for v in graph.initializers.values()}
    return [*ends, nodes, weights, numbered(graph.outputs)]


def test_they_are_what_the_exporter_makes_today(tmp_path: Path) -> None:
    shutil.copyfile(DEFAULT_CHECKPOINT / WEIGHTS, tmp_path / WEIGHTS)
    write_beside(DEFAULT_CHECKPOINT, exported(DEFAULT_CHECKPOINT), tmp_path)
    for file in GRAPHS:
        same = structure(DEFAULT_CHECKPOINT / file) == structure(tmp_path / file)
        assert same, MAKE_ANEW
    kept, made = (Manifest.read(folder, BESIDE) for folder in (DEFAULT_CHECKPOINT, tmp_path))
    same = replace(kept, made_with=made.made_with, files=made.files) == made
    assert same and kept.files.keys() == made.files.keys(), MAKE_ANEW
    kept.verify(DEFAULT_CHECKPOINT)


def test_they_hold_no_weights_of_their_own() -> None:
    assert sum((DEFAULT_CHECKPOINT / file).stat().st_size for file in GRAPHS) < 250_000


@pytest.mark.parametrize("cache", ["exact", "prefix"])
def test_captions_are_those_of_torch_and_of_an_export(cache: str) -> None:
    captioners = [
        Captioner.load(device="cpu", cache=cache),
        Captioner.load(exported(DEFAULT_CHECKPOINT), device="cpu", cache=cache),
        Captioner.load(backend="torch", device="cpu", cache=cache),
    ]
    assert ["torch" in one.description for one in captioners] == [False, False, True]
    for seed in range(6):
        drawn = render(sample_scene(seed, objects=seed + 1), masks=False)
        beside, of_export, torch = (one.describe(drawn.image, drawn.boxes) for one in captioners)
        assert beside == of_export
        assert [caption.token_ids for caption in beside] == [c.token_ids for c in torch]


def with_other_weights(folder: Path) -> str:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    return rf"{WEIGHTS} has another checksum.*packaged_graphs"


def with_a_cut_graph(folder: Path) -> str:
    path = folder / GRAPHS[1]
    path.write_bytes(path.read_bytes()[:-1])
    return rf"{GRAPHS[1]} has \d+ bytes, expected"


def with_a_damaged_manifest(folder: Path) -> str:
    (folder / BESIDE).write_text("{}")
    return rf"{BESIDE} has format None"


def with_an_index(folder: Path) -> str:
    """Other weights, in a shard, beside those that the graphs were made for."""
    shard = "model-00001-of-00001.safetensors"
    data = bytearray((folder / WEIGHTS).read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    data[-1] ^= 1
    (folder / shard).write_bytes(data)
    weight_map = dict.fromkeys(header.keys() - {"__metadata__"}, shard)
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return rf"has {INDEX}, whose shards are its weights"


CHANGES = (with_other_weights, with_a_cut_graph, with_a_damaged_manifest, with_an_index)


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_the_checkpoint_is_refused(change: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny(), tmp_path / "tiny"))
    write_beside(folder, exported(tiny()), folder)
    assert "onnxruntime" in Captioner.load(folder, device="cpu").description
    message = change(folder)
    with pytest.raises(CheckpointError, match=message) as raised:
        Captioner.load(folder, device="cpu")
    report = preflight(folder, "cpu")
    assert [f.text for f in report.findings if f.status == "fail"] == [str(raised.value)]
    (folder / BESIDE).unlink()
    assert "torch" in Captioner.load(folder, device="cpu").description


def test_none_are_made_for_shards(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny(), tmp_path / "tiny"))
    message = with_an_index(folder)
    with pytest.raises(CheckpointError, match=message):
        write_beside(folder, exported(tiny()), folder)
    assert re.search(message, main([str(folder)]) or "")


def test_what_the_program_is_given_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    assert (main([]) or "").startswith("usage: ")
    assert "config.json" in (main([str(tmp_path)]) or "")
