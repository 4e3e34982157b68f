"""What would fail before it does: a checkpoint or an exported model against a device.

Needs no GPU, no TensorRT and no torch, and loads no weights.
"""

from __future__ import annotations

from pathlib import Path

from perceptiondlm_ros.errors import CheckpointError, InputError
from perceptiondlm_ros.model.manifest import MANIFEST, has_graphs, is_exported
from perceptiondlm_ros.preflight.device_checks import (
    check_disk,
    check_jetpack,
    check_libraries,
    check_memory,
    check_precision,
)
from perceptiondlm_ros.preflight.devices import HERE, TargetDevice, find_device
from perceptiondlm_ros.preflight.file_checks import CheckedModel, check_checkpoint, check_exported
from perceptiondlm_ros.preflight.findings import Kind, PreflightReport
from perceptiondlm_ros.preflight.libraries import Installed, find_installed
from perceptiondlm_ros.preflight.memory import (
    BYTES,
    MemoryNeed,
    memory_need,
    usual_tile_counts,
)
from perceptiondlm_ros.runtime.tensorrt.build_memory import LEAST, SAFE

EXPORT_PRECISIONS = tuple(BYTES)


def preflight(
    folder: Path,
    device: str | TargetDevice = HERE,
    precision: str | None = None,
    installed: Installed | None = None,
) -> PreflightReport:
    """Check a folder against a device.

    Args:
        folder: a checkpoint in the published layout, or what `perceptiondlm export` wrote.
        device: a name from the table, `here`, `cpu`, or a device.
        precision: what a checkpoint would be exported in; None is the device's usual one. An
            exported model has its own.
        installed: the libraries; None looks for those of this interpreter.

    Raises:
        CheckpointError: the folder is neither of the two.
        InputError: the device or the precision is unknown, or not the exported model's.
    """
    if precision is not None and precision not in EXPORT_PRECISIONS:
        raise InputError(
            f"precision is {precision!r}, expected one of {', '.join(EXPORT_PRECISIONS)}"
        )
    kind = kind_of(folder)
    target = device if isinstance(device, TargetDevice) else find_device(device)
    libraries = find_installed() if installed is None else installed
    if kind == "checkpoint":
        model, findings = check_checkpoint(folder, precision or target.usual_precision)
    else:
        model, findings = check_exported(folder, target)
        if model.weights and precision not in (None, model.precision):
            raise InputError(
                f"precision is {precision!r}, but {folder} was exported in {model.precision}; "
                "leave it out, or export again"
            )
    here = target.free is not None
    if model.precision in EXPORT_PRECISIONS:
        findings.append(check_precision(target, model.precision))
    if here:
        findings += check_jetpack()
    needs: list[MemoryNeed] = []
    build = _build(model, target)
    if model.config is not None and model.weights:
        needs += (
            memory_need(model.config, model.precision, tiles, sum(model.weights))
            for tiles in usual_tile_counts(model.config)
        )
        findings += check_memory(target, needs, model.config.slots, build)
    if kind == "exported" and build and here:
        findings.append(check_disk(folder, sum(model.weights)))
    findings += check_libraries(libraries, _backends(folder, kind), target, here=here)
    return PreflightReport(
        path=str(folder),
        kind=kind,
        device=target,
        precision=model.precision,
        findings=tuple(findings),
        memory=tuple(needs),
        build=build,
        installed=libraries,
    )


def kind_of(folder: Path) -> Kind:
    """Whether a folder holds a checkpoint or an exported model.

    Raises:
        CheckpointError: neither.
    """
    if is_exported(folder):
        return "exported"
    if (folder / "config.json").is_file():
        return "checkpoint"
    raise CheckpointError(
        f"{folder} holds neither {MANIFEST} nor config.json; expected what `perceptiondlm export` "
        "wrote, or a checkpoint in the published layout"
    )


def _backends(folder: Path, kind: Kind) -> tuple[str, ...]:
    """What can run the folder."""
    if kind == "exported":
        return "onnx", "tensorrt"
    return ("onnx", "torch") if has_graphs(folder) else ("torch",)


def _build(model: CheckedModel, device: TargetDevice) -> tuple[int, int] | None:
    """Least and most bytes for building engines: one after the other, so the larger one counts."""
    if device.compute is None or model.precision == "int8" or not model.weights:
        return None
    largest = max(model.weights)
    return int(LEAST * largest), int(SAFE * largest)
