"""Graphs for CPUs that lie beside a checkpoint and take their weights out of its own file.

ONNX's external data may begin anywhere in a file, so it can be the checkpoint's. What the exporter
made of its tensors is made of them again when a graph is loaded: stacked, converted and transposed,
by operators that ONNX Runtime computes once. That takes it 12 ms a graph more than reading weights
that are ready (packaged checkpoint, ONNX Runtime 1.32), and saves a second copy of them.

Run as a program, it makes them anew for the folder that it is given: `make packaged-graphs`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx_ir
from onnx_ir import DataType, ExternalTensor, Shape, TensorType, Value
from onnx_ir.tape import Tape

from perceptiondlm_ros.errors import PerceptionDLMError
from perceptiondlm_ros.export.exporter import ExportOptions, export
from perceptiondlm_ros.export.onnx_files import SMALL
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import BESIDE, Manifest, record_of, refuse_index
from perceptiondlm_ros.model.published import WEIGHTS, published_parameters

_DTYPES = {"F32": DataType.FLOAT, "F16": DataType.FLOAT16, "BF16": DataType.BFLOAT16}

_Content = tuple[tuple[int, ...], bytes]


@dataclass(frozen=True)
class Source:
    """What a weight of a graph is made of.

    Attributes:
        parts: tensors of the checkpoint, stacked along their first axis.
        transposed: whether the two axes of that are exchanged then.
    """

    parts: tuple[ExternalTensor, ...]
    transposed: bool


def write_beside(checkpoint: Path, exported: Path, output: Path) -> None:
    """Write graphs that use a checkpoint's weights, and the manifest that is read beside it.

    Args:
        checkpoint: holds `model.safetensors`.
        exported: what was exported from it in fp32.
        output: the checkpoint's own folder, or another one to compare the files with.

    Raises:
        CheckpointError: the export's manifest or the checkpoint's config can't be used, or its
            weights are sharded.
    """
    refuse_index(checkpoint)
    manifest, sources, graphs = Manifest.read(exported), _sources(checkpoint), {}
    for name, record in manifest.graphs.items():
        file = f"{name}_cpu.onnx"
        model = onnx_ir.load(exported / file)
        _take_from_checkpoint(model.graph, sources)
        onnx_ir.save(model, output / file)
        graphs[name] = replace(record, file=None, cpu_file=file)
    files = {
        name: record_of(checkpoint / name)
        for name in (*manifest.files, WEIGHTS)
        if (checkpoint / name).is_file() and not name.endswith(".onnx")
    }
    files |= {file: record_of(output / file) for graph in graphs.values() for file in graph.files}
    replace(manifest, graphs=graphs, files=files).write(output, BESIDE)


def _sources(checkpoint: Path) -> dict[_Content, Source]:
    """Every parameter, as it is and with its axes exchanged, by its shape and bytes in float32."""
    found: dict[_Content, Source] = {}
    parameters = published_parameters(ModelConfig.from_folder(checkpoint)).values()
    for transposed in (False, True):
        stored = _stored(checkpoint, two_axes=transposed)
        for names in parameters:
            parts = tuple(stored[name] for name in names)
            value = np.concatenate([part.numpy().astype(np.float32) for part in parts])
            made = value.T if transposed else value
            found.setdefault((made.shape, made.tobytes()), Source(parts, transposed))
    return found


def _stored(checkpoint: Path, *, two_axes: bool) -> dict[str, ExternalTensor]:
    """The checkpoint's tensors by name, as external data.

    Args:
        two_axes: take all axes but the first as one, as products do.
    """
    path = (checkpoint / WEIGHTS).resolve()  # external data must not be a link that leads away
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    found = {}
    for name in header.keys() - {"__metadata__"}:
        (first, last), shape = header[name]["data_offsets"], header[name]["shape"]
        place = (WEIGHTS, start + first, last - first, _DTYPES[header[name]["dtype"]])
        shape = Shape([shape[0], math.prod(shape[1:])] if two_axes else shape)
        found[name] = ExternalTensor(*place, shape=shape, name=name, base_dir=path.parent)
    return found


def _take_from_checkpoint(graph: onnx_ir.Graph, sources: dict[_Content, Source]) -> None:
    """Replace a graph's weights by nodes that make them of the checkpoint's tensors."""
    first, tape, known = graph[0], Tape(), graph.initializers
    for name, weight in list(known.items()):
        tensor = onnx_ir.convenience.get_const_tensor(weight)
        assert tensor is not None, f"initializer {name} has no value"
        content = tuple(tensor.numpy().shape), tensor.tobytes()
        source = sources.get(content) if tensor.nbytes >= SMALL else None
        if source is None:
            weight.const_value = onnx_ir.Tensor(tensor.numpy(), name=name)
            continue
        for part in source.parts:
            if part.name not in known:
                kind = TensorType(part.dtype)
                graph.register_initializer(
                    Value(name=part.name, shape=part.shape, type=kind, const_value=part)
                )
        made = [known[part.name] for part in source.parts if part.name]
        value = tape.op("Concat", made, {"axis": 0}) if len(made) > 1 else made[0]
        value = tape.op("Cast", [value], {"to": DataType.FLOAT})
        if source.transposed:
            value = tape.op("Transpose", [value], {"perm": [1, 0]})
        value.shape, value.type = weight.shape, weight.type
        weight.replace_all_uses_with(value)
        del known[name]
        value.name = name
    graph.insert_before(first, tape.nodes)


def main(arguments: Sequence[str]) -> str | None:
    """Export a checkpoint and put its graphs beside it; what went wrong, else None."""
    if len(arguments) != 1:
        return "usage: python -m perceptiondlm_ros.export.packaged_graphs FOLDER"
    checkpoint = Path(arguments[0])
    try:
        refuse_index(checkpoint)
        with TemporaryDirectory() as made:
            exported = Path(made) / "exported"
            export(checkpoint, exported, ExportOptions(), name=checkpoint.name, progress=print)
            write_beside(checkpoint, exported, checkpoint)
    except PerceptionDLMError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
