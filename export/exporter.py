"""A checkpoint as an exported folder: two graphs, what the runtime has to know, and checksums.

The folder is made under another name beside its place and renamed when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import torch

from perceptiondlm_ros.errors import ExportError
from perceptiondlm_ros.export import onnx_files
from perceptiondlm_ros.export.folder import new_folder
from perceptiondlm_ros.export.graph_variants import GraphVariant, apply_variant
from perceptiondlm_ros.export.graphs import denoiser_graph, vision_encoder_graph
from perceptiondlm_ros.export.quantise import quantise
from perceptiondlm_ros.model.checkpoint import load_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets
from perceptiondlm_ros.model.manifest import (
    PRECISIONS,
    GraphRecord,
    Manifest,
    is_exported,
    record_of,
)
from perceptiondlm_ros.processing.boundary import check_options
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_VARIANTS: dict[str, tuple[GraphVariant, ...]] = {
    "fp32": ("portable", "cpu"),
    "fp16": ("portable",),
    "bf16": ("portable",),
    "int8": ("cpu",),
}
"""ONNX Runtime's CPU provider computes in fp32 and int8; TensorRT takes no dynamic int8."""
_COPIED = ("config.json", "processor_config.json", "tokenizer.json")
_LIBRARIES = ("perceptiondlm_ros", "torch", "onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class ExportOptions:
    """What to make of a checkpoint.

    Attributes:
        precision: `fp32`, `fp16`, `bf16`, or `int8`, which runs on CPUs alone.
        steps, caption_tokens: None is what the checkpoint is meant for.
        prompt: the user's words when no others are given; None is the usual prompt.
        overwrite: whether an export that is there already is replaced.

    Raises:
        ExportError: there is no such precision.
        InputError: steps or caption_tokens are out of their range.
    """

    precision: str = "fp32"
    steps: int | None = None
    caption_tokens: int | None = None
    prompt: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self.steps, self.caption_tokens)
        if self.precision not in PRECISIONS:
            raise ExportError(
                f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}"
            )


def export(
    checkpoint: Path,
    output: Path,
    options: ExportOptions,
    *,
    name: str,
    progress: Callable[[str], None] = lambda stage: None,
) -> Manifest:
    """Export a checkpoint folder.

    Args:
        output: the folder to make.
        name: the checkpoint's name.
        progress: told what is being done.

    Raises:
        ExportError: the folder can't be written, something else is there, or the model can't be
            exported.
        CheckpointError: the checkpoint's files are missing, damaged or don't fit each other.
        InputError: the prompt contains a special token.
    """
    if is_exported(checkpoint):
        raise ExportError(f"{checkpoint} is an exported model already, expected a checkpoint")
    config = _config(checkpoint, options)
    tokenizer = CaptionTokenizer(checkpoint, config.slots)
    tokenizer.check_fits(config)
    prompt = DEFAULT_PROMPT if options.prompt is None else options.prompt
    tokenizer.encode_prompt(prompt)
    with new_folder(output, overwrite=options.overwrite, needed=_size(checkpoint)) as folder:
        graphs = _write_graphs(checkpoint, config, tokenizer.mask_id, options, folder, progress)
        for file in _COPIED:
            if (checkpoint / file).is_file():
                shutil.copyfile(checkpoint / file, folder / file)
        progress("computing checksums")
        files = {path.name: record_of(path) for path in sorted(folder.iterdir())}
        buckets = buckets_of(config)
        manifest = Manifest(
            name=name,
            precision=options.precision,
            opset=onnx_files.OPSET,
            steps=config.denoising_steps,
            schedule="linear",
            decoding=config.decoding,
            decoding_threshold=config.decoding_threshold,
            caption_tokens=config.caption_tokens,
            slots=config.slots,
            tile_buckets=buckets.tiles,
            slot_buckets=buckets.slots,
            prompt=prompt,
            token_ids={
                "mask": tokenizer.mask_id,
                "image": tokenizer.image_id,
                "end_of_turn": tokenizer.end_of_turn_id,
            },
            files=files,
            graphs=graphs,
            made_with=dict(_versions()),
        )
        manifest.write(folder)
        Manifest.read(folder)  # what can't be read must not be put in place
    return manifest


def buckets_of(config: ModelConfig) -> Buckets:
    """Every tile count that a camera can give, and few numbers of slots."""
    cells = range(config.min_tiles, config.max_tiles + 1)
    tiles = sorted({count + (count > 1) for count in cells})
    slots = sorted({min(count, config.slots) for count in (1, 2, 4, config.slots)})
    return Buckets(tuple(tiles), tuple(slots))


def _config(checkpoint: Path, options: ExportOptions) -> ModelConfig:
    config = ModelConfig.from_folder(checkpoint)
    return replace(
        config,
        denoising_steps=options.steps or config.denoising_steps,
        caption_tokens=options.caption_tokens or config.caption_tokens,
    )


def _size(checkpoint: Path) -> int:
    """Bytes that an export takes at most: the weights in fp32."""
    return 2 * sum(path.stat().st_size for path in checkpoint.glob("*.safetensors"))


def _write_graphs(
    checkpoint: Path,
    config: ModelConfig,
    mask_id: int,
    options: ExportOptions,
    folder: Path,
    progress: Callable[[str], None],
) -> dict[str, GraphRecord]:
    dtype = _DTYPES.get(options.precision, torch.float32)
    progress("loading the checkpoint")
    model = load_model(checkpoint, config, dtype=dtype, device=torch.device("cpu"))
    records: dict[str, GraphRecord] = {}
    for variant in _VARIANTS[options.precision]:
        apply_variant(model, variant)
        for graph in (vision_encoder_graph(model), denoiser_graph(model, mask_id)):
            progress(f"tracing the {graph.name.replace('_', ' ')} ({variant})")
            traced = onnx_files.trace(graph)
            portable = folder / f"{graph.name}.onnx"
            path = portable if variant == "portable" else folder / f"{graph.name}_{variant}.onnx"
            onnx_files.write(traced, path, portable if portable.is_file() else None)
            if options.precision == "int8":
                progress(f"quantising the {graph.name.replace('_', ' ')}")
                quantise(path)
            onnx_files.check(path, standard=variant == "portable")
            if known := records.get(graph.name):
                records[graph.name] = replace(known, cpu_file=path.name)
            else:
                records[graph.name] = GraphRecord(
                    file=path.name if variant == "portable" else None,
                    cpu_file=None if variant == "portable" else path.name,
                    inputs=graph.inputs,
                    outputs=graph.outputs,
                )
    return records


def _versions() -> Iterator[tuple[str, str]]:
    for library in _LIBRARIES:
        try:
            yield library, metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
