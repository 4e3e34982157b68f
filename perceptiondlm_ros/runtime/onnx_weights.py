"""Weights of exported graphs whose files are links, which ONNX Runtime doesn't follow everywhere.

From 1.24 on it refuses a weight file that lies neither in the folder of the graph nor beside the
file that the graph is a link to (1.24.1 every one that is a link), so that no graph reads what it
has no business with. The files of an export have been held against their checksums by then,
wherever they lie, and can be handed over as memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import onnxruntime

WEIGHTS = (".onnx.data", ".safetensors")
"""Endings of the files that hold weights: an export's own, and a checkpoint's."""


def from_memory_helps(path: Path, weights: Sequence[Path]) -> bool:
    """Whether a graph that can't be loaded may be with its weights from memory.

    Loading it so took half as much memory again (a product of 0.6 GB, ONNX Runtime 1.32): it is not
    the first thing to try.
    """
    given = hasattr(onnxruntime.SessionOptions, "add_external_initializers_from_files_in_memory")
    return given and any(file.is_symlink() for file in (path, *weights))


@contextmanager
def held_in_memory(
    options: onnxruntime.SessionOptions, weights: Sequence[Path]
) -> Iterator[onnxruntime.SessionOptions]:
    """Options of a session that takes its weights from here; it must be made within the block."""
    with ExitStack() as stack:
        contents = [stack.enter_context(_mapped(file)) for file in weights]
        options.add_external_initializers_from_files_in_memory(
            [file.name for file in weights], contents, [len(content) for content in contents]
        )
        yield options


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The contents of a file, read as they are needed."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
