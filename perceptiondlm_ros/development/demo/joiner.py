"""Brings together what belongs to one stamp, whichever part comes first."""

from __future__ import annotations

from typing import Any


class Joiner:
    """Completes a set of `kinds` messages for each stamp.

    kept: stamps remembered. Older ones are forgotten; where what is forgotten had a `wanted`
    message, it is counted in `lost`.
    """

    def __init__(self, kinds: tuple[str, ...], wanted: str, kept: int) -> None:
        self._kinds = kinds
        self._wanted = wanted
        self._kept = kept
        self._parts: dict[int, dict[str, Any]] = {}
        self.lost = 0

    def add(self, kind: str, stamp: int, message: object) -> dict[str, Any] | None:
        """Return all messages of this stamp by kind, once, when the last of them has come."""
        parts = self._parts.setdefault(stamp, {})
        parts[kind] = message
        if all(name in parts for name in self._kinds):
            return self._parts.pop(stamp)
        while len(self._parts) > self._kept:
            self._forget(min(self._parts))
        return None

    def close(self) -> None:
        """Forget all stamps."""
        while self._parts:
            self._forget(min(self._parts))

    def _forget(self, stamp: int) -> None:
        self.lost += self._wanted in self._parts.pop(stamp)
