"""What an exported model's `manifest.json` says, and whether the files beside it are those.

The manifest is written last and names every other file with its size and SHA-256, so a folder that
was written in part, or mixed from two exports, is never taken for a whole one. It has a checksum of
its own values too: a changed number of steps or prompt would go unnoticed otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os.path import lexists
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import Decoding, ModelConfig
from perceptiondlm_ros.model.contract import GRAPHS, Buckets
from perceptiondlm_ros.model.json_values import (
    Count,
    Probability,
    Text,
    TokenId,
    decode,
    read_json,
)
from perceptiondlm_ros.model.published import INDEX, WEIGHTS

MANIFEST = "manifest.json"
BESIDE = "graphs.json"
"""The manifest of graphs that lie beside a checkpoint and use its weights."""
FORMAT = "perceptiondlm_ros exported model"
FORMAT_VERSION = 4
"""4: rows of keys and values come before their heads. Graphs of other versions can't be run."""
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
SCHEDULES = ("linear",)
TOKENS = ("mask", "image", "end_of_turn")

_ALWAYS, _OPTIONAL = ("config.json", "tokenizer.json"), "processor_config.json"
_BLOCK = 1 << 20  # bytes

_Precision = Annotated[
    str,
    Meta(pattern=rf"\A({'|'.join(PRECISIONS)})\Z", description=f"one of {', '.join(PRECISIONS)}"),
]
_Schedule = Annotated[
    str,
    Meta(pattern=rf"\A({'|'.join(SCHEDULES)})\Z", description=f"one of {', '.join(SCHEDULES)}"),
]
_Sizes = Annotated[
    tuple[Count, ...], Meta(min_length=1, description="a list of whole numbers from 1")
]


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256, in hexadecimal, of a file."""

    bytes: Annotated[int, Meta(ge=0, le=1 << 50)]
    sha256: str


@dataclass(frozen=True)
class TensorRecord:
    """An input or output of a graph.

    Attributes:
        dtype: `float32`, `float16`, `bfloat16`, `int64` or `bool`.
        shape: a number for an axis that is fixed, the name of its size for one that varies.
    """

    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphRecord:
    """The files of a graph, and what it takes and gives.

    Attributes:
        file: ONNX with standard operators only; None in an export that runs on CPUs alone.
        cpu_file: the same function with operators of ONNX Runtime's CPU provider, where exported.
        inputs, outputs: by name, in the graph's order.
    """

    file: str | None
    cpu_file: str | None
    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("a graph has neither file nor cpu_file, expected at least one")

    @property
    def files(self) -> list[str]:
        """The files that there are."""
        return [file for file in (self.file, self.cpu_file) if file is not None]

    def file_for(self, kind: str) -> str | None:
        """The file that ONNX Runtime runs on a `cpu` or a `cuda` device; None where there is none
        for it."""
        return self.cpu_file or self.file if kind == "cpu" else self.file


@dataclass(frozen=True)
class Manifest:
    """What an export says of itself.

    Attributes:
        name: the checkpoint's name.
        precision: one of PRECISIONS; `int8` has 8-bit weights and activations in its products.
        opset: of the standard operators.
        steps: denoising steps.
        schedule: how many positions are masked again after each step, see `runtime.denoising`.
        decoding, decoding_threshold: see `ModelConfig`.
        caption_tokens: tokens of a caption.
        slots: regions of a group.
        tile_buckets, slot_buckets: sizes that engines are built for, see `Buckets`.
        prompt: the user's words, when no others are given.
        token_ids: `mask`, `image` and `end_of_turn`.
        files: every file of the export but the manifest.
        graphs: `vision_encoder` and `denoiser`.
        made_with: versions of the libraries that wrote it.
    """

    name: Text
    precision: _Precision
    opset: Count
    steps: Count
    schedule: _Schedule
    decoding: Decoding
    decoding_threshold: Probability
    caption_tokens: Count
    slots: Count
    tile_buckets: _Sizes
    slot_buckets: _Sizes
    prompt: Text
    token_ids: Annotated[dict[str, TokenId], Meta(description="whole numbers by name")]
    files: Annotated[dict[str, FileRecord], Meta(description="size and SHA-256 by name")]
    graphs: Annotated[
        dict[str, GraphRecord],
        Meta(
            description="files, at least one, and dtypes and shapes of inputs and outputs, by name"
        ),
    ]
    made_with: Annotated[dict[str, str], Meta(description="versions by name")]

    @property
    def buckets(self) -> Buckets:
        return Buckets(self.tile_buckets, self.slot_buckets)

    @classmethod
    def read(cls, folder: Path, name: str = MANIFEST) -> Manifest:
        """Read the manifest `name` of a folder; the files are not looked at.

        Raises:
            CheckpointError: it is missing, damaged, of another program or of another version.
        """
        path = folder / name
        raw = read_json(path)
        _check_format(path, raw)
        if raw.pop("checksum", None) != _checksum(raw):
            raise CheckpointError(
                f"{path} was changed after the export: its values have another checksum than it "
                "says; copy it again or export the checkpoint again"
            )
        try:
            manifest = decode(raw, cls, _refusal)
            _check_names(manifest)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; export the checkpoint again") from error
        return manifest

    def write(self, folder: Path, name: str = MANIFEST) -> None:
        """Write the file that `read` reads."""
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **msgspec.to_builtins(self),
        }
        document["checksum"] = _checksum(document)
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")

    def verify(self, folder: Path) -> None:
        """Hold every file against its size and checksum.

        Raises:
            CheckpointError: a file is missing or is not the one that was exported.
        """
        for name, problem in self.problems(folder):
            raise CheckpointError(
                f"{folder / name} {problem}; the folder is not as it was exported, copy it again "
                "or export the checkpoint again"
            )

    def problems(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Every file that is not the one that was exported, with what is wrong with it."""
        for name, record in self.files.items():
            problem = _problem(folder / name, record)
            if problem:
                yield name, problem

    def applied_to(self, config: ModelConfig) -> ModelConfig:
        """The checkpoint's config with what the export decided."""
        return replace(
            config,
            denoising_steps=self.steps,
            caption_tokens=self.caption_tokens,
            decoding=self.decoding,
            decoding_threshold=self.decoding_threshold,
        )

    def refuse_foreign(self, folder: Path) -> None:
        """Hold against the manifest what is read where it is there, and isn't missed where not.

        Raises:
            CheckpointError: the folder has one that the export did not write.
        """
        if _OPTIONAL not in self.files and lexists(folder / _OPTIONAL):
            raise CheckpointError(
                f"{folder / _OPTIONAL} is not of this export, and would change what the model "
                "sees; remove it, or export the checkpoint again"
            )


