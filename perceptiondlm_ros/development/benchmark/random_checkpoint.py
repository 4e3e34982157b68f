"""Checkpoints with random weights in the published layout, for measuring: as large as the published
one, or a small one of its proportions.

The files are written a shard at a time, so that 8.5 billion weights need little memory. The same
size and seed give the same weights on every machine.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from zlib import crc32

import numpy as np
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from perceptiondlm_ros.development.checkpoint_files import (
    Architecture,
    TransformerSize,
    train_tokenizer,
    write_description,
    write_json,
)
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.published import INDEX, Shape, published_shapes
from perceptiondlm_ros.terminal import Progress

RECIPE = "random.json"
"""File of the checkpoint's folder that says what it was made from."""

SHARD_BYTES = 1 << 30

_SHARPNESS = 3.0
"""How much larger queries, keys and the head are than unit variance asks for. Without it every
caption position sees the same average and says the same word."""

_TOKEN_SPREAD = 0.3
"""Of token embeddings: small beside what attention adds, for masked positions all begin alike."""


@dataclass(frozen=True)
class RandomWeights:
    """What a random checkpoint is made from; `dtype` is that of the weights in its files."""

    architecture: Architecture
    vocabulary: int
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def shapes(self) -> dict[str, Shape]:
        """The shape of each tensor by its published name."""
        return published_shapes(self.architecture.config(self.vocabulary))

    def size_bytes(self) -> int:
        """Bytes of all weights."""
        weights = sum(math.prod(shape) for shape in self.shapes().values())
        return weights * self.torch_dtype.itemsize

    @property
    def torch_dtype(self) -> torch.dtype:
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]

    def recipe(self) -> dict[str, Any]:
        """What settles the files; another recipe makes others of the same size."""
        spreads = {"sharpness": _SHARPNESS, "token_spread": _TOKEN_SPREAD}
        return {"recipe": 2, **spreads, **asdict(self)}


SIZES: Final[dict[str, RandomWeights]] = {
    "small": RandomWeights(
        Architecture(
            vision=TransformerSize(width=192, inner=768, layers=5, heads=3),
            language=TransformerSize(width=256, inner=768, layers=8, heads=8),
        ),
        vocabulary=8192,
    ),
    "published": RandomWeights(
        Architecture(
            vision=TransformerSize(width=1152, inner=4304, layers=27, heads=16),
            language=TransformerSize(width=4096, inner=12_288, layers=32, heads=32),
        ),
        vocabulary=126_464 + 42,  # the language model's own, and what PerceptionDLM adds
        dtype="bfloat16",
    ),
}


def was_made_of(folder: Path, made_of: RandomWeights) -> bool:
    """Whether the folder holds what this version would write."""
    try:
        found: object = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return found == made_of.recipe()


def write_random_checkpoint(
    folder: Path, made_of: RandomWeights, *, shard_bytes: int = SHARD_BYTES
) -> ModelConfig:
    """Write a checkpoint into a new folder, which appears only once it is complete.

    Raises:
        CheckpointError: it can't be written, for example for lack of space.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        tokenizer = padded_tokenizer(made_of.vocabulary)
        config = write_description(beside, made_of.architecture, tokenizer)
        write_json(beside / RECIPE, made_of.recipe())
        _write_weights(beside, config, made_of, shard_bytes)
        beside.rename(folder)
    except OSError as error:
        raise CheckpointError(
            f"{folder} can't be written ({error}); expected a new folder with "
            f"{made_of.size_bytes() / 1e9:.1f} GB of free space"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return config


def padded_tokenizer(size: int) -> Tokenizer:
    """A byte-level BPE tokenizer with exactly `size` tokens.

    The words of the prompt are one token each, as in the published vocabulary, so that sequences
    are as long. What random weights say beyond them are made-up words, one a token.
    """
    described = json.loads(train_tokenizer([]).to_str())
    words: dict[str, int] = described["model"]["vocab"]
    if len(words) > size:
        raise ValueError(
            f"a vocabulary of {size} tokens is too small, at least {len(words)} are needed"
        )
    words.update({f"Ġw{index}": index for index in range(len(words), size)})
    return Tokenizer.from_str(json.dumps(described))


def _write_weights(
    folder: Path, config: ModelConfig, made_of: RandomWeights, shard_bytes: int
) -> None:
    empty = {
        name: torch.empty(shape, dtype=made_of.torch_dtype, device="meta")
        for name, shape in made_of.shapes().items()
    }
    shards = split_torch_state_dict_into_shards(empty, max_shard_size=shard_bytes)
    total = made_of.size_bytes() / 1e6
    with (
        Progress(f"writing {folder}", total, "MB") as progress,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):

        def draw(name: str) -> Tensor:
            return _random_tensor(name, tuple(empty[name].shape), config, made_of)

        for file, names in shards.filename_to_tensors.items():
            tensors = dict(zip(names, threads.map(draw, names), strict=True))
            _save(tensors, folder / file)
            progress.advance(sum(tensor.nbytes for tensor in tensors.values()) / 1e6)
    if shards.is_sharded:
        index = {"metadata": shards.metadata, "weight_map": shards.tensor_to_filename}
        write_json(folder / INDEX, index)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, str(path), metadata={"format": "pt"})
    except Exception as error:  # the library has its own for a full disk
        raise OSError(str(error)) from error


def _random_tensor(name: str, shape: Shape, config: ModelConfig, made_of: RandomWeights) -> Tensor:
    """Normal noise whose size depends on the tensor's part in the model."""
    centre, spread = _centre_and_spread(name, shape, config)
    random = np.random.Generator(np.random.SFC64([made_of.seed, crc32(name.encode())]))
    noise = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
    return noise.mul_(spread).add_(centre).to(made_of.torch_dtype)


def _centre_and_spread(name: str, shape: Shape, config: ModelConfig) -> tuple[float, float]:
    """Activations keep about unit variance from layer to layer, whatever the size."""
    if "norm" in name:
        return (1.0, 0.1) if name.endswith("weight") else (0.0, 0.1)
    if name.endswith("bias"):
        return 0.0, 0.02
    if "embed_tokens" in name:
        return 0.0, _TOKEN_SPREAD
    if "position_embedding" in name or "mask_id" in name:
        return 0.0, 1.0
    spread = 1.0 / math.sqrt(math.prod(shape[1:]))
    if any(part in name for part in ("q_proj", "k_proj", "lm_head")):
        spread *= _SHARPNESS
    if any(part in name for part in ("out_proj", "o_proj", "fc2", "down_proj")):
        layers = max(config.vision.num_hidden_layers, config.language.num_hidden_layers)
        spread /= math.sqrt(2 * layers)  # so many are added up
    return 0.0, spread
