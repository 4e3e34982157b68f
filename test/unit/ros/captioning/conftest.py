"""What tests of captioning share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from captioning_support import Harness


@pytest.fixture
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.captioner.gate.set()
    assert harness.captioning.stop(20)
    assert harness.captioner.closed.is_set()
