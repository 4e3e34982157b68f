"""The page and the picture of the architecture name what is there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
PICTURE = (REPOSITORY / "docs" / "architecture.svg").read_text()
PACKAGE = REPOSITORY / "perceptiondlm_ros"


def rooms() -> set[Path]:
    """The folders of code; those of `offline` and `development` are their own matter."""
    parts = [path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    inner = [
        path
        for part in (PACKAGE / "ros", PACKAGE / "runtime")
        for path in part.iterdir()
        if (path / "__init__.py").exists()
    ]
    return {*parts, *inner, REPOSITORY / "export"} - {PACKAGE / "ros"}


def test_every_file_that_the_page_names_is_there() -> None:
    names = re.findall(r"`([a-z_]+/[^`]*)`", PAGE)
    assert len(names) > 30
    assert [name for name in names if not (REPOSITORY / name).exists()] == []


def test_every_room_is_on_the_page_and_in_the_picture() -> None:
    table = PAGE.partition("## Rooms")[2]
    assert set(re.findall(r"^\| `([^`]+)` ", table, re.MULTILINE)) == {
        f"{path.relative_to(REPOSITORY)}/" for path in rooms()
    }
    drawn = set(re.findall(r">([a-z_]+/)</text>", PICTURE))
    assert drawn == {f"{path.name}/" for path in rooms()} | {"ros/"}


def test_the_way_of_a_frame_is_written_down_with_ten_files_at_most() -> None:
    way = PAGE.partition("## The way of a frame")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \d+ \|.*", way, re.MULTILINE)
    files = [re.findall(r"`perceptiondlm_ros/[^`]+\.py`", row) for row in rows]
    assert 5 <= len(files) <= 10 and all(len(named) == 1 for named in files)
