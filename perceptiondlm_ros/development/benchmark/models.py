"""The models to measure: random checkpoints and exports are made once and found again."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zlib import crc32

import numpy as np

from perceptiondlm_ros.development.benchmark.measured_process import MeasuredProcess
from perceptiondlm_ros.development.checkpoint_files import copy_description, write_json
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import FORMAT_VERSION, is_exported
from perceptiondlm_ros.model.published import INDEX, Shape, published_shapes
from perceptiondlm_ros.runtime.locate import locate_checkpoint
from perceptiondlm_ros.terminal import Progress

LIBRARIES: Final = {"torch": "torch", "onnx": "onnxruntime", "tensorrt": "tensorrt"}
"""Each backend with the module that it needs."""

TILE: Final = 512
PUBLISHED: Final = {
    "image_size": TILE,
    "vision_select_layer": -2,
    "roi_output_size": 4,
    "corrected_roi_replay": False,
    "prefix_sees_captions": True,
    "caption_tokens": 32,
    "denoising_steps": 32,
    "decoding": "schedule",
}
"""How the published checkpoint differs from the packaged one, besides its sizes."""

SIZES: Final[dict[str, dict[str, Any]]] = {
    "small": {"vision": (192, 768, 5, 3), "language": (256, 768, 8, 8), "vocabulary": 8192},
    "published": {
        "vision": (1152, 4304, 27, 16),
        "language": (4096, 12_288, 32, 32),
        "vocabulary": 126_464 + 42,  # the language model's own, and what PerceptionDLM adds
        "dtype": "bfloat16",
    },
}
"""Of random weights: width, inner width, layers and heads of each part, tokens, and dtype in the
files, float32 if left out."""

_VERSION: Final = 3
"""Of the random weights; raise it with whatever makes others."""

_SHARPNESS: Final = 3.0
"""How much larger queries, keys and the head are than unit variance asks for. Without it every
caption position sees the same average and says the same word."""

_TOKEN_SPREAD: Final = 0.3
"""Of token embeddings: small beside what attention adds, for masked positions all begin alike."""


def find_checkpoint(checkpoint: str | None, like: str, output: Path) -> Path:
    """The folder to measure; random weights are made where they aren't there yet.

    Args:
        checkpoint: a folder, "" for the packaged one, None for random weights.
        like: the size of random weights, one of SIZES.

    Raises:
        CheckpointError: there is no such folder.
    """
    if checkpoint is not None:
        return locate_checkpoint(checkpoint or None)
    recipe = crc32(repr((_VERSION, PUBLISHED, SIZES[like])).encode())
    folder = output / "checkpoints" / f"{recipe:08x}" / f"random-{like}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as beside:  # so that what is there is whole
            made = Path(beside) / "made"
            write_random_checkpoint(made, **SIZES[like])
            made.rename(folder)
    return folder


def find_models(
    folder: Path, asked: Sequence[str] | None, precision: str, output: Path
) -> dict[str, Path]:
    """What each backend loads of a checkpoint, itself or its export, which is made where it isn't
    there yet.

    Args:
        folder: a checkpoint or an exported model.
        asked: backends, None for all whose libraries are installed and that can run the folder.
        precision: of the export.
        output: folder that keeps exports.

    Raises:
        PerceptionDLMError: the checkpoint can't be exported.
    """
    exported = is_exported(folder)
    here = [name for name, module in LIBRARIES.items() if importlib.util.find_spec(module)]
    backends = asked or [name for name in here if not (exported and name == "torch")]
    return {
        name: folder if exported or name == "torch" else find_export(folder, precision, output)
        for name in backends
    }


def find_export(checkpoint: Path, precision: str, output: Path) -> Path:
    """The exported model of the checkpoint; made where it isn't there yet.

    Its folder's name tells checkpoints of one name apart, one that was trained on from what it was,
    and formats of exports.
    """
    files = sorted((*checkpoint.glob("*.safetensors"), *checkpoint.glob("*.json")))
    facts: list[object] = [FORMAT_VERSION]
    for file in map(Path.resolve, files):
        facts.append((str(file), file.stat().st_size, file.stat().st_mtime_ns))
    name = f"{checkpoint.name}-{crc32(repr(facts).encode()):08x}-{precision}"
    folder = output / "exports" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        export_checkpoint(checkpoint, folder, precision, output)
    return folder


def export_checkpoint(
    checkpoint: Path | str,
    folder: Path,
    precision: str,
    logs: Path,
    python: Path | str = sys.executable,
) -> None:
    """Export a checkpoint into a new folder with the package of an interpreter.

    Raises:
        PerceptionDLMError: it can't be exported.
    """
    log = logs / "export.log"
    with (
        Progress(f"exporting {Path(checkpoint).name}, see {log}"),
        MeasuredProcess("the export", log, python) as process,
    ):
        process.ask("export", checkpoint=str(checkpoint), output=str(folder), precision=precision)


def write_random_checkpoint(
    folder: Path,
    *,
    vision: tuple[int, int, int, int],
    language: tuple[int, int, int, int],
    vocabulary: int,
    dtype: str = "float32",
    shard_bytes: int = 1 << 30,
) -> None:
    """Write a checkpoint of the published layout, the same on every machine, into a new folder.

    It is written a shard at a time, so that 8.5 billion weights need little memory. The words of
    the prompt are one token each, as in the published vocabulary, so that sequences are as long.
    What random weights say beyond them are made-up words, one a token.
    """
    copy_description(folder)
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    with _changed(folder / "config.json") as config:
        config |= PUBLISHED
        config["vision_model_config"]["vision_config"] |= {
            "image_size": TILE,
            **dict(zip(sizes, vision, strict=True)),
        }
        config["language_model_config"] |= {
            "vocab_size": vocabulary,
            "num_key_value_heads": language[-1],
            "rope_theta": 500_000.0,
            **dict(zip(sizes, language, strict=True)),
        }
    with _changed(folder / "processor_config.json") as processor:
        processor |= {"image_size": [TILE, TILE], "max_sub_img": 6}
    with _changed(folder / "preprocessor_config.json") as preprocessor:
        preprocessor["size"] = {"height": TILE, "width": TILE}
    with _changed(folder / "tokenizer.json") as tokenizer:
        words = tokenizer["model"]["vocab"]
        words |= {f"Ġw{index}": index for index in range(len(words), vocabulary)}
    _write_weights(folder, ModelConfig.from_folder(folder), dtype, shard_bytes)


@contextmanager
def _changed(file: Path) -> Iterator[dict[str, Any]]:
    """What a JSON file holds; it is written again as the block leaves it."""
    value = json.loads(file.read_text(encoding="utf-8"))
    yield value
    write_json(file, value)


def _write_weights(folder: Path, config: ModelConfig, dtype: str, shard_bytes: int) -> None:
    import torch  # not above: processes that measure another backend do without
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file

    kind: torch.dtype = getattr(torch, dtype)
    shapes = published_shapes(config)
    empty = {name: torch.empty(shape, dtype=kind, device="meta") for name, shape in shapes.items()}
    shards = split_torch_state_dict_into_shards(empty, max_shard_size=shard_bytes)
    with Progress(f"writing {folder}", len(shapes), "tensors") as progress:
        for file, names in shards.filename_to_tensors.items():
            tensors = {}
            for name in names:
                noise = torch.from_numpy(_random_weights(name, shapes[name], config))
                tensors[name] = noise.to(kind)
                progress.advance()
            save_file(tensors, str(folder / file), metadata={"format": "pt"})
    if shards.is_sharded:
        index = {"metadata": shards.metadata, "weight_map": shards.tensor_to_filename}
        write_json(folder / INDEX, index)


def _random_weights(name: str, shape: Shape, config: ModelConfig) -> np.ndarray:
    """Normal noise, with which activations keep about unit variance from layer to layer."""
    centre, spread = 0.0, 1.0 / math.sqrt(math.prod(shape[1:]))
    if "norm" in name:
        centre, spread = float(name.endswith("weight")), 0.1
    elif name.endswith("bias"):
        spread = 0.02
    elif "embed_tokens" in name:
        spread = _TOKEN_SPREAD
    elif "position_embedding" in name or "mask_id" in name:
        spread = 1.0
    elif any(part in name for part in ("q_proj", "k_proj", "lm_head")):
        spread *= _SHARPNESS
    elif any(part in name for part in ("out_proj", "o_proj", "fc2", "down_proj")):
        layers = max(config.vision.num_hidden_layers, config.language.num_hidden_layers)
        spread /= math.sqrt(2 * layers)  # so many are added up
    rng = np.random.Generator(np.random.SFC64(crc32(name.encode())))
    noise: np.ndarray = rng.standard_normal(shape, dtype=np.float32)
    noise *= np.float32(spread)
    noise += np.float32(centre)
    return noise
