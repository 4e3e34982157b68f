"""What an exported model's `manifest.json` says, and whether the files beside it are those.

The manifest is written last and names every other file with its size and SHA-256, so a folder that
was written in part, or mixed from two exports, is never taken for a whole one. It has a checksum of
its own values too: a changed number of steps or prompt would go unnoticed otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from os.path import lexists
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets
from perceptiondlm_ros.model.json_values import MOST, read_json, section

MANIFEST = "manifest.json"
FORMAT = "perceptiondlm_ros exported model"
FORMAT_VERSION = 2
"""2: the denoiser takes and gives the masked positions. Graphs of other versions can't be run."""
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
SCHEDULES = ("linear",)
GRAPHS = ("vision_encoder", "denoiser")

_OPTIONAL = "processor_config.json"
_BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class FileRecord:
    """Attributes:
    bytes: size.
    sha256: hexadecimal.
    """

    bytes: int
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
    """Attributes:
    file: ONNX with standard operators only; None in an export that runs on CPUs alone.
    cpu_file: the same function with operators of ONNX Runtime's CPU provider, where exported.
    inputs, outputs: by name, in the graph's order.
    """

    file: str | None
    cpu_file: str | None
    inputs: dict[str, TensorRecord]
    outputs: dict[str, TensorRecord]

    def file_for(self, kind: str) -> str | None:
        """The file that ONNX Runtime runs on a `cpu` or a `cuda` device; None where there is none
        for it."""
        return self.cpu_file or self.file if kind == "cpu" else self.file


@dataclass(frozen=True)
class Manifest:
    """Attributes:
    name: the checkpoint's name.
    precision: one of PRECISIONS; `int8` has 8-bit weights and activations in its products.
    opset: of the standard operators.
    steps: denoising steps.
    schedule: how many positions are masked again after each step, see `runtime.denoising`.
    caption_tokens: tokens of a caption.
    slots: regions of a group.
    buckets: sizes that engines are built for.
    prompt: the user's words, when no others are given.
    token_ids: `mask`, `image` and `end_of_turn`.
    files: every file of the export but the manifest.
    graphs: `vision_encoder` and `denoiser`.
    made_with: versions of the libraries that wrote it.
    """

    name: str
    precision: str
    opset: int
    steps: int
    schedule: str
    caption_tokens: int
    slots: int
    buckets: Buckets
    prompt: str
    token_ids: dict[str, int]
    files: dict[str, FileRecord]
    graphs: dict[str, GraphRecord]
    made_with: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of an exported folder; the files are not looked at.

        Raises:
            CheckpointError: it is missing, damaged, of another program or of another version.
        """
        path = folder / MANIFEST
        raw = read_json(path)
        _check_format(path, raw)
        if raw.pop("checksum", None) != _checksum(raw):
            raise CheckpointError(
                f"{path} was changed after the export: its values have another checksum than it "
                "says; copy it again or export the checkpoint again"
            )
        try:
            return _parse(raw)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}; export the checkpoint again") from error

    def write(self, folder: Path) -> None:
        """Write `manifest.json`."""
        files = {name: vars(record) for name, record in self.files.items()}
        graphs = {
            name: {
                "file": graph.file,
                "cpu_file": graph.cpu_file,
                "inputs": {key: vars(tensor) for key, tensor in graph.inputs.items()},
                "outputs": {key: vars(tensor) for key, tensor in graph.outputs.items()},
            }
            for name, graph in self.graphs.items()
        }
        document: dict[str, Any] = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "precision": self.precision,
            "opset": self.opset,
            "steps": self.steps,
            "schedule": self.schedule,
            "caption_tokens": self.caption_tokens,
            "slots": self.slots,
            "tile_buckets": self.buckets.tiles,
            "slot_buckets": self.buckets.slots,
            "prompt": self.prompt,
            "token_ids": self.token_ids,
            "files": files,
            "graphs": graphs,
            "made_with": self.made_with,
        }
        document["checksum"] = _checksum(document)
        (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n")

    def verify(self, folder: Path, progress: Callable[[int], None] | None = None) -> None:
        """Hold every file against its size and checksum.

        Args:
            progress: called with the number of bytes after each block read.

        Raises:
            CheckpointError: a file is missing or is not the one that was exported.
        """
        for name, problem in self._problems(folder, progress):
            raise CheckpointError(
                f"{folder / name} {problem}; the folder is not as it was exported, copy it again "
                "or export the checkpoint again"
            )

    def problems(
        self, folder: Path, progress: Callable[[int], None] | None = None
    ) -> dict[str, str]:
        """Every file that is not the one that was exported, with what is wrong with it."""
        return dict(self._problems(folder, progress))

    def applied_to(self, config: ModelConfig) -> ModelConfig:
        """The checkpoint's config with what was settled by the export."""
        return replace(config, denoising_steps=self.steps, caption_tokens=self.caption_tokens)

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

    def _problems(
        self, folder: Path, progress: Callable[[int], None] | None
    ) -> Iterator[tuple[str, str]]:
        for name, record in self.files.items():
            problem = _problem(folder / name, record, progress)
            if problem:
                yield name, problem


def is_exported(folder: Path) -> bool:
    """Whether the folder is an exported model rather than a checkpoint."""
    return lexists(folder / MANIFEST)


