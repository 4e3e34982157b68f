"""The files for RViz and Foxglove name topics that the node has, and hang together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from perceptiondlm_ros.ros.outputs.markers import CAPTIONS, OUTLINES

REPOSITORY = Path(__file__).resolve().parents[2]
LAYOUT = json.loads((REPOSITORY / "config" / "foxglove_layout.json").read_text("utf-8"))
RVIZ = yaml.safe_load((REPOSITORY / "config" / "perceptiondlm.rviz").read_text("utf-8"))
PANELS = LAYOUT["configById"]
OTHERS = {"/image", "/camera_info", "/diagnostics"}


def published() -> set[str]:
    """Every private topic that the node's outputs name."""
    sources = (REPOSITORY / "perceptiondlm_ros" / "ros" / "outputs").glob("*.py")
    names = {name for path in sources for name in re.findall(r'"~/([\w/]+)"', path.read_text())}
    assert {"descriptions", "annotated_image"} <= names
    names.add("annotated_image/compressed")  # beside the raw one
    return {f"/region_captioner/{name}" for name in names} | OTHERS


def strings(value: Any) -> Iterator[str]:
    """All keys and values of nested dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def panels(layout: Any) -> Iterator[str]:
    """The panels of a part of the layout, those in tabs included."""
    if isinstance(layout, dict):
        yield from panels(layout["first"])
        yield from panels(layout["second"])
        return
    yield layout
    for tab in PANELS[layout].get("tabs", []):
        yield from panels(tab["layout"])


@pytest.mark.parametrize("viewer", [LAYOUT, RVIZ], ids=["foxglove", "rviz"])
def test_its_topics_are_the_nodes(viewer: Any) -> None:
    topics = {text for text in strings(viewer) if text.startswith("/")}
    assert topics
    assert topics <= published()


def test_every_panel_of_foxglove_is_shown() -> None:
    assert sorted(panels(LAYOUT["layout"])) == sorted(PANELS)


def test_foxglove_shows_what_it_should() -> None:
    image = PANELS["Image!annotations"]["imageMode"]
    assert image["imageTopic"] == "/image"
    assert image["annotations"] == {"/region_captioner/image_annotations": {"visible": True}}
    raw = PANELS["RawMessages!descriptions"]
    assert raw["topicPath"] == "/region_captioner/descriptions"


def test_rviz_shows_the_image_the_markers_and_the_frames() -> None:
    displays = {
        item["Class"].rpartition("/")[2]: item for item in RVIZ["Visualization Manager"]["Displays"]
    }
    for name in ("Image", "MarkerArray", "TF"):
        assert displays[name]["Enabled"] and displays[name]["Value"]
    assert displays["Image"]["Topic"]["Value"].endswith("/annotated_image")
    assert displays["MarkerArray"]["Topic"]["Value"].endswith("/markers")
    names = set(displays["MarkerArray"]["Namespaces"])
    assert names == {CAPTIONS, OUTLINES}


def test_rviz_asks_for_what_the_node_offers() -> None:
    for display in RVIZ["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            assert display["Topic"]["Reliability Policy"] == "Reliable"
            assert display["Topic"]["Durability Policy"] == "Volatile"
