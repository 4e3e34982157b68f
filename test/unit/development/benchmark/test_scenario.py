import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import tiny_config

from perceptiondlm_ros.development.benchmark.scenario import boxes, image_size, picture
from perceptiondlm_ros.development.benchmark.sizes import SIZES, model_config, processor_config
from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.boundary import region_masks
from perceptiondlm_ros.processing.tiles import choose_grid, tile_count

CONFIG = ModelConfig.from_dicts(model_config(SIZES["small"]), processor_config())


@pytest.mark.parametrize(("tiles", "size"), [(1, (480, 480)), (3, (1280, 720)), (7, (640, 480))])
def test_usual_tiles_come_from_usual_cameras(tiles: int, size: tuple[int, int]) -> None:
    assert image_size(tiles, CONFIG) == size


@given(st.sampled_from((1, 3, 4, 5, 6, 7)))
def test_a_picture_is_cut_into_as_many_tiles_as_asked(tiles: int) -> None:
    height, width = picture(tiles, CONFIG).shape[:2]
    assert tile_count(choose_grid(width, height, CONFIG)) == tiles


@given(st.integers(1, 80).filter(lambda tiles: tiles not in (1, 3, 4, 5, 6, 7)))
def test_tiles_that_no_image_has_are_refused_with_those_that_are_possible(tiles: int) -> None:
    with pytest.raises(InputError, match=f"tiles is {tiles}, expected one of 1, 3, 4, 5, 6, 7"):
        image_size(tiles, CONFIG)


def test_another_checkpoint_has_other_tiles() -> None:
    config = ModelConfig.from_dicts({}, {"max_sub_img": 1})
    assert image_size(1, config)
    with pytest.raises(InputError, match="expected one of 1:"):
        image_size(3, config)


@given(st.integers(1, 64), st.integers(8, 300), st.integers(8, 300))
def test_boxes_are_regions_of_the_image_and_always_the_same(
    count: int, height: int, width: int
) -> None:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    found = boxes(count, image)
    assert len(region_masks(found, height, width)) == count
    assert found == boxes(count, image)


def test_a_picture_is_always_the_same() -> None:
    config = tiny_config()
    assert np.array_equal(picture(3, config), picture(3, config))
