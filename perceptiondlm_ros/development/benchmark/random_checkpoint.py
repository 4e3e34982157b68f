"""Checkpoints with random weights in the published layout, of any size, for measuring.

The files are written a shard at a time, so that 8.5 billion weights need little memory. The same
size and seed give the same weights on every machine.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from perceptiondlm_ros.development.benchmark.sizes import Size, model_config, processor_config
from perceptiondlm_ros.development.benchmark.vocabulary import build_tokenizer
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.published import INDEX, WEIGHTS, Shape, published_shapes
from perceptiondlm_ros.processing.tokenizer import IMAGE

RECIPE = "random.json"
"""File of the checkpoint's folder that says what it was made from."""

SHARD_BYTES = 1 << 30
_CHUNK = 1 << 22
"""Weights that one thread draws at once."""

_SHARPNESS = 3.0
"""How much larger queries, keys and the head are than unit variance asks for. Without it every
caption position sees the same average and says the same word."""

_TOKEN_SPREAD = 0.3
"""Of token embeddings: small beside what attention adds, for masked positions all begin alike."""

Progress = Callable[[int], Any]
"""Called with a number of bytes whenever so many more were written."""


def write_random_checkpoint(
    folder: Path,
    size: Size,
    *,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda _: None,
) -> ModelConfig:
    """Write a checkpoint into a new folder, which appears only once it is complete.

    Raises:
        CheckpointError: it can't be written, for example for lack of space.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        config = _write_description(beside, size)
        _write_json(beside / RECIPE, recipe(size, seed))
        _write_weights(beside, config, size, seed, shard_bytes, progress)
        beside.rename(folder)
    except OSError as error:
        raise CheckpointError(
            f"{folder} can't be written ({error}); expected a new folder with "
            f"{checkpoint_bytes(size) / 1e9:.1f} GB of free space"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return config


def recipe(size: Size, seed: int = 0) -> dict[str, Any]:
    """What settles the weights; another recipe makes others of the same size."""
    spreads = {"sharpness": _SHARPNESS, "token_spread": _TOKEN_SPREAD}
    return {"recipe": 1, "seed": seed, **spreads, **asdict(size)}


def checkpoint_bytes(size: Size) -> int:
    """Bytes of all weights."""
    config = ModelConfig.from_dicts(model_config(size), processor_config())
    weights = sum(math.prod(shape) for shape in published_shapes(config).values())
    return weights * _dtype(size).itemsize


def _dtype(size: Size) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[size.dtype]


def _write_description(folder: Path, size: Size) -> ModelConfig:
    tokenizer = build_tokenizer(size.vocabulary)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = model_config(size, tokenizer.token_to_id(IMAGE))
    processor = processor_config()
    _write_json(folder / "config.json", config)
    _write_json(folder / "processor_config.json", processor)
    return ModelConfig.from_dicts(config, processor)


def _write_weights(
    folder: Path, config: ModelConfig, size: Size, seed: int, most: int, progress: Progress
) -> None:
    dtype = _dtype(size)
    shards = list(_shards(published_shapes(config), dtype.itemsize, most))
    names = [WEIGHTS] if len(shards) == 1 else _shard_names(len(shards))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for name, shapes in zip(names, shards, strict=True):
            tensors = {}
            for key, shape in shapes.items():
                tensors[key] = _random_tensor(threads, key, shape, config, seed, dtype)
                progress(tensors[key].nbytes)
            _save(tensors, folder / name)
    if len(shards) > 1:
        weight_map = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
        total = sum(math.prod(s) for shapes in shards for s in shapes.values()) * dtype.itemsize
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, str(path), metadata={"format": "pt"})
    except Exception as error:  # the library has its own for a full disk
        raise OSError(str(error)) from error


def _shards(shapes: dict[str, Shape], item_bytes: int, most: int) -> Iterator[dict[str, Shape]]:
    """Tensors in groups of at most so many bytes, a larger one alone."""
    shard: dict[str, Shape] = {}
    filled = 0
    for name, shape in shapes.items():
        needed = math.prod(shape) * item_bytes
        if shard and filled + needed > most:
            yield shard
            shard, filled = {}, 0
        shard[name] = shape
        filled += needed
    yield shard


def _shard_names(count: int) -> list[str]:
    stem = WEIGHTS.removesuffix(".safetensors")
    return [f"{stem}-{k:05d}-of-{count:05d}.safetensors" for k in range(1, count + 1)]


def _random_tensor(
    threads: ThreadPoolExecutor,
    name: str,
    shape: Shape,
    config: ModelConfig,
    seed: int,
    dtype: torch.dtype,
) -> Tensor:
    """Normal noise whose size depends on the tensor's part in the model."""
    centre, spread = _centre_and_spread(name, shape, config)
    tensor = torch.empty(shape, dtype=dtype)
    flat = tensor.view(-1)
    key = [seed, crc32(name.encode())]

    def draw(first: int) -> None:
        part = flat[first : first + _CHUNK]
        noise = np.random.Generator(np.random.SFC64([*key, first]))
        drawn = noise.standard_normal(len(part), dtype=np.float32)
        part.copy_(torch.from_numpy(drawn).mul_(spread).add_(centre))

    list(threads.map(draw, range(0, flat.numel(), _CHUNK)))
    return tensor


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


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
