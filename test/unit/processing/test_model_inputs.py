"""Groups of regions, and everything that a backend gets for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import picture, rectangles, tiny_config, tiny_tokenizer

from perceptiondlm_ros.model.contract import ModelInputs
from perceptiondlm_ros.processing.model_inputs import group_regions, prepare_inputs
from perceptiondlm_ros.processing.patch_masks import patch_masks
from perceptiondlm_ros.processing.regions import Region, order_by_area
from perceptiondlm_ros.processing.roi_matrices import roi_matrices

CONFIG = tiny_config()
HEIGHT, WIDTH = 60, 120
MASKS = [Region.of_mask(mask) for mask in rectangles(HEIGHT, WIDTH, 5)]


def inputs(groups: list[list[Region]]) -> ModelInputs:
    return prepare_inputs(
        picture(HEIGHT, WIDTH),
        groups,
        config=CONFIG,
        tokenizer=tiny_tokenizer(),
        prompt="what?",
        caption_tokens=4,
    )


@given(
    sides=st.lists(st.integers(1, 20), max_size=30),
    slots=st.integers(1, 7),
)
def test_groups_hold_every_region_once_are_even_and_sorted(sides: list[int], slots: int) -> None:
    regions = [Region((0, 0, side, 20)) for side in sides]
    groups = group_regions(regions, slots)
    assert sorted(index for group in groups for index in group) == list(range(len(regions)))
    assert len(groups) == -(-len(regions) // slots)
    lengths = [len(group) for group in groups]
    assert all(0 < length <= slots for length in lengths)
    assert not lengths or max(lengths) - min(lengths) <= 1
    order = order_by_area(regions)
    for group in groups:
        assert [order.index(index) for index in group] == sorted(map(order.index, group))


def test_no_regions_are_no_groups() -> None:
    assert group_regions([], 6) == []


def test_shapes_and_dtypes_of_the_contract() -> None:
    got = inputs([MASKS[:3], MASKS[3:]])
    length = got.layout.length
    shapes = {
        "tiles": ((3, 3, 64, 64), np.float32),
        "patch_masks": ((2, 3, 3, 4, 4), np.bool_),
        "roi_matrix": ((2, 3, 4, 12), np.float32),
        "token_ids": ((2, length), np.int64),
        "position_ids": ((2, length), np.int64),
        "real": ((2, length), np.bool_),
    }
    for name, (shape, dtype) in shapes.items():
        array = getattr(got, name)
        assert (array.shape, array.dtype) == (shape, dtype), name
    assert got.regions == (3, 2)


def test_each_region_has_its_slot_in_its_group() -> None:
    got = inputs([MASKS[:3], MASKS[3:]])
    (patches,) = patch_masks([MASKS[4]], [1], (HEIGHT, WIDTH), (2, 1), CONFIG)
    np.testing.assert_array_equal(got.patch_masks[1, 1], patches)
    (matrix,) = roi_matrices([MASKS[2]], (HEIGHT, WIDTH), (2, 1), CONFIG)
    np.testing.assert_array_equal(got.roi_matrix[0, 2], matrix)


def test_missing_regions_are_empty() -> None:
    got = inputs([MASKS[:3], MASKS[3:]])
    assert not got.patch_masks[1, 2].any() and not got.roi_matrix[1, 2].any()
    assert got.real[0].all() and not got.real[1].all()


@pytest.mark.parametrize("group", [0, 1])
def test_positions_are_counted_without_the_padding(group: int) -> None:
    got = inputs([MASKS[:3], MASKS[3:]])
    positions = got.position_ids[group][got.real[group]]
    np.testing.assert_array_equal(positions, np.arange(len(positions)))


def test_a_group_gets_the_same_padded_or_alone() -> None:
    padded, alone = inputs([MASKS[:3], MASKS[3:]]), inputs([MASKS[3:]])
    np.testing.assert_array_equal(padded.token_ids[1][padded.real[1]], alone.token_ids[0])
    np.testing.assert_array_equal(padded.patch_masks[1, :2], alone.patch_masks[0])
    np.testing.assert_array_equal(padded.roi_matrix[1, :2], alone.roi_matrix[0])
