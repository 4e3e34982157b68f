"""Whether what `perceptiondlm export` wrote is whole, valid, and takes and gives what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.manifest import MANIFEST, GraphRecord, Manifest
from perceptiondlm_ros.preflight.checkpoint_checks import check_config, check_tokenizer
from perceptiondlm_ros.preflight.devices import TargetDevice
from perceptiondlm_ros.preflight.findings import Finding, Status
from perceptiondlm_ros.text import counted, gigabytes

if TYPE_CHECKING:
    from perceptiondlm_ros.preflight.graph_checks import GraphFacts, Signature


@dataclass(frozen=True)
class Exported:
    """What other checks need to know.

    Attributes:
        config: None where it can't be read.
        weights: bytes of the weights of each graph that the device would run.
    """

    precision: str
    config: ModelConfig | None
    weights: tuple[int, ...]


def check_exported(folder: Path, device: TargetDevice) -> tuple[Exported | None, list[Finding]]:
    """Files, then graphs; a graph whose file is damaged is not looked into."""
    try:
        manifest = Manifest.read(folder)
        manifest.refuse_foreign(folder)
    except CheckpointError as error:
        return None, [_file(MANIFEST, "fail", str(error))]
    made_with = ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())
    findings = [_file(MANIFEST, "ok", f"{manifest.name} in {manifest.precision}, by {made_with}")]
    problems = manifest.problems(folder)
    for name, problem in problems.items():
        findings.append(_file(name, "fail", f"{problem}; copy the folder again, or export again"))
    whole = len(manifest.files) - len(problems)
    size = sum(record.bytes for name, record in manifest.files.items() if name not in problems)
    if whole:
        findings.append(
            _file("checksums", "ok", f"{counted(whole, 'file')}, {gigabytes(size)}, as exported")
        )
    config, finding = check_config(folder, manifest.applied_to)
    findings.append(finding)
    if config is not None:
        findings.append(check_tokenizer(folder, config))
    weights = []
    for name, record in manifest.graphs.items():
        found, taken = _check_graph(folder, name, record, manifest, problems, device)
        findings += found
        weights += taken
    return Exported(manifest.precision, config, tuple(weights)), findings


def _check_graph(
    folder: Path,
    name: str,
    record: GraphRecord,
    manifest: Manifest,
    problems: dict[str, str],
    device: TargetDevice,
) -> tuple[list[Finding], list[int]]:
    """What was found about the files of one graph, and the weights of the one that would run."""
    running = record.file_for("cpu" if device.compute is None else "cuda")
    findings, weights = [], []
    if running is None:
        text = "was exported for CPUs alone, so no GPU can run it; export again for GPUs too"
        findings.append(_graph(name, "fail", text))
    for file in dict.fromkeys((record.file, record.cpu_file)):
        if file is None:
            continue
        if file in problems:
            findings.append(_graph(file, "fail", "not looked into, since it is damaged"))
            continue
        try:
            from perceptiondlm_ros.preflight.graph_checks import examine_graph
        except ImportError as error:
            library = (error.name or "onnx").partition(".")[0]
            text = f"not checked, since {library} is not installed: pip install {library}"
            findings.append(_graph(file, "warn", text))
            weights.append((file, manifest.files[file].bytes))
            continue
        facts = examine_graph(folder / file)
        for status, text in _of_facts(facts, record, manifest, for_gpus=file == record.file):
            # What the device doesn't run is no reason for it to fail.
            ours = file == running and (device.compute is not None or text not in facts.refused)
            findings.append(_graph(file, status if ours or status != "fail" else "warn", text))
        weights.append((file, sum(facts.weights.values())))
    taken = [size for file, size in weights if file == running] or [size for _, size in weights]
    return findings, taken[:1]


def _of_facts(
    facts: GraphFacts, record: GraphRecord, manifest: Manifest, *, for_gpus: bool
) -> Iterator[tuple[Status, str]]:
    """Args:
    for_gpus: whether TensorRT is to take it; else it is for ONNX Runtime on a CPU.
    """
    faults = [*facts.faults]
    if not faults:
        faults += _differences("input", facts.inputs, record)
        faults += _differences("output", facts.outputs, record)
    doubts = [
        f"weights lie in {where}, which the manifest doesn't name, so nobody can tell whether they "
        "are those that were exported; export again"
        for where in sorted(facts.external - manifest.files.keys())
        if not facts.faults
    ]
    if for_gpus:
        faults += facts.refused
        doubts += facts.doubts
    yield from (("fail", text) for text in faults)
    yield from (("warn", text) for text in doubts)
    if not faults:
        yield "ok", facts.summary


def _differences(kind: str, found: Signature, record: GraphRecord) -> Iterator[str]:
    """Inputs or outputs of a graph that are not what the manifest says."""
    told = record.inputs if kind == "input" else record.outputs
    for name in sorted(found.keys() ^ told.keys()):
        where = "the manifest" if name in found else "the graph"
        yield f"{kind} {name} is not in {where}; export again"
    for name in found.keys() & told.keys():
        dtype, shape = found[name]
        expected = told[name]
        if dtype != expected.dtype or tuple(shape) != expected.shape:
            yield (
                f"{kind} {name} is {dtype} {list(shape)}, and the manifest says "
                f"{expected.dtype} {list(expected.shape)}; export again"
            )


def _file(subject: str, status: Status, text: str) -> Finding:
    return Finding("files", subject, status, text)


def _graph(subject: str, status: Status, text: str) -> Finding:
    return Finding("graphs", subject, status, text)
