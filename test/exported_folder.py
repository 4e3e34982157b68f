"""An exported folder in the layout of `perceptiondlm export`, made by hand in milliseconds.

Its graphs are valid and take and give what their manifest says, but compute nothing of use.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_checkpoint import save_checkpoint

from perceptiondlm_ros.model.manifest import (
    FileRecord,
    GraphRecord,
    Manifest,
    TensorRecord,
    record_of,
)

DATA = "denoiser.onnx.data"


def save_graph(path: Path, *, outside: str | None = None) -> None:
    """One product with a weight of 4 x 4.

    Args:
        outside: the file that is to hold the weight.
    """
    weight = numpy_helper.from_array(np.arange(16, dtype=np.float32).reshape(4, 4), "weight")
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 4]) for name in ("x", "y")
    )
    node = helper.make_node("MatMul", ["x", "weight"], ["y"])
    graph = helper.make_graph([node], "graph", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(
        model,
        str(path),
        save_as_external_data=outside is not None,
        location=outside,
        size_threshold=0,
    )


def save_exported(folder: Path, **changes: Any) -> Manifest:
    """A folder with config, tokenizer, two graphs (one with its weights outside) and a manifest.

    Args:
        changes: other values of the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = save_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    save_graph(folder / "vision_encoder.onnx")
    save_graph(folder / "denoiser.onnx", outside=DATA)
    manifest = Manifest(
        name="tiny",
        precision="fp32",
        opset=20,
        steps=config.denoising_steps,
        schedule="linear",
        decoding=config.decoding,
        decoding_threshold=config.decoding_threshold,
        caption_tokens=config.caption_tokens,
        slots=config.slots,
        tile_buckets=(1, 3, 7),
        slot_buckets=(config.slots,),
        prompt="What is there?",
        token_ids={"mask": 256, "image": 257, "end_of_turn": 260},
        files={},
        graphs={name: _graph(f"{name}.onnx") for name in ("vision_encoder", "denoiser")},
        made_with={"perceptiondlm_ros": "0.1.0"},
    )
    return rewrite(folder, replace(manifest, **changes))


def rewrite(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the files as they are now."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "manifest.json")
    files: dict[str, FileRecord] = {name: record_of(folder / name) for name in names}
    manifest = replace(manifest, files=files)
    manifest.write(folder)
    return manifest


def copy(source: Path, target: Path) -> Path:
    """The folder once more, to be damaged."""
    return Path(shutil.copytree(source, target))


def _graph(file: str) -> GraphRecord:
    tensor = TensorRecord("float32", ("rows", 4))
    return GraphRecord(file, None, {"x": tensor}, {"y": tensor})
