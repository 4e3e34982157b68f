"""Whether the files of a checkpoint or an exported model are whole, without loading weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import BESIDE, MANIFEST, Manifest, has_graphs
from perceptiondlm_ros.preflight.devices import TargetDevice
from perceptiondlm_ros.preflight.findings import Finding
from perceptiondlm_ros.preflight.memory import part_bytes
from perceptiondlm_ros.runtime.exported import open_exported
from perceptiondlm_ros.text import counted, gigabytes

_file = partial(Finding, "files")
_graph = partial(Finding, "graphs")


@dataclass(frozen=True)
class CheckedModel:
    """What the checks of device and memory need to know of a folder.

    Attributes:
        precision: `unknown` where the manifest can't be used.
        config: None where it can't be used.
        weights: bytes of each graph, as exported or as it would be; empty where that isn't known.
    """

    precision: str = "unknown"
    config: ModelConfig | None = None
    weights: tuple[int, ...] = ()


def check_checkpoint(folder: Path, precision: str) -> tuple[CheckedModel, list[Finding]]:
    """Config, weights and tokenizer of a checkpoint that would be exported in a precision."""
    config, finding = _check_config(folder)
    if config is None:
        return CheckedModel(precision), [finding]
    checks = ("weights", _described_weights), ("tokenizer", _described_tokenizer)
    findings = [finding, *(_checked(name, look, folder, config) for name, look in checks)]
    if has_graphs(folder):
        findings.append(_check_graphs_beside(folder))
    return CheckedModel(precision, config, part_bytes(config, precision)), findings


def _check_graphs_beside(folder: Path) -> Finding:
    """That the graphs beside a checkpoint are whole, and of this very checkpoint."""
    try:
        manifest, _ = open_exported(folder)
    except CheckpointError as error:
        return _graph(BESIDE, "fail", str(error))
    files = [file for graph in manifest.graphs.values() for file in graph.files]
    return _graph(BESIDE, "ok", f"{', '.join(files)} in {manifest.precision}, of this checkpoint")


def check_exported(folder: Path, device: TargetDevice) -> tuple[CheckedModel, list[Finding]]:
    """Manifest, checksums, config and tokenizer of an exported model, and that it has graphs for
    the device."""
    try:
        manifest = Manifest.read(folder)
        manifest.refuse_foreign(folder)
    except CheckpointError as error:
        return CheckedModel(), [_file(MANIFEST, "fail", str(error))]
    made_with = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    findings = [_file(MANIFEST, "ok", f"{manifest.name} in {manifest.precision}, by {made_with}")]
    problems = dict(manifest.problems(folder))
    for name, problem in problems.items():
        findings.append(_file(name, "fail", f"{problem}; copy the folder again, or export again"))
    whole = [record.bytes for name, record in manifest.files.items() if name not in problems]
    if whole:
        text = f"{counted(len(whole), 'file')}, {gigabytes(sum(whole))}, as exported"
        findings.append(_file("checksums", "ok", text))
    config, finding = _check_config(folder, manifest.applied_to)
    findings.append(finding)
    if config is not None:
        findings.append(_checked("tokenizer", _described_tokenizer, folder, config))
    weights = []
    for name, record in manifest.graphs.items():
        running = record.file_for("cpu" if device.compute is None else "cuda")
        data = [file for file in manifest.files if file.startswith(name) and file.endswith(".data")]
        size = sum(
            manifest.files[file].bytes for file in {running or record.cpu_file, *data} if file
        )
        weights.append(size)
        if running is None:
            text = "was exported for CPUs alone, so no GPU can run it; export again for GPUs too"
            findings.append(_graph(name, "fail", text))
        elif broken := sorted({running, *data} & problems.keys()):
            text = f"can't run, since {', '.join(broken)} is missing or damaged"
            findings.append(_graph(name, "fail", text))
        else:
            findings.append(_graph(name, "ok", f"{running}, {gigabytes(size)} with its weights"))
    return CheckedModel(manifest.precision, config, tuple(weights)), findings


def _check_config(
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


def _checked(
    subject: str,
    described: Callable[[Path, ModelConfig], str],
    folder: Path,
    config: ModelConfig,
) -> Finding:
    """What a look says, what is wrong, or that a library that is only needed to look is missing."""
    try:
        return _file(subject, "ok", described(folder, config))
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        text = f"not checked, since {library} is not installed: pip install {library}"
        return _file(subject, "warn", text)
    except CheckpointError as error:
        return _file(subject, "fail", str(error))


def _described_weights(folder: Path, config: ModelConfig) -> str:
    """Names and shapes of the tensors, and that no file is cut off."""
    from perceptiondlm_ros.model.tensor_headers import check_headers, read_headers

    headers = read_headers(folder)
    check_headers(folder, headers, config)
    files = {header.path for header in headers.values()}
    size = sum(path.stat().st_size for path in files)
    types = ", ".join(sorted({header.dtype.lower() for header in headers.values()}))
    tensors = f"{counted(len(headers), 'tensor')} in {counted(len(files), 'file')}"
    return f"{tensors}, {gigabytes(size)}, {types}"


def _described_tokenizer(folder: Path, config: ModelConfig) -> str:
    """That it has the special tokens of every slot, and that its tokens are the model's."""
    from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

    tokenizer = CaptionTokenizer(folder, config.slots)
    tokenizer.check_fits(config)
    return f"{tokenizer.largest_id + 1} tokens, all special tokens are there"
