"""Patches that regions are marked on, against whole masks, drawn and resized."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from regions_of_image import CONFIG, GRIDS, MASK, boxes, region
from tiny_checkpoint import rectangle, tiny_config

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.processing.patch_masks import patch_masks
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.tiles import Grid, cut


def patch_mask(mask: np.ndarray, slot: int, grid: Grid, config: ModelConfig) -> np.ndarray:
    height, width = mask.shape
    (patches,) = patch_masks([Region.of_mask(mask)], [slot], (height, width), grid, config)
    return patches


def whole(mask: np.ndarray, slot: int, grid: Grid, config: ModelConfig) -> np.ndarray:
    """The whole mask resized, then one pixel of each patch taken."""
    image = Image.fromarray(np.where(mask, np.uint8(slot), np.uint8(255)))
    return np.stack([np.asarray(t)[::16, ::16] != 255 for t in cut(image, grid, config.tile_size)])


@st.composite
def regions(draw: st.DrawFn) -> list[tuple[np.ndarray, Region]]:
    """Masks of an image, and the regions that they are; boxes with any edges, and any masks."""
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        mask = np.zeros((height, width), dtype=bool)
        if draw(st.booleans()):
            x0, x1 = (draw(st.floats(-9, width + 9)) for _ in range(2))
            y0, y1 = (draw(st.floats(-9, height + 9)) for _ in range(2))
            mask[
                max(0, math.floor(y0)) : max(0, math.ceil(y1)),
                max(0, math.floor(x0)) : max(0, math.ceil(x1)),
            ] = True
            region = Region.of_box((x0, y0, x1, y1), height, width)
        else:
            noise = np.random.default_rng(draw(st.integers(0, 99))).random((height, width))
            mask = noise < draw(st.sampled_from([0.001, 0.1, 0.5, 0.99]))
            top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
            mask[:top] = mask[:, :left] = False
            region = Region.of_mask(mask)
        assert region.area == mask.sum()
        if region.area:
            found.append((mask, region))
    assume(found)
    return found


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

    @settings(max_examples=150)
    @given(
        drawn=regions(),
        slot=st.integers(0, 15),
        grid=st.sampled_from(GRIDS),
        side=st.sampled_from([64, 128]),
    )
    def test_every_region_gives_what_its_whole_mask_gives(
        self, drawn: list[tuple[np.ndarray, Region]], slot: int, grid: Grid, side: int
    ) -> None:
        config = tiny_config(image_size=side)
        masks, found = zip(*drawn, strict=True)
        got = patch_masks(
            found, [slot + i for i in range(len(found))], masks[0].shape, grid, config
        )
        for i, mask in enumerate(masks):
            np.testing.assert_array_equal(got[i], whole(mask, slot + i, grid, config))

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
