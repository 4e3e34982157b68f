"""Finds and opens the files of a bag, compressed or not, whatever their names say that they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import zstandard

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.offline.bag_reading.mcap_reader import McapReader
from perceptiondlm_ros.offline.bag_reading.mcap_records import MAGIC as MCAP
from perceptiondlm_ros.offline.bag_reading.metadata import FILE, StatedBag
from perceptiondlm_ros.offline.bag_reading.sqlite_opening import beside
from perceptiondlm_ros.offline.bag_reading.sqlite_reader import MAGIC as SQLITE
from perceptiondlm_ros.offline.bag_reading.sqlite_reader import SqliteReader
from perceptiondlm_ros.offline.bag_reading.stored import ZSTD

StoredFile: TypeAlias = McapReader | SqliteReader
"""One file of a bag, open."""

PACKED: Final = ".zstd"
_SUFFIXES: Final = (".mcap", ".db3")
_MOST: Final = 1 << 22


def plain_name(name: str) -> str:
    """A file's name without the ending of a compressed one."""
    return name.removesuffix(PACKED)


def files_in(folder: Path) -> list[Path]:
    """All files in a folder that could be a bag's, by their names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and plain_name(path.name).endswith(_SUFFIXES)
    )


def choose_files(folder: Path, stated: StatedBag | None, lacking: list[str]) -> list[Path]:
    """The files to read: those that metadata.yaml lists, and others that it doesn't.

    lacking: gets a sentence for each that is missing, is not listed or is left out.
    """
    inside = {path.name: path for path in files_in(folder)}
    taken: dict[str, Path] = {}
    for name in stated.relative_file_paths if stated else ():
        twin = plain_name(name) if name.endswith(PACKED) else name + PACKED
        if plain_name(name) in taken:
            lacking.append(f"{FILE} lists {name} twice")
        elif (folder / name).exists():
            taken[plain_name(name)] = folder / name
        elif twin in inside:
            lacking.append(f"{name}: {FILE} lists it, and there is {twin} instead")
            taken[plain_name(name)] = inside[twin]
        else:
            lacking.append(f"{name}: {FILE} lists it, and it is missing")
    listed = set(taken)
    for name, path in inside.items():  # a name comes before that of its compressed twin
        if plain_name(name) not in taken:
            taken[plain_name(name)] = path
            if stated and path.stat().st_size:  # opening it tells that it is empty
                lacking.append(
                    f"{name}: it is in the folder, and {FILE} doesn't list it; "
                    f"`ros2 bag reindex {folder}` adds it"
                )
        elif taken[plain_name(name)] != path and plain_name(name) not in listed:
            lacking.append(
                f"{name}: it is left out, as {taken[plain_name(name)].name} is there too"
            )
    for log in sorted(folder.glob("*.db3-wal")):
        name = log.name.removesuffix("-wal")
        if log.stat().st_size and folder / name not in taken.values():
            lacking.append(f"{log.name}: it can't be read without {name}, which is not there")
    return list(taken.values())


def open_file(
    path: Path, stack: ExitStack, lacking: list[str], step: Callable[[int], object]
) -> tuple[StoredFile, bool]:
    """A file, which `stack` closes, and whether it is compressed as a whole.

    lacking: gets a sentence if compressed data is not whole.
    step: is called with the number of bytes of the file that were read.

    Raises:
        InputError: it is none of a bag, or nothing of it can be read.
    """
    name = path.name
    try:
        packed = _beginning(path).startswith(ZSTD)
        if packed:
            path = _unpacked(path, stack, lacking, step)
            step = _no_step  # the compressed bytes are counted already
        begin = _beginning(path)
        opened: StoredFile
        if begin.startswith(MCAP):
            opened = McapReader(path, name, step)
        elif begin == SQLITE or (not begin and beside(path, "-wal")):
            opened = SqliteReader(path, name)
            step(path.stat().st_size)
        else:
            raise InputError(f"{name}: {_no_bag(begin)}")
    except OSError as error:
        raise InputError(f"{name}: it can't be read: {error}") from error
    stack.callback(opened.close)
    return opened, packed


def _no_step(read: int) -> None:
    pass


def _unpacked(
    path: Path, stack: ExitStack, lacking: list[str], step: Callable[[int], object]
) -> Path:
    folder = stack.enter_context(TemporaryDirectory(prefix="bag-"))
    target = Path(folder, plain_name(path.name))
    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        with path.open("rb") as source, target.open("wb") as plain:
            while data := source.read(_MOST):
                plain.write(stream.decompress(data))
                step(len(data))
    except OSError as error:
        raise InputError(
            f"{path.name}: it can't be unpacked to {folder}: {error}; TMPDIR names another place"
        ) from error
    except zstandard.ZstdError as error:
        lacking.append(f"{path.name}: its compressed data is damaged ({error})")
        return target
    if not stream.eof:
        lacking.append(f"{path.name}: its compressed data ends too early: it was cut off")
    elif stream.unused_data:
        lacking.append(f"{path.name}: something that can't be read follows its compressed data")
    return target


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(SQLITE))


def _no_bag(begin: bytes) -> str:
    if not begin:
        return "it is empty"
    if begin.startswith(b"#ROSBAG"):
        return "it is a bag of ROS 1; convert it with rosbags-convert"
    return (
        f"it is neither MCAP nor SQLite: it begins with {begin[:8]!r} (another format, encrypted, "
        "or its beginning is damaged)"
    )
