"""Whatever bytes of a bag are damaged: it is captioned, or one error says what is wrong."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bag_support import caption, contents, held, scene, write_bag, write_mcap
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from rosbags.rosbag2 import StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[StoragePlugin, Path]:
    folder = tmp_path_factory.mktemp("bags")
    return {kind: write_bag(folder / kind.name, scene(2), kind) for kind in StoragePlugin}


@given(
    kind=st.sampled_from(StoragePlugin),
    in_metadata=st.booleans(),
    where=st.floats(0, 1),
    bytes_=st.binary(min_size=1, max_size=8),
    cut=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_damage_is_an_error_of_our_own_or_does_no_harm(
    bags: dict[StoragePlugin, Path],
    kind: StoragePlugin,
    in_metadata: bool,
    where: float,
    bytes_: bytes,
    cut: bool,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "in")
        shutil.copytree(bags[kind], source)
        (file,) = source.glob("*.yaml" if in_metadata else "*.[md]*[!l]")
        data = bytearray(file.read_bytes())
        place = int(where * (len(data) - 1))
        data[place : None if cut else place + len(bytes_)] = bytes_
        file.write_bytes(data)
        output = Path(name, "out")
        try:
            caption(source, output)
        except InputError:
            assert not output.exists()
        else:
            assert contents(output).described


def damages(whole: bytes, first: int, end: int, step: int) -> Iterator[bytes]:
    """One byte each is another one; which value it gets goes round with its place."""
    for place in range(first, min(end, len(whole)), step):
        byte = whole[place]
        values = (0, 0xFF, byte ^ 1, byte ^ 0x80, ord(" "), ord(":"))
        data = bytearray(whole)
        data[place] = values[place // step % len(values)]
        yield bytes(data)


def refused(file: Path, first: int, end: int, step: int) -> int:
    """Of so many damages of a file none changes what is held; those that are errors."""
    source = file if file.suffix == ".mcap" else file.parent
    whole, expected, number = file.read_bytes(), held(source), 0
    for damaged in damages(whole, first, end, step):
        file.write_bytes(damaged)
        try:
            assert held(source) == expected, damaged.decode(errors="replace")
        except InputError:
            number += 1
    file.write_bytes(whole)
    return number


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4])
def test_a_damaged_mcap_file_is_an_error_or_does_no_harm(
    compression: CompressionType, tmp_path: Path
) -> None:
    file = write_mcap(tmp_path / "in.mcap", scene(3), compression=compression)
    assert refused(file, 60, file.stat().st_size, 37) > 10


@pytest.mark.parametrize("kind", StoragePlugin)
def test_no_damage_of_metadata_gets_into_a_new_bag(
    bags: dict[StoragePlugin, Path], kind: StoragePlugin, tmp_path: Path
) -> None:
    file = shutil.copytree(bags[kind], tmp_path / "in") / "metadata.yaml"
    size = file.stat().st_size
    assert refused(file, 0, size, 5) > size // 10


def test_a_damaged_database_is_an_error_or_does_no_harm(
    bags: dict[StoragePlugin, Path], tmp_path: Path
) -> None:
    """Its header and schema, and then samples of everything."""
    source = shutil.copytree(bags[StoragePlugin.SQLITE3], tmp_path / "in")
    file = source / f"{bags[StoragePlugin.SQLITE3].name}.db3"
    assert refused(file, 0, 4096, 17) > 20
    whole = file.read_bytes()
    for damaged in damages(whole, 4096, len(whole), 331):
        file.write_bytes(damaged)
        for partial in (False, True):
            try:
                with BagReader(source, partial) as bag:
                    assert len(list(bag.messages())) == bag.count()
            except InputError:
                continue
