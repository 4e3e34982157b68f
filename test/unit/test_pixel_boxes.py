"""Boxes and masks in the pixels of an image."""

from __future__ import annotations

import numpy as np
import pytest

from perceptiondlm_ros.pixel_boxes import NOTHING, Box, box_around, clipped


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((1.5, 2, 5, 3), (1.5, 2, 5, 3)),
        ((-4, -1, 100, 9), (0, 0, 8, 6)),
        ((9, 1, 12, 3), (8, 1, 8, 3)),
        ((-9, 1, -2, 3), (0, 1, 0, 3)),
    ],
)
def test_a_box_is_cut_at_the_edges_of_the_image(box: Box, inside: Box) -> None:
    assert clipped(box, 8, 6) == inside


def test_the_box_around_a_mask_touches_its_pixels() -> None:
    mask = np.zeros((6, 8), bool)
    assert box_around(mask) == NOTHING
    mask[1:3, 2:7] = True
    assert box_around(mask) == (2, 1, 7, 3)
    assert box_around(mask.T) == (1, 2, 3, 7), "rows and columns may lie otherwise in memory"
    mask[5, 0] = True
    assert box_around(mask) == (0, 1, 7, 6)