def is_exported(folder: Path) -> bool:
    """Whether the folder is an exported model rather than a checkpoint.

    Raises:
        CheckpointError: it has graphs, and neither the manifest of an export nor weights.
    """
    found = lexists(folder / MANIFEST)
    if not found and any(folder.glob("*.onnx")) and not any(folder.glob("*.safetensors*")):
        raise CheckpointError(
            f"{folder} is an exported model without its {MANIFEST}, which says what the graphs "
            "take; copy the whole folder again, or export the checkpoint into a new one"
        )
    return found


def has_graphs(folder: Path) -> bool:
    """Whether a checkpoint has graphs beside it, which ONNX Runtime runs with its weights."""
    return lexists(folder / BESIDE)


def refuse_index(checkpoint: Path) -> None:
    """Hold that a checkpoint's weights are the one file which graphs beside it take them from.

    Raises:
        CheckpointError: it has an index, whose shards are what torch reads.
    """
    if lexists(checkpoint / INDEX):
        raise CheckpointError(
            f"{checkpoint} has {INDEX}, whose shards are its weights, and graphs beside a "
            f"checkpoint take them from {WEIGHTS} alone; it runs in torch without {BESIDE}, or "
            f"exported: `perceptiondlm export {checkpoint} OUTPUT`"
        )


def record_of(path: Path) -> FileRecord:
    """Size and checksum of a file."""
    state, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
            size += len(block)
    return FileRecord(size, state.hexdigest())


def _problem(path: Path, record: FileRecord) -> str:
    """What is wrong with the file, or nothing."""
    try:
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if size != record.bytes:
            return f"has {size} bytes, expected {record.bytes}"
        if record_of(path).sha256 != record.sha256:
            return "has another checksum than the manifest says"
    except OSError as error:
        return f"can't be read ({error})"
    return ""


def _checksum(document: dict[str, Any]) -> str:
    """SHA-256 of the values, whatever the order and the blanks."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _refusal(key: str, value: Any, expected: str) -> CheckpointError:
    return CheckpointError(f"{key} is {value!r:.60}, expected {expected}")


def _check_format(path: Path, raw: dict[str, Any]) -> None:
    if raw.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {raw.get('format')!r:.60}, expected {FORMAT!r}; "
            "give a folder that `perceptiondlm export` wrote"
        )
    version = raw.get("format_version")
    if type(version) is not int or version < 1:
        raise CheckpointError(
            f"{path} has format_version {version!r:.60}, expected {FORMAT_VERSION}; export the "
            "checkpoint again"
        )
    if version != FORMAT_VERSION:
        reason = (
            ": the folder was exported by an older version of it, whose graphs compute other "
            "captions; export the checkpoint again"
            if version < FORMAT_VERSION
            else "; update the package, or export the checkpoint again with this one"
        )
        raise CheckpointError(
            f"{path} has format_version {version}, and this package runs {FORMAT_VERSION}{reason}"
        )


def _check_names(manifest: Manifest) -> None:
    """Hold against each other what the manifest names."""
    for key in ("tile_buckets", "slot_buckets"):
        sizes = getattr(manifest, key)
        if sizes != tuple(sorted(set(sizes))):
            raise _refusal(key, list(sizes), "ascending numbers from 1")
    for name in manifest.files:
        if Path(name).name != name or name in ("", ".", "..", MANIFEST):
            raise CheckpointError(f"files names {name!r:.60}, expected a file of the same folder")
    used = {file for graph in manifest.graphs.values() for file in graph.files}
    for key, has, needed, expected in (
        ("token_ids", manifest.token_ids, TOKENS, "the special tokens of the sequence"),
        ("graphs", manifest.graphs, {graph.name for graph in GRAPHS}, "both graphs"),
        ("files", manifest.files, {*_ALWAYS, *used}, "every file of the export"),
    ):
        for lacking in sorted({*needed} - has.keys()):
            raise CheckpointError(f"{key} lacks {lacking}, expected {expected}")
