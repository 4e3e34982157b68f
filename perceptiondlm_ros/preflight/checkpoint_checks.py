"""Whether a checkpoint folder is whole, without loading its weights and without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.preflight.findings import Finding, Status
from perceptiondlm_ros.text import counted, gigabytes


def check_weights(folder: Path, config: ModelConfig) -> Finding:
    """Names and shapes of the tensors, and that no file is cut off."""
    try:
        from perceptiondlm_ros.model.tensor_headers import check_headers, read_headers

        headers = read_headers(folder)
        check_headers(folder, headers, config)
    except ImportError as error:
        return not_checked("weights", error)
    except CheckpointError as error:
        return _file("weights", "fail", str(error))
    files = {header.path for header in headers.values()}
    size = sum(path.stat().st_size for path in files)
    types = sorted({header.dtype.lower() for header in headers.values()})
    text = (
        f"{counted(len(headers), 'tensor')} in {counted(len(files), 'file')}, {gigabytes(size)}, "
        f"{', '.join(types)}"
    )
    return _file("weights", "ok", text)


def check_tokenizer(folder: Path, config: ModelConfig) -> Finding:
    """That it has the special tokens of every slot, and that its tokens are the model's."""
    try:
        from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

        tokenizer = CaptionTokenizer(folder, config.slots)
        tokenizer.check_fits(config)
    except ImportError as error:
        return not_checked("tokenizer", error)
    except CheckpointError as error:
        return _file("tokenizer", "fail", str(error))
    text = f"{tokenizer.largest_id + 1} tokens, all special tokens are there"
    return _file("tokenizer", "ok", text)


def check_config(
    folder: Path, adapted: Callable[[ModelConfig], ModelConfig] = lambda config: config
) -> tuple[ModelConfig | None, Finding]:
    """The config, None where it can't be used.

    Args:
        adapted: makes of the checkpoint's config that of what was exported from it.
    """
    try:
        config = adapted(ModelConfig.from_folder(folder))
    except CheckpointError as error:
        return None, _file("config", "fail", str(error))
    language = config.language
    text = (
        f"{config.tile_size}-pixel tiles, at most {config.max_tiles}, "
        f"{counted(config.slots, 'region slot')}, {config.caption_tokens} caption tokens, "
        f"{config.denoising_steps} steps, language model "
        f"{language.hidden_size} x {language.num_hidden_layers}"
    )
    return config, _file("config", "ok", text)


def check_checkpoint(folder: Path) -> tuple[ModelConfig | None, list[Finding]]:
    """All of the above."""
    config, finding = check_config(folder)
    return config, [finding, *(_of_config(folder, config) if config else [])]


def _of_config(folder: Path, config: ModelConfig) -> Iterator[Finding]:
    yield check_weights(folder, config)
    yield check_tokenizer(folder, config)


def not_checked(subject: str, error: ImportError) -> Finding:
    """A library that is only needed to look is missing."""
    library = (error.name or "a library").partition(".")[0]
    text = f"not checked, since {library} is not installed: pip install {library}"
    return _file(subject, "warn", text)


def _file(subject: str, status: Status, text: str) -> Finding:
    return Finding("files", subject, status, text)