def record_of(path: Path, progress: Callable[[int], None] | None = None) -> FileRecord:
    """Size and checksum of a file."""
    state = hashlib.sha256()
    size = 0
    for block in _blocks(path):
        state.update(block)
        size += len(block)
        if progress is not None:
            progress(len(block))
    return FileRecord(size, state.hexdigest())


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _problem(path: Path, record: FileRecord, progress: Callable[[int], None] | None) -> str:
    """What is wrong with the file, or nothing."""
    try:
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if size != record.bytes:
            return f"has {size} bytes, expected {record.bytes}"
        if record_of(path, progress).sha256 != record.sha256:
            return "has another checksum than the manifest says"
    except OSError as error:
        return f"can't be read ({error})"
    return ""


def _checksum(document: dict[str, Any]) -> str:
    """SHA-256 of the values, whatever the order and the blanks."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_format(path: Path, raw: dict[str, Any]) -> None:
    if raw.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {raw.get('format')!r:.60}, expected {FORMAT!r}; "
            "give a folder that `perceptiondlm export` wrote"
        )
    version = raw.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckpointError(
            f"{path} has format_version {version!r:.60}, expected {FORMAT_VERSION}; export the "
            "checkpoint again"
        )
    if version < FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version}, and this package runs {FORMAT_VERSION}: the "
            "folder was exported by an older version of it, whose graphs compute other captions; "
            "export the checkpoint again"
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {version}, and this package runs {FORMAT_VERSION}; update "
            "the package, or export the checkpoint again with this one"
        )


def _parse(raw: dict[str, Any]) -> Manifest:
    manifest = Manifest(
        name=_text(raw, "name"),
        precision=_one_of(raw, "precision", PRECISIONS),
        opset=_whole(raw, "opset"),
        steps=_whole(raw, "steps"),
        schedule=_one_of(raw, "schedule", SCHEDULES),
        caption_tokens=_whole(raw, "caption_tokens"),
        slots=_whole(raw, "slots"),
        buckets=Buckets(_ascending(raw, "tile_buckets"), _ascending(raw, "slot_buckets")),
        prompt=_text(raw, "prompt"),
        token_ids={
            name: _whole(section(raw, "token_ids"), name, least=0)
            for name in ("mask", "image", "end_of_turn")
        },
        files={name: _file(section(raw, "files"), name) for name in section(raw, "files")},
        graphs={name: _graph(section(section(raw, "graphs"), name)) for name in GRAPHS},
        made_with={key: str(value) for key, value in section(raw, "made_with").items()},
    )
    named = [f for g in manifest.graphs.values() for f in (g.file, g.cpu_file) if f is not None]
    lacking = sorted({"config.json", "tokenizer.json", *named} - set(manifest.files))
    if lacking:
        raise CheckpointError(f"files lacks {lacking[0]}, expected every file of the export")
    return manifest


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise CheckpointError(f"{key} is {value!r:.60}, expected text")
    return value


def _whole(raw: dict[str, Any], key: str, least: int = 1, most: int = MOST) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise CheckpointError(f"{key} is {value!r:.60}, expected a whole number from {least}")
    return value


def _one_of(raw: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = _text(raw, key)
    if value not in choices:
        raise CheckpointError(f"{key} is {value!r:.60}, expected one of {', '.join(choices)}")
    return value


def _ascending(raw: dict[str, Any], key: str) -> tuple[int, ...]:
    value = raw.get(key)
    if not isinstance(value, list) or not value or any(type(item) is not int for item in value):
        raise CheckpointError(f"{key} is {value!r:.60}, expected a list of whole numbers")
    if value[0] < 1 or any(a >= b for a, b in pairwise(value)):
        raise CheckpointError(f"{key} is {value!r:.60}, expected ascending numbers from 1")
    return tuple(value)


def _file(files: dict[str, Any], name: str) -> FileRecord:
    if Path(name).name != name or name in ("", ".", "..", MANIFEST):
        raise CheckpointError(f"files names {name!r:.60}, expected a file of the same folder")
    record = section(files, name)
    return FileRecord(_whole(record, "bytes", least=0, most=1 << 50), _text(record, "sha256"))


def _graph(raw: dict[str, Any]) -> GraphRecord:
    file, cpu_file = (raw.get(key) for key in ("file", "cpu_file"))
    for key, value in (("file", file), ("cpu_file", cpu_file)):
        if value is not None and not isinstance(value, str):
            raise CheckpointError(f"{key} of a graph is {value!r:.60}, expected a name or null")
    if file is None and cpu_file is None:
        raise CheckpointError("a graph has neither file nor cpu_file, expected at least one")
    return GraphRecord(file, cpu_file, _tensors(raw, "inputs"), _tensors(raw, "outputs"))


def _tensors(raw: dict[str, Any], key: str) -> dict[str, TensorRecord]:
    tensors = section(raw, key)
    return {name: _tensor(section(tensors, name)) for name in tensors}


def _tensor(raw: dict[str, Any]) -> TensorRecord:
    shape = raw.get("shape")
    if not isinstance(shape, list) or any(type(item) not in (int, str) for item in shape):
        raise CheckpointError(f"shape is {shape!r:.60}, expected a list of numbers and names")
    return TensorRecord(_text(raw, "dtype"), tuple(shape))
