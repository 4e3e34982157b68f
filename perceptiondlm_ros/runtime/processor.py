"""What the processor can do, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

BF16_FLAGS: Final = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""Of processors that multiply bf16, of Intel, AMD and Arm; with any of them."""

_CPUINFO = Path("/proc/cpuinfo")


def multiplies_bf16() -> bool:
    """Whether the processor multiplies bf16 itself; False where nothing tells."""
    text = _CPUINFO.read_text(encoding="utf-8") if _CPUINFO.exists() else ""
    told = re.search(r"^(?:flags|Features)\s*:(.*)", text, re.MULTILINE)
    return told is not None and not BF16_FLAGS.isdisjoint(told[1].split())
