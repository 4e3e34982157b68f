"""What callers give: either brought into the one form, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny_checkpoint import picture, rectangle

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.processing.boundary import check_count, check_image, check_regions
from perceptiondlm_ros.processing.regions import Region

HEIGHT, WIDTH = 6, 9

anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.lists(st.integers() | st.floats() | st.text(max_size=2), max_size=5)
    | st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=4)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)
any_array = hnp.arrays(
    dtype=st.one_of(
        hnp.boolean_dtypes(),
        hnp.unsigned_integer_dtypes(),
        hnp.integer_dtypes(),
        hnp.floating_dtypes(),
        hnp.complex_number_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.unicode_string_dtypes(max_len=3),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7),
)
image_like = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=7))


class TestImage:
    def test_rgb_stays_as_it_is(self) -> None:
        image = picture(4, 5)
        np.testing.assert_array_equal(check_image(image), image)

    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
    def test_grey_is_repeated(self, shape: tuple[int, ...]) -> None:
        grey = picture(4, 5)[:, :, 0]
        expected = np.stack([grey, grey, grey], axis=2)
        np.testing.assert_array_equal(check_image(grey.reshape(shape)), expected)

    def test_alpha_is_left_out(self) -> None:
        rgba = np.dstack([picture(4, 5), np.full((4, 5), 7, np.uint8)])
        np.testing.assert_array_equal(check_image(rgba), rgba[:, :, :3])

    def test_views_of_other_memory_order_are_fine(self) -> None:
        flipped = picture(4, 5)[::-1, ::-1, ::-1]
        result = check_image(flipped)
        np.testing.assert_array_equal(result, flipped)
        assert result.flags.c_contiguous

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            ([[0, 1]], "image is a list, .*numpy.asarray"),
            (None, "image is a NoneType"),
            (np.zeros((4, 5, 3)), "image has dtype float64, .*0..255"),
            (np.zeros((4, 5, 3), bool), "image has dtype bool"),
            (np.zeros((4, 5, 2), np.uint8), r"image has shape \[4, 5, 2\]"),
            (np.zeros((1, 4, 5, 3), np.uint8), r"image has shape \[1, 4, 5, 3\]"),
            (np.zeros((0, 5, 3), np.uint8), r"image has shape \[0, 5, 3\], .*1 to"),
            (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "image has shape .*pixels"),
        ],
    )
    def test_other_inputs_are_refused(self, image: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            check_image(image)

    @settings(max_examples=200)
    @given(image=anything | any_array | image_like)
    def test_anything_is_rgb_afterwards_or_refused_by_name(self, image: Any) -> None:
        result, refusal = np.empty(0), ""
        try:
            result = check_image(image)
        except InputError as error:
            refusal = str(error)
        if refusal:
            assert refusal.startswith("image ") and "expected" in refusal
        else:
            assert result.dtype == np.uint8 and result.shape == (*image.shape[:2], 3)
            assert result.size > 0


class TestRegions:
    def test_masks_and_boxes_mixed(self) -> None:
        mask = rectangle(HEIGHT, WIDTH, (1, 2, 3, 4))
        of_mask, *boxes = check_regions([mask, (1, 2, 3, 4), [1.0, 2.0, 3.0, 4.0]], HEIGHT, WIDTH)
        assert boxes == [Region((1, 2, 3, 4))] * 2
        assert of_mask.box == (1, 2, 3, 4) and of_mask.inside is not None and of_mask.inside.all()

    def test_arrays_of_masks_and_of_boxes(self) -> None:
        mask = rectangle(HEIGHT, WIDTH, (1, 2, 3, 4))
        for regions in (np.stack([mask, mask]), np.array([[1, 2, 3, 4]] * 2, np.uint16)):
            found = check_regions(regions, HEIGHT, WIDTH)
            assert [region.box for region in found] == [(1, 2, 3, 4)] * 2

    @pytest.mark.parametrize("regions", [[], (), np.zeros((0, 4))])
    def test_none(self, regions: Any) -> None:
        assert check_regions(regions, HEIGHT, WIDTH) == []

    @pytest.mark.parametrize(
        "box", [(-3, -3, 4, 4), (-1e300, -1e300, 4, 4), (-0.5, -0.5, 3.5, 3.5)]
    )
    def test_boxes_are_cut_off_at_the_image(self, box: tuple[float, ...]) -> None:
        assert check_regions([box], HEIGHT, WIDTH) == [Region((0, 0, 4, 4))]

    @pytest.mark.parametrize(
        ("region", "message"),
        [
            ((5, 1, 5, 4), "expected .* with x0 < x1 and y0 < y1"),
            ((5, 1, 2, 4), "expected .* with x0 < x1 and y0 < y1"),
            ((1, math.nan, 2, 4), "expected four finite numbers"),
            ((1, 1, math.inf, 4), "expected four finite numbers"),
            ((20, 1, 30, 4), "covers no pixel of the 9 x 6 image"),
            ((-5, -5, 0, 0), "covers no pixel of the 9 x 6 image"),
            (np.zeros((HEIGHT, WIDTH), bool), "covers no pixel"),
            (np.ones((WIDTH, HEIGHT), bool), r"mask of shape \[9, 6\], expected .*\[6, 9\]"),
            (np.ones((HEIGHT, WIDTH), np.uint8), "dtype uint8, expected a boolean mask"),
            ((1, 2, 3), "expected a boolean mask .* or a box of four numbers"),
            ([[1, 2], [3]], "expected a boolean mask"),
            ("abcd", "expected a boolean mask"),
            (None, "expected a boolean mask"),
            ((True, True, True, True), "expected a boolean mask"),
        ],
        ids=str,
    )
    def test_a_region_that_cannot_be_used_is_named(self, region: Any, message: str) -> None:
        with pytest.raises(InputError, match=rf"regions\[1\] .*{message}"):
            check_regions([(1, 1, 3, 3), region], HEIGHT, WIDTH)

    @pytest.mark.parametrize("regions", ["box", b"box", 5, None, {}, {1, 2}, np.array(5), iter([])])
    def test_what_is_no_sequence(self, regions: Any) -> None:
        with pytest.raises(InputError, match=r"regions is a .*, expected a sequence"):
            check_regions(regions, HEIGHT, WIDTH)

    def test_a_single_box_instead_of_a_list_of_boxes(self) -> None:
        with pytest.raises(InputError, match=r"regions\[0\] .*expected a boolean mask"):
            check_regions((1, 2, 3, 4), HEIGHT, WIDTH)

    def test_a_region_that_numpy_cannot_read(self) -> None:
        class Unreadable:
            def __array__(self, *_: Any, **__: Any) -> np.ndarray:
                raise TypeError("still on a GPU")

        with pytest.raises(InputError, match=r"regions\[0\]"):
            check_regions([Unreadable()], HEIGHT, WIDTH)

    numbers = st.floats() | st.integers(-20, 20)

    @settings(max_examples=300)
    @given(
        regions=anything
        | any_array
        | st.lists(
            anything
            | any_array
            | hnp.arrays(np.bool_, (HEIGHT, WIDTH))
            | st.tuples(numbers, numbers, numbers, numbers),
            max_size=3,
        )
    )
    def test_anything_is_regions_afterwards_or_refused_by_name(self, regions: Any) -> None:
        found, refusal = [], ""
        try:
            found = check_regions(regions, HEIGHT, WIDTH)
        except InputError as error:
            refusal = str(error)
        if refusal:
            assert refusal.startswith("regions") and "expected" in refusal
        else:
            assert len(found) == len(regions)
            for region in found:
                x0, y0, x1, y1 = region.box
                assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT and region.area > 0


class TestCount:
    @pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7)])
    def test_whole_numbers(self, value: Any) -> None:
        assert check_count("steps", value, 7) == int(value)

    @settings(max_examples=60)
    @given(value=anything.filter(lambda v: isinstance(v, bool) or v not in range(1, 8)) | any_array)
    def test_anything_else_is_refused_by_name(self, value: Any) -> None:
        with pytest.raises(InputError, match=r"(?s)steps is .*expected a whole number from 1 to 7"):
            check_count("steps", value, 7)

    @pytest.mark.parametrize("value", [0, -1, 8, True, np.True_, 1.0, "1", None, math.nan])
    def test_close_misses_are_refused(self, value: Any) -> None:
        with pytest.raises(InputError, match="steps is "):
            check_count("steps", value, 7)
