"""Whatever bytes of a bag are damaged: it is captioned, or one error says what is wrong."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from bag_support import caption, contents, scene, write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from perceptiondlm_ros.errors import PerceptionDLMError

KINDS = (StoragePlugin.MCAP, StoragePlugin.SQLITE3)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[StoragePlugin, Path]:
    folder = tmp_path_factory.mktemp("bags")
    return {kind: write_bag(folder / kind.name, scene(2), kind) for kind in KINDS}


@pytest.mark.timeout(600)
@given(
    kind=st.sampled_from(KINDS),
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
        except PerceptionDLMError:
            assert not output.exists()
        else:
            assert contents(output).described


def test_a_compressed_bag_is_damaged_too(tmp_path: Path) -> None:
    source = write_bag(tmp_path / "in", scene(3), compression=CompressionMode.STORAGE)
    (file,) = source.glob("*.mcap")
    whole = file.read_bytes()
    for place in range(60, len(whole), 37):
        data = bytearray(whole)
        data[place] ^= 0xFF
        file.write_bytes(data)
        try:
            caption(source, tmp_path / f"out{place}")
        except PerceptionDLMError:
            assert not (tmp_path / f"out{place}").exists()
