"""The tile grid and the tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_checkpoint import picture, tiny_config

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.tiles import choose_grid, cut, image_tiles, tile_count

CONFIG = tiny_config()  # tiles of 64 x 64 pixels, 1 to 6 of them
SIZE = CONFIG.tile_size


def limited(least: int, most: int) -> ModelConfig:
    return ModelConfig.from_dicts({"image_size": 64}, {"min_sub_img": least, "max_sub_img": most})


@pytest.mark.parametrize(
    ("width", "height", "grid", "tiles"),
    [
        (1920, 1080, (2, 1), 3),
        (640, 480, (3, 2), 7),
        (480, 640, (2, 3), 7),
        (240, 500, (1, 2), 3),
        (10_000, 10, (6, 1), 7),
        (1, 100_000, (1, 6), 7),
        (1, 1, (1, 1), 1),
    ],
)
def test_the_grid_fits_the_images_shape(
    width: int, height: int, grid: tuple[int, int], tiles: int
) -> None:
    assert choose_grid(width, height, CONFIG) == grid
    assert tile_count(grid) == tiles


@pytest.mark.parametrize(("side", "grid"), [(90, (1, 1)), (91, (2, 2))])
def test_of_equal_grids_the_finer_wins_with_more_than_half_of_its_pixels(
    side: int, grid: tuple[int, int]
) -> None:
    assert (side**2 > 0.5 * SIZE**2 * 4) == (grid == (2, 2))
    assert choose_grid(side, side, CONFIG) == grid


def test_exactly_half_of_the_pixels_is_not_enough() -> None:
    config = ModelConfig.from_dicts({"image_size": 224}, {"min_sub_img": 24, "max_sub_img": 25})
    assert 3920 / 160 == 24.5, "24 and 25 columns are equally far"
    assert 3920 * 160 == 0.5 * 224**2 * 25
    assert choose_grid(3920, 160, config) == (24, 1)
    assert choose_grid(3969, 162, config) == (25, 1), "two lines more, of the same shape"


@pytest.mark.parametrize(("width", "height", "grid"), [(140, 80, (2, 1)), (175, 100, (3, 2))])
def test_grids_that_are_equally_far_on_both_sides_tie_too(
    width: int, height: int, grid: tuple[int, int]
) -> None:
    assert width / height == 1.75, "2.0 and 1.5 are equally far"
    assert choose_grid(width, height, CONFIG) == grid


@pytest.mark.parametrize("grid_limits", [(1, 1), (2, 3), (5, 5), (6, 12)])
def test_limits_are_kept(grid_limits: tuple[int, int]) -> None:
    least, most = grid_limits
    for width, height in [(100, 100), (900, 100), (100, 900), (400, 300)]:
        columns, rows = choose_grid(width, height, limited(least, most))
        assert least <= columns * rows <= most


def test_tiles_go_row_by_row_and_the_thumbnail_is_last() -> None:
    image = Image.fromarray(picture(100, 150))
    tiles = [np.asarray(tile) for tile in cut(image, (3, 2), SIZE)]
    whole = np.asarray(image.resize((3 * SIZE, 2 * SIZE), Image.Resampling.BICUBIC))
    assert len(tiles) == 7
    np.testing.assert_array_equal(np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:6])]), whole)
    np.testing.assert_array_equal(
        tiles[6], np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    )


def test_a_single_tile_has_no_thumbnail() -> None:
    assert len(list(cut(Image.fromarray(picture(50, 50)), (1, 1), SIZE))) == 1


def test_values_are_centred() -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51
    tiles = image_tiles(image, (1, 1), SIZE)
    assert tiles.shape == (1, 3, SIZE, SIZE) and tiles.dtype == np.float32
    np.testing.assert_allclose(tiles[0, :, 5, 7], [1, -1, -0.6], atol=1e-6)


@settings(max_examples=25)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_any_image_becomes_tiles(width: int, height: int) -> None:
    grid = choose_grid(width, height, CONFIG)
    tiles = image_tiles(picture(height, width), grid, SIZE)
    assert tiles.shape == (tile_count(grid), 3, SIZE, SIZE)
    assert np.abs(tiles).max() <= 1
