"""Regions of an image, and their order."""

from __future__ import annotations

import numpy as np
import pytest

from perceptiondlm_ros.pixel_boxes import Box
from perceptiondlm_ros.processing.regions import Region, order_by_area


class TestOrder:
    def test_largest_first(self) -> None:
        regions = [Region((0, 0, side, 1)) for side in (2, 5, 3)]
        assert order_by_area(regions) == [1, 2, 0]

    def test_of_equal_areas_the_later_first(self) -> None:
        regions = [Region((x, 0, x + 2, 2)) for x in range(4)]
        assert order_by_area([*regions, Region.of_mask(np.ones((9, 9), bool))]) == [4, 3, 2, 1, 0]

    def test_nothing(self) -> None:
        assert order_by_area([]) == []


@pytest.mark.parametrize(
    ("box", "touched"),
    [
        ((1.9, 2.0, 3.1, 4.0), (1, 2, 4, 4)),
        ((-50, -50, 50, 50), (0, 0, 6, 4)),
        ((-1e300, -0.5, 0.5, 1e300), (0, 0, 1, 4)),
    ],
)
def test_a_box_is_the_pixels_that_it_touches(box: Box, touched: tuple[int, ...]) -> None:
    assert Region.of_box(box, 4, 6).box == touched


@pytest.mark.parametrize("box", [(-50, -50, 0, 0), (6, 0, 50, 4), (0, 4, 1, 5)])
def test_a_box_outside_the_image_has_no_pixels(box: Box) -> None:
    assert Region.of_box(box, 4, 6).area == 0


def test_a_mask_is_cut_to_its_pixels() -> None:
    mask = np.zeros((4, 6), dtype=bool)
    assert Region.of_mask(mask).area == 0
    mask[1, 2] = mask[3, 4] = True
    region = Region.of_mask(mask)
    assert region.box == (2, 1, 5, 4) and region.area == 2 and region.inside is not None
    np.testing.assert_array_equal(region.inside, mask[1:4, 2:5])
