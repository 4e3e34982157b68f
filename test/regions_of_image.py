"""Boxes and masks in a small image, for tests of what the model sees of a region."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from tiny_checkpoint import rectangle, tiny_config

from perceptiondlm_ros.processing.tiles import Grid

CONFIG = tiny_config(image_size=256)  # 16 x 16 patches and 8 x 8 cells a tile
GRIDS: list[Grid] = [(1, 1), (2, 1), (1, 3), (3, 2)]
HEIGHT, WIDTH = 90, 120
MASK = rectangle(HEIGHT, WIDTH, (17, 20, 103, 80))

boxes = st.tuples(
    st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, 60), st.integers(1, 60)
)


def region(box: tuple[int, int, int, int]) -> np.ndarray:
    """The mask of a box given by its corner and size, bool [HEIGHT, WIDTH]."""
    x, y, width, height = box
    return rectangle(HEIGHT, WIDTH, (x, y, x + width, y + height))
