"""Stamps of messages as numbers."""

from __future__ import annotations

from typing import Any


def nanoseconds(stamp: Any) -> int:
    """A stamp, which is a Time, in ns since the epoch."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
