"""Exporting a checkpoint: what is written, what is refused, and that it is never half there."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest
from exported_models import INT8, exported, tiny
from tensorrt_parser import refused
from tiny_checkpoint import tiny_config

from perceptiondlm_ros.errors import ExportError, InputError
from perceptiondlm_ros.export.exporter import ExportOptions, buckets_of, export
from perceptiondlm_ros.model.manifest import Manifest


@pytest.fixture
def checkpoint() -> Path:
    return tiny()


class TestWritten:
    def test_the_folder_holds_what_its_manifest_says(self, checkpoint: Path) -> None:
        folder = exported(checkpoint)
        manifest = Manifest.read(folder)
        manifest.verify(folder)
        assert {*manifest.files, "manifest.json"} == {path.name for path in folder.iterdir()}
        assert (manifest.steps, manifest.caption_tokens, manifest.slots) == (6, 6, 6)
        assert manifest.precision == "fp32" and manifest.prompt and manifest.made_with["torch"]

    def test_weights_are_there_once(self, checkpoint: Path) -> None:
        folder = exported(checkpoint)
        for name in ("vision_encoder", "denoiser"):
            data = (folder / f"{name}.onnx.data").stat().st_size
            assert (folder / f"{name}_cpu.onnx").stat().st_size < max(data, 100_000)
            own = onnx.load(folder / f"{name}_cpu.onnx", load_external_data=False)
            places = {
                entry.value
                for tensor in own.graph.initializer
                for entry in tensor.external_data
                if entry.key == "location"
            }
            assert places == {f"{name}.onnx.data"}

    def test_nothing_tells_of_the_machine_that_exported(self, checkpoint: Path) -> None:
        for path in exported(checkpoint).glob("*.onnx"):
            assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()

    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    @pytest.mark.parametrize("graph", ["vision_encoder", "denoiser"])
    def test_tensorrt_takes_every_operator(
        self, checkpoint: Path, precision: str, graph: str
    ) -> None:
        path = exported(checkpoint, precision) / f"{graph}.onnx"
        model = onnx.load(path, load_external_data=False)
        assert model.ir_version <= 10 and not refused(model)

    @pytest.mark.parametrize("precision", ["fp16", "bf16"])
    def test_half_precision_is_written_into_the_graphs(
        self, checkpoint: Path, precision: str
    ) -> None:
        manifest = Manifest.read(exported(checkpoint, precision))
        dtype = {"fp16": "float16", "bf16": "bfloat16"}[precision]
        assert manifest.graphs["vision_encoder"].outputs["visual_rows"].dtype == dtype
        assert manifest.graphs["denoiser"].inputs["past_keys_0"].dtype == dtype
        assert all(graph.cpu_file is None for graph in manifest.graphs.values())

    def test_int8_is_for_cpus_alone(self, checkpoint: Path) -> None:
        folder = exported(checkpoint, "int8")
        manifest = Manifest.read(folder)
        manifest.verify(folder)
        assert (manifest.steps, manifest.caption_tokens) == (INT8.steps, INT8.caption_tokens)
        assert manifest.prompt == INT8.prompt
        assert all(graph.file is None for graph in manifest.graphs.values())
        graph = onnx.load(folder / "denoiser_cpu.onnx").graph
        kinds = [node.op_type for node in graph.node]
        assert "MatMulInteger" in kinds or "DynamicQuantizeMatMul" in kinds
        assert len([kind for kind in kinds if kind == "MatMul"]) >= 1, "the head stays in fp32"


def test_buckets_hold_every_tile_count_of_a_camera() -> None:
    assert buckets_of(tiny_config()).tiles == (1, 3, 4, 5, 6, 7)
    assert buckets_of(tiny_config()).slots == (1, 2, 4, 6)
    assert buckets_of(tiny_config(prompt_numbers=3)).slots == (1, 2, 3)


class TestRefused:
    def test_a_precision_that_does_not_exist(self) -> None:
        with pytest.raises(ExportError, match=r"precision is 'fp8', expected one of fp32"):
            ExportOptions("fp8")

    def test_an_exported_model(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="is an exported model already"):
            export(exported(checkpoint), tmp_path / "out", ExportOptions(), name="tiny")

    def test_a_prompt_with_a_special_token(self, checkpoint: Path, tmp_path: Path) -> None:
        options = ExportOptions(prompt="a <|mdm_mask|>")
        with pytest.raises(InputError, match=r"special token '<\|mdm_mask\|>'"):
            export(checkpoint, tmp_path / "out", options, name="tiny")
        assert not (tmp_path / "out").exists()


def test_json_of_the_manifest_is_readable_by_others(checkpoint: Path) -> None:
    document = json.loads((exported(checkpoint) / "manifest.json").read_text())
    assert document["format_version"] == 4
    assert document["graphs"]["denoiser"]["inputs"]["class_columns"] == {
        "dtype": "bool",
        "shape": ["groups", "kinds", "past + rows"],
    }


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("y = Exp (x)", ""),
        ("a = Cast <to = 9> (x) b = Not (a) y = Where (b, x, x)", ""),
        ("y = Unique (x)", "Unique is not taken"),
        ("a = Cast <to = 3> (x) b = Add (a, a) y = Cast <to = 1> (b)", "Add is not taken on INT8"),
        ("a = Shape (x) y = ReduceSum (x, a)", "ReduceSum needs constant axes"),
    ],
)
def test_what_tensorrt_would_refuse_is_found(body: str, says: str) -> None:
    """Else the test of the exported graphs could not fail."""
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[n] x) => (float[m] y) {{ {body} }}'
    found = refused(onnx.parser.parse_model(text))
    assert says in "".join(found) and bool(found) == bool(says)
