"""RoIAlign as matrices, against a slow and literal rendering of the description."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regions_of_image import CONFIG, GRIDS, HEIGHT, MASK, WIDTH, boxes, region
from tiny_checkpoint import rectangle

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.roi_matrices import roi_matrices
from perceptiondlm_ros.processing.tiles import Grid, tile_count

CORRECTED = dataclasses.replace(CONFIG, corrected_roi_replay=True)


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

    @staticmethod
    def matrix(mask: np.ndarray, grid: Grid, config: ModelConfig) -> np.ndarray:
        height, width = mask.shape
        (matrix,) = roi_matrices([Region.of_mask(mask)], (height, width), grid, config)
        return matrix

    def replayed(self, mask: np.ndarray, grid: Grid, config: ModelConfig) -> np.ndarray:
        return self.matrix(mask, grid, config) @ self.tokens(grid).reshape(-1, 3)

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
        monkeypatch.setattr("perceptiondlm_ros.processing.roi_matrices._FEATURE_STRIDE", 1)
        tiles = self.tokens(grid)
        features = self.lay_out(tiles if len(tiles) == 1 else tiles[1:], grid)
        whole = np.ones((HEIGHT, WIDTH), bool)
        expected = roi_align(features, self.box_in_cells(whole, grid), (2, 2))
        np.testing.assert_allclose(self.replayed(whole, grid, CONFIG), expected, atol=2e-4)

    def test_the_first_tile_has_no_part_and_the_corrected_map_no_thumbnail(self) -> None:
        whole = np.ones((HEIGHT, WIDTH), bool)
        published = self.matrix(whole, (2, 1), CONFIG).reshape(-1, 3, 64)
        assert not published[:, 0].any()
        corrected = self.matrix(whole, (2, 1), CORRECTED).reshape(-1, 3, 64)
        assert corrected[:, 0].any() and corrected[:, 1].any() and not corrected[:, 2].any()

    def test_the_box_ends_at_the_last_pixels_index(self) -> None:
        one_pixel = rectangle(8, 8, (3, 4, 4, 5))
        matrix = self.matrix(one_pixel, (1, 1), CORRECTED)
        np.testing.assert_array_equal(matrix, np.repeat(matrix[:1], 4, axis=0))

    @pytest.mark.parametrize("config", [CONFIG, CORRECTED], ids=["published", "corrected"])
    def test_no_output_size_is_the_whole_map(self, config: ModelConfig) -> None:
        free = dataclasses.replace(config, roi_output_size=None)
        assert self.matrix(MASK, (3, 2), free).shape == (16 * 24, 7 * 64)

    @settings(max_examples=30)
    @given(box=boxes, grid=st.sampled_from(GRIDS))
    def test_each_roi_token_is_a_mean_of_visual_tokens(
        self, box: tuple[int, int, int, int], grid: Grid
    ) -> None:
        for config in (CONFIG, CORRECTED):
            matrix = self.matrix(region(box), grid, config)
            assert matrix.dtype == np.float32 and matrix.min() >= 0
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)

    @settings(max_examples=60)
    @given(box=boxes, grid=st.sampled_from(GRIDS))
    def test_a_box_gives_what_its_mask_gives(
        self, box: tuple[int, int, int, int], grid: Grid
    ) -> None:
        mask = region(box)
        x, y, width, height = box
        drawn = Region.of_box((x, y, x + width, y + height), HEIGHT, WIDTH)
        (matrix,) = roi_matrices([drawn], (HEIGHT, WIDTH), grid, CONFIG)
        np.testing.assert_array_equal(matrix, self.matrix(mask, grid, CONFIG))
