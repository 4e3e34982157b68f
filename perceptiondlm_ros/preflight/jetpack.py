"""What NVIDIA's JetPack releases bring, and which one a Jetson runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JetPack:
    """A release.

    Attributes:
        name: its version.
        linux: the first Jetson Linux (L4T) of it, as (release, revision).
        tensorrt, cuda: what it ships.
        usable: whether its TensorRT is new enough for our engines.
    """

    name: str
    linux: tuple[int, int]
    tensorrt: str
    cuda: str
    usable: bool = True


JETPACKS = (
    JetPack("5", (34, 0), "8.4 or 8.5", "11.4", usable=False),
    JetPack("6.0", (36, 2), "8.6", "12.2", usable=False),
    JetPack("6.1 or 6.2", (36, 4), "10.3", "12.6"),
    JetPack("7", (38, 0), "10.13 or newer", "13"),
)


def jetpack_at_hand(root: Path = Path("/")) -> JetPack | None:
    """The release that this Jetson runs; None elsewhere, and for one older than all listed."""
    try:
        first = (root / "etc" / "nv_tegra_release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)", first)
    if found is None:
        return None
    linux = (int(found[1]), int(found[2]))
    older = [jetpack for jetpack in JETPACKS if jetpack.linux <= linux]
    return older[-1] if older else None
