"""What tests of the node share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ros_robot import Robot, running_robot


@pytest.fixture
def robot() -> Iterator[Robot]:
    with running_robot() as robot:
        yield robot
