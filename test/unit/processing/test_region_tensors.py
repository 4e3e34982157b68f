"""Regions as the model sees them, against slow and literal renderings of the description."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_checkpoint import rectangle, tiny_config

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing import region_tensors
from perceptiondlm_ros.processing.region_tensors import (
    box_mask,
    order_by_area,
    patch_mask,
    roi_matrix,
)
from perceptiondlm_ros.processing.tiles import Grid, cut, tile_count

CONFIG = tiny_config(image_size=256)  # 16 x 16 patches and 8 x 8 cells a tile
CORRECTED = dataclasses.replace(CONFIG, corrected_roi_replay=True)
GRIDS: list[Grid] = [(1, 1), (2, 1), (1, 3), (3, 2)]
HEIGHT, WIDTH = 90, 120
MASK = rectangle(HEIGHT, WIDTH, (17, 20, 103, 80))

boxes = st.tuples(
    st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, 60), st.integers(1, 60)
)


def region(box: tuple[int, int, int, int]) -> np.ndarray:
    x, y, width, height = box
    return rectangle(HEIGHT, WIDTH, (x, y, x + width, y + height))


class TestOrder:
    def test_largest_first(self) -> None:
        masks = [rectangle(9, 9, (0, 0, side, 1)) for side in (2, 5, 3)]
        assert order_by_area(masks) == [1, 2, 0]

    def test_of_equal_areas_the_later_first(self) -> None:
        masks = [rectangle(9, 9, (x, 0, x + 2, 2)) for x in range(4)]
        assert order_by_area([*masks, rectangle(9, 9, (0, 0, 9, 9))]) == [4, 3, 2, 1, 0]

    def test_nothing(self) -> None:
        assert order_by_area([]) == []


class TestPatchMask:
    @staticmethod
    def literal(mask: np.ndarray, slot: int, grid: Grid, config: ModelConfig) -> np.ndarray:
        """Draw, tile, normalise, average the channels, undo, round, compare, shrink."""
        drawn = np.full((*mask.shape, 3), 255, dtype=np.uint8)
        drawn[mask] = slot
        tiles = [np.asarray(tile) for tile in cut(Image.fromarray(drawn), grid, config.tile_size)]
        normalised = (np.stack(tiles).astype(np.float32) / 255 - 0.5) / 0.5
        values = np.round((normalised.mean(axis=3) * 0.5 + 0.5) * 255)
        active = torch.from_numpy((values != 255).astype(np.float32))
        side = config.patches_per_side
        return F.interpolate(active[:, None], size=(side, side), mode="nearest")[:, 0].numpy() > 0

    @settings(max_examples=40)
    @given(box=boxes, slot=st.integers(0, 15), grid=st.sampled_from(GRIDS))
    def test_as_described(self, box: tuple[int, int, int, int], slot: int, grid: Grid) -> None:
        mask = region(box)
        expected = self.literal(mask, slot, grid, CONFIG)
        np.testing.assert_array_equal(patch_mask(mask, slot, grid, CONFIG), expected)

    def test_shape(self) -> None:
        assert patch_mask(MASK, 3, (3, 2), CONFIG).shape == (7, 16, 16)

    def test_pixels_that_the_resize_touched_count(self) -> None:
        small = tiny_config()  # 4 x 4 patches of 16 pixels
        mask = rectangle(128, 128, (34, 0, 60, 128))
        # Halved, the patch's first pixel is made of columns 32 and 33, which are outside; but the
        # bicubic filter reaches further.
        active = patch_mask(mask, 0, (1, 1), small)[0]
        assert active[:, 1].all()
        nearest = np.asarray(Image.fromarray(mask).resize((64, 64), Image.Resampling.NEAREST))
        assert not nearest[:, 16].any()

    def test_only_the_first_pixel_of_a_patch_counts(self) -> None:
        small = tiny_config()
        inside_a_patch = rectangle(64, 64, (17, 17, 32, 32))
        assert not patch_mask(inside_a_patch, 0, (1, 1), small).any()
        first_pixel = rectangle(64, 64, (16, 32, 17, 33))
        active = patch_mask(first_pixel, 0, (1, 1), small)[0]
        assert np.argwhere(active).tolist() == [[2, 1]]

    def test_the_thumbnail_is_marked_too(self) -> None:
        active = patch_mask(np.ones((64, 128), bool), 0, (2, 1), CONFIG)
        assert active.shape == (3, 16, 16) and active.all()


def roi_align(
    features: np.ndarray, box: tuple[float, float, float, float], out: tuple[int, int]
) -> np.ndarray:
    """RoIAlign (aligned, 2 x 2 samples a bin), sample by sample: [rows, columns, D] features and
    x0, y0, x1, y1 in cells to [out rows * out columns, D].
    """
    rows, columns, depth = features.shape
    x0, y0, x1, y1 = (value - 0.5 for value in box)
    height, width = (y1 - y0) / out[0], (x1 - x0) / out[1]

    def sample(y: float, x: float) -> np.ndarray:
        if y < -1 or y > rows or x < -1 or x > columns:
            return np.zeros(depth)
        y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
        top, left = math.floor(y), math.floor(x)
        down, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        v, u = y - top, x - left
        upper = (1 - u) * features[top, left] + u * features[top, right]
        lower = (1 - u) * features[down, left] + u * features[down, right]
        return (1 - v) * upper + v * lower

    return np.stack(
        [
            np.mean(
                [
                    sample(y0 + (row + a) * height, x0 + (column + b) * width)
                    for a in (0.25, 0.75)
                    for b in (0.25, 0.75)
                ],
                axis=0,
            )
            for row in range(out[0])
            for column in range(out[1])
        ]
    )


class TestRoiMatrix:
    @staticmethod
    def tokens(grid: Grid) -> np.ndarray:
        """Visual tokens [T, C, D]."""
        return np.random.default_rng(0).normal(size=(tile_count(grid), 64, 3))

    @staticmethod
    def lay_out(tiles: np.ndarray, grid: Grid) -> np.ndarray:
        """Tiles [columns * rows, C, D] to a map [rows, columns, D]."""
        columns, rows = grid
        lines = [
            np.hstack([tile.reshape(8, 8, -1) for tile in tiles[row * columns :][:columns]])
            for row in range(rows)
        ]
        return np.vstack(lines)

    @staticmethod
    def box_in_cells(mask: np.ndarray, grid: Grid) -> tuple[float, float, float, float]:
        y, x = np.nonzero(mask)
        height, width = mask.shape
        across, down = 8 * grid[0] / width, 8 * grid[1] / height
        return x.min() * across, y.min() * down, x.max() * across, y.max() * down

    def replayed(self, mask: np.ndarray, grid: Grid, config: ModelConfig) -> np.ndarray:
        return roi_matrix(mask, grid, config) @ self.tokens(grid).reshape(-1, 3)

    @settings(max_examples=30)
    @given(box=boxes, grid=st.sampled_from(GRIDS), out=st.sampled_from([(2, 2), (4, 3), None]))
    def test_corrected_all_tiles_in_grid_order_box_scaled_once(
        self, box: tuple[int, int, int, int], grid: Grid, out: tuple[int, int] | None
    ) -> None:
        mask = region(box)
        config = dataclasses.replace(CORRECTED, roi_output_size=out)
        features = self.lay_out(self.tokens(grid)[: grid[0] * grid[1]], grid)
        expected = roi_align(features, self.box_in_cells(mask, grid), out or features.shape[:2])
        np.testing.assert_allclose(self.replayed(mask, grid, config), expected, atol=2e-4)

    @pytest.mark.parametrize("grid", GRIDS)
    def test_published_leaves_out_the_first_tile_and_scales_the_box_twice(self, grid: Grid) -> None:
        tiles = self.tokens(grid)
        features = self.lay_out(tiles if len(tiles) == 1 else tiles[1:], grid)
        box = self.box_in_cells(MASK, grid)
        x0, y0, x1, y1 = (value / 32 for value in box)
        expected = roi_align(features, (x0, y0, x1, y1), (2, 2))
        actual = self.replayed(MASK, grid, CONFIG)
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        assert np.abs(actual - roi_align(features, box, (2, 2))).max() > 0.1, "scaled once"

    @pytest.mark.parametrize("grid", GRIDS)
    def test_the_published_map_closes_with_the_thumbnail(
        self, grid: Grid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A box that is scaled twice never reaches the thumbnail's cells, so it is scaled once here.
        monkeypatch.setattr(region_tensors, "_FEATURE_STRIDE", 1)
        tiles = self.tokens(grid)
        features = self.lay_out(tiles if len(tiles) == 1 else tiles[1:], grid)
        whole = np.ones((HEIGHT, WIDTH), bool)
        expected = roi_align(features, self.box_in_cells(whole, grid), (2, 2))
        np.testing.assert_allclose(self.replayed(whole, grid, CONFIG), expected, atol=2e-4)

    def test_the_first_tile_has_no_part_and_the_corrected_map_no_thumbnail(self) -> None:
        whole = np.ones((HEIGHT, WIDTH), bool)
        published = roi_matrix(whole, (2, 1), CONFIG).reshape(-1, 3, 64)
        assert not published[:, 0].any()
        corrected = roi_matrix(whole, (2, 1), CORRECTED).reshape(-1, 3, 64)
        assert corrected[:, 0].any() and corrected[:, 1].any() and not corrected[:, 2].any()

    def test_the_box_ends_at_the_last_pixels_index(self) -> None:
        one_pixel = rectangle(8, 8, (3, 4, 4, 5))
        matrix = roi_matrix(one_pixel, (1, 1), CORRECTED)
        np.testing.assert_array_equal(matrix, np.repeat(matrix[:1], 4, axis=0))

    @pytest.mark.parametrize("config", [CONFIG, CORRECTED], ids=["published", "corrected"])
    def test_no_output_size_is_the_whole_map(self, config: ModelConfig) -> None:
        free = dataclasses.replace(config, roi_output_size=None)
        assert roi_matrix(MASK, (3, 2), free).shape == (16 * 24, 7 * 64)

    @settings(max_examples=30)
    @given(box=boxes, grid=st.sampled_from(GRIDS))
    def test_each_roi_token_is_a_mean_of_visual_tokens(
        self, box: tuple[int, int, int, int], grid: Grid
    ) -> None:
        for config in (CONFIG, CORRECTED):
            matrix = roi_matrix(region(box), grid, config)
            assert matrix.dtype == np.float32 and matrix.min() >= 0
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)


class TestBoxMask:
    def test_all_pixels_that_the_box_touches(self) -> None:
        mask = box_mask((1.9, 2.0, 3.1, 4.0), 8, 8)
        assert np.argwhere(mask).tolist() == [[y, x] for y in (2, 3) for x in (1, 2, 3)]

    def test_what_reaches_outside_is_cut_off(self) -> None:
        assert box_mask((-50, -50, 50, 50), 4, 6).all()
        assert not box_mask((-50, -50, 0, 0), 4, 6).any()
        assert not box_mask((6, 0, 50, 4), 4, 6).any()
