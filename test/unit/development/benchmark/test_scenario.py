"""Images and regions that every machine measures alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import tiny_config

from perceptiondlm_ros.development.benchmark.random_checkpoint import SIZES
from perceptiondlm_ros.development.benchmark.scenario import (
    choose_tiles,
    image_sizes,
    noise_image,
    random_boxes,
)
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.boundary import region_masks
from perceptiondlm_ros.processing.tiles import choose_grid, tile_count

CONFIG = SIZES["small"].architecture.config(8192)


def test_usual_tiles_come_from_usual_cameras_and_each_size_is_cut_as_told() -> None:
    sizes = image_sizes(CONFIG)
    assert set(sizes) == {1, 3, 4, 5, 6, 7}
    assert (sizes[1], sizes[3], sizes[7]) == ((480, 480), (1280, 720), (640, 480))
    for tiles in sizes:
        height, width = noise_image(tiles, CONFIG).shape[:2]
        assert tile_count(choose_grid(width, height, CONFIG)) == tiles


def test_tiles_that_no_image_has_are_refused_with_those_that_are_possible() -> None:
    with pytest.raises(InputError, match="tiles is 2, expected one of 1, 3, 4, 5, 6, 7"):
        choose_tiles((1, 2), CONFIG)


@pytest.mark.parametrize(("most", "tiles"), [(1, (1,)), (2, (1, 3))])
def test_usual_tiles_are_those_that_the_checkpoint_knows(most: int, tiles: tuple[int, ...]) -> None:
    config = ModelConfig.from_dicts({}, {"max_sub_img": most})
    assert choose_tiles(None, config) == tiles
    assert choose_tiles(tiles[-1:], config) == tiles[-1:]


@given(st.integers(1, 64), st.integers(8, 300), st.integers(8, 300))
def test_boxes_are_regions_of_the_image_and_always_the_same(
    count: int, height: int, width: int
) -> None:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    found = random_boxes(count, image)
    assert len(region_masks(found, height, width)) == count
    assert found == random_boxes(count, image)


def test_an_image_is_always_the_same() -> None:
    config = tiny_config()
    assert np.array_equal(noise_image(3, config), noise_image(3, config))
