"""What a preflight found, for people and for programs alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from perceptiondlm_ros.preflight.devices import TargetDevice
from perceptiondlm_ros.preflight.libraries import Installed
from perceptiondlm_ros.preflight.memory import MemoryNeed

Kind = Literal["exported", "checkpoint"]
Group = Literal["files", "graphs", "device", "memory", "libraries"]
Status = Literal["ok", "note", "warn", "fail"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: a file, a graph, a backend or the like.
        status: `note` tells something that is neither good nor bad; `warn` is a thing that may
            fail, runs slowly or couldn't be checked; `fail` is one that would fail.
        text: what was found, and what to do where it isn't good.
    """

    group: Group
    subject: str
    status: Status
    text: str


@dataclass(frozen=True)
class PreflightReport:
    """Everything that a preflight found out about a folder and a device.

    Attributes:
        precision: of the exported model, or the one that a checkpoint would be exported in.
        memory: for each usual number of tiles; empty where the config can't be read.
        build: least and most bytes that building an engine takes; None where none is built.
    """

    path: str
    kind: Kind
    device: TargetDevice
    precision: str
    findings: tuple[Finding, ...]
    memory: tuple[MemoryNeed, ...]
    build: tuple[int, int] | None
    installed: Installed

    @property
    def fits(self) -> bool:
        """Whether nothing was found that would fail."""
        return not self.count("fail")

    def count(self, status: Status) -> int:
        return sum(finding.status == status for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """As `docs/export.md` describes it."""
        device = self.device
        return {
            "schema_version": SCHEMA_VERSION,
            "path": self.path,
            "kind": self.kind,
            "precision": self.precision,
            "fits": self.fits,
            "device": {
                "name": device.name,
                "title": device.title,
                "memory_bytes": device.memory,
                "usable_bytes": device.usable,
                "compute_capability": device.compute and list(device.compute),
                "precisions": list(device.precisions),
            },
            "memory": [
                {
                    "tiles": need.tiles,
                    "positions": need.positions,
                    "weights_bytes": need.weights,
                    "cache_bytes": need.cache,
                    "activations_bytes": need.activations,
                    "total_bytes": need.total,
                }
                for need in self.memory
            ],
            "build_bytes": self.build and list(self.build),
            "libraries": {
                name: {"version": library.version, "distribution": library.distribution}
                for name, library in self.installed.libraries.items()
            },
            "onnxruntime_providers": list(self.installed.providers),
            "findings": [
                {
                    "group": finding.group,
                    "subject": finding.subject,
                    "status": finding.status,
                    "text": finding.text,
                }
                for finding in self.findings
            ],
        }
