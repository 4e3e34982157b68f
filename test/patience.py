"""How long tests wait for what must happen."""

from typing import Final

PATIENCE: Final = 240.0
"""Seconds. On a busy machine everything comes late; only what never comes is a failure."""
