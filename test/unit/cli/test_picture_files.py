"""Pictures of every kind that a user may have, damaged ones included."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from perceptiondlm_ros.cli.picture_files import read_picture
from perceptiondlm_ros.cli.region_arguments import RegionArgument
from perceptiondlm_ros.errors import InputError

ROTATED = 6  # EXIF: turn by 90 degrees clockwise to show
ORIENTATION = 0x0112


def gradient() -> Image.Image:
    """Red to the right, green downwards; 8 x 6."""
    rows, columns = np.mgrid[:6, :8]
    pixels = np.stack([columns * 30, rows * 40, np.full_like(rows, 200)], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def read(image: Image.Image, path: Path, **options: object) -> np.ndarray:
    image.save(path, **options)
    return read_picture(path, []).image


def read_mask(mask: Image.Image, folder: Path, size: tuple[int, int] = (8, 6)) -> np.ndarray:
    Image.new("RGB", size).save(folder / "image.png")
    mask.save(folder / "mask.png")
    argument = RegionArgument(folder / "mask.png")
    (region,) = read_picture(folder / "image.png", [argument]).regions
    assert isinstance(region, np.ndarray) and region.dtype == np.bool_
    return region


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1"])
def test_every_common_mode_is_read_as_rgb_without_a_warning(
    mode: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    image = gradient().convert(mode)
    options = {"transparency": bytes(range(256))} if mode == "P" else {}
    found = read(image, tmp_path / "image.png", **options)
    assert not recwarn.list
    assert found.dtype == np.uint8 and found.shape == (6, 8, 3)
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@given(bits=st.integers(8, 15))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
def test_16_bit_grey_keeps_its_range_and_fewer_significant_bits_are_stretched(
    tmp_path: Path, bits: int
) -> None:
    full = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    path = tmp_path / "image.png"
    Image.fromarray(full >> (16 - bits)).save(path)
    stretched = read_picture(path, [], bits)
    assert not stretched.doubts
    expected = read(Image.fromarray(full), path)
    np.testing.assert_array_equal(expected[:, :, 1], np.rint(full / 257))
    assert np.abs(stretched.image.astype(int) - expected).max() <= (2 if bits == 8 else 1)
    with pytest.raises(InputError, match=f"numbers above {2**bits - 1}"):
        read_picture(path, [], bits)


@pytest.mark.parametrize("name", ["image.png", "image.tiff"])
def test_the_lowest_bits_of_16_bit_colours_are_told_as_they_cannot_be_read(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    colours = np.linspace(0, 65535, 144).astype(np.uint16).reshape(6, 8, 3)
    cv2.imwrite(str(path), colours)
    assert not read_picture(path, []).doubts
    cv2.imwrite(str(path), colours >> 4)
    (doubt,) = read_picture(path, []).doubts
    assert "use only the lowest 12 bits" in doubt
    assert not read_picture(path, [], 16).doubts
    with pytest.raises(InputError, match="only the upper 8 can be read"):
        read_picture(path, [], 12)


@pytest.mark.parametrize("value", [-1.0, 0.5, 70000.0])
def test_values_that_are_no_colours_are_refused(value: float, tmp_path: Path) -> None:
    dtype = np.float32 if value == 0.5 else np.int32
    with pytest.raises(InputError, match="expected 8 or 16 bits a channel"):
        read(Image.fromarray(np.full((6, 8), value, dtype)), tmp_path / "image.tiff")


def test_a_rotated_photograph_is_upright_and_masks_fit_it_as_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    found = read(gradient(), tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(found, np.rot90(np.asarray(gradient()), -1))
    Image.new("L", (6, 8), 255).save(tmp_path / "upright.png")
    Image.new("L", (8, 6), 255).save(tmp_path / "lying.png")
    read_picture(tmp_path / "image.png", [RegionArgument(tmp_path / "upright.png")])
    with pytest.raises(InputError, match=r"is 8 x 6 pixels, expected the image's 6 x 8"):
        read_picture(tmp_path / "image.png", [RegionArgument(tmp_path / "lying.png")])


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "I;16"])
def test_pixels_other_than_zero_are_the_region(mode: str, tmp_path: Path) -> None:
    wanted = np.zeros((6, 8), bool)
    wanted[1:3, 2:7] = True
    if mode in ("I;16", "L"):  # the faintest grey counts
        mask = Image.fromarray(wanted.astype(np.uint16 if mode == "I;16" else np.uint8))
    else:
        mask = Image.fromarray(wanted.astype(np.uint8) * 255).convert(mode)
    np.testing.assert_array_equal(read_mask(mask, tmp_path), wanted)
    with pytest.raises(InputError, match="has only pixels of 0"):
        read_mask(Image.new(mode, (8, 6)), tmp_path)


def test_palette_masks_go_by_colour_and_transparent_pixels_are_outside(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 6), 0)
    palette.putpalette([255, 255, 255, 0, 0, 0])  # white comes first, black second
    palette.putpixel((3, 2), 1)
    found = read_mask(palette, tmp_path)
    assert found.sum() == 47 and not found[2, 3]
    cut_out = Image.new("RGBA", (8, 6), (255, 255, 255, 0))
    cut_out.putpixel((3, 2), (255, 255, 255, 255))
    assert np.argwhere(read_mask(cut_out, tmp_path)).tolist() == [[2, 3]]


def test_missing_folder_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for name, says in [
        ("nothing.png", "nothing.png can't be read: No such file"),
        (".", "can't be read: Is a directory"),
        ("text.png", "text.png is no picture that Pillow can read"),
    ]:
        with pytest.raises(InputError, match=says):
            read_picture(tmp_path / name, [])


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A file of each format."""
    files = {}
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
        stream = io.BytesIO()
        gradient().resize((64, 48)).save(stream, kind)
        files[kind] = stream.getvalue()
    return files


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_by_name(
    data: st.DataObject, whole: dict[str, bytes], tmp_path: Path
) -> None:
    damaged = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    path = tmp_path / "damaged"
    path.write_bytes(damaged)
    try:
        image = read_picture(path, []).image
    except InputError as error:
        reason = str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        return
    assert str(path) in reason
