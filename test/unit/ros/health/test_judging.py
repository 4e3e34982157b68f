"""The table of what the node says about itself, and which of several troubles it tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perceptiondlm_ros.ros.health.faults import Failure, Level, OtherType
from perceptiondlm_ros.ros.health.judging import Condition, Input, Situation, judge
from perceptiondlm_ros.ros.health.status import Activity

IMAGES = Input("/camera/image", publishers=1, age=0.1)
FOUND = Input("/detections", publishers=1, age=0.1)
WELL = Situation(
    Activity.STREAMING, IMAGES, FOUND, matched=5, published_rate=2.13, published_age=0.4
)
OTHER = OtherType("/camera/image", "/camera", "a", "b")
DEAF = str(OTHER)
NO_MEMORY = Failure("MemoryError:", out_of_memory=True)


def images(**changes: object) -> dict[str, object]:
    return {"images": replace(IMAGES, **changes)}  # type: ignore[arg-type]


def found(**changes: object) -> dict[str, object]:
    return {"detections": replace(FOUND, **changes)}  # type: ignore[arg-type]


TABLE: list[tuple[dict[str, object], Level, Condition, str]] = [
    ({}, Level.OK, Condition.OK, "captioning, 2.1 frames a second are published"),
    (
        {"published_rate": 0.0, "published_age": 14.4},
        Level.OK,
        Condition.OK,
        "captioning, the last frame was published 14 s ago",
    ),
    (
        {"published_rate": 0.0, "published_age": None},
        Level.OK,
        Condition.STARTING,
        "images and detections arrive, no frame is captioned yet",
    ),
    (
        {"activity": Activity.UNCONFIGURED},
        Level.WARN,
        Condition.UNCONFIGURED,
        "unconfigured: the node waits for the transition configure",
    ),
    (
        {"activity": Activity.LOADING, "activity_for": 12.3, "detail": "/models/tiny"},
        Level.WARN,
        Condition.BUSY,
        "loading the checkpoint for 12 s (/models/tiny)",
    ),
    (
        {"activity": Activity.BUILDING, "activity_for": 95.0},
        Level.WARN,
        Condition.BUSY,
        "building the engine for 95 s",
    ),
    (
        {
            "activity": Activity.UNCONFIGURED,
            "failure": Failure("configure failed: CheckpointError: no config.json"),
        },
        Level.ERROR,
        Condition.TRANSITION_FAILED,
        "configure failed: CheckpointError: no config.json",
    ),
    (
        {"activity": Activity.UNCONFIGURED, "failure": NO_MEMORY},
        Level.ERROR,
        Condition.OUT_OF_MEMORY,
        "out of memory: MemoryError:; free memory on the device, lower max_regions, or load",
    ),
    (
        {"activity": Activity.INACTIVE},
        Level.WARN,
        Condition.INACTIVE,
        "inactive: the model is loaded",
    ),
    ({"activity": Activity.FINALIZED}, Level.STALE, Condition.FINALIZED, "shut down"),
    ({"activity": Activity.DISABLED}, Level.OK, Condition.DISABLED, "disabled by ~/enable"),
    (
        {"failure": Failure("RuntimeError: no kernel"), "failures": 1},
        Level.ERROR,
        Condition.FAILING,
        "captioning fails: RuntimeError: no kernel",
    ),
    (
        {"failure": Failure("RuntimeError: no kernel"), "failures": 7},
        Level.ERROR,
        Condition.FAILING,
        "captioning fails: RuntimeError: no kernel (7 times in a row)",
    ),
    (
        {"failure": NO_MEMORY, "failures": 1},
        Level.ERROR,
        Condition.OUT_OF_MEMORY,
        "out of memory: MemoryError:; free",
    ),
    (
        {"pass_for": 31.0, "pass_usual": 0.84},
        Level.ERROR,
        Condition.HANGING,
        "one pass runs for 31 s, 0.8 s are usual",
    ),
    ({"pass_for": 31.0, "pass_usual": 4.0}, Level.OK, Condition.OK, "captioning"),
    (
        images(age=None, publishers=0),
        Level.WARN,
        Condition.WAITING_FOR_IMAGES,
        "waiting for images: nobody publishes on /camera/image",
    ),
    (
        images(age=None, publishers=2),
        Level.WARN,
        Condition.WAITING_FOR_IMAGES,
        "waiting for images: 2 publishers have sent nothing on /camera/image",
    ),
    (
        images(age=None, publishers=0, elsewhere=("/a", "/b", "/c", "/d", "/e")),
        Level.WARN,
        Condition.WAITING_FOR_IMAGES,
        "waiting for images: nobody publishes on /camera/image; such messages are on /a, /b, /c "
        "and 2 more: remap one",
    ),
    (images(age=None, mismatches=(OTHER,)), Level.ERROR, Condition.INCOMPATIBLE, DEAF),
    (images(age=60.0, mismatches=(OTHER,)), Level.ERROR, Condition.INCOMPATIBLE, DEAF),
    (images(mismatches=(OTHER,)), Level.WARN, Condition.INCOMPATIBLE, DEAF),
    (
        images(age=12.2),
        Level.STALE,
        Condition.IMAGES_STOPPED,
        "no images on /camera/image for 12 s",
    ),
    (
        images(age=12.2, publishers=0),
        Level.STALE,
        Condition.IMAGES_STOPPED,
        "no images on /camera/image for 12 s, its publisher is gone",
    ),
    (
        found(age=None),
        Level.WARN,
        Condition.WAITING_FOR_DETECTIONS,
        "waiting for detections: 1 publisher has sent nothing on /detections",
    ),
    (found(age=7.0), Level.STALE, Condition.DETECTIONS_STOPPED, "no detections on /detections for"),
    (found(age=None, mismatches=(OTHER,)), Level.ERROR, Condition.INCOMPATIBLE, DEAF),
    (
        {"matched": 0, "unmatched": 4, "gap": 0.31, "tolerance": 0.1},
        Level.ERROR,
        Condition.UNMATCHED,
        "stamp gap 0.31 s above 0.10 s (matching.tolerance) between /detections and /camera/image",
    ),
    (
        {"matched": 0, "unmatched": 4, "gap": None},
        Level.ERROR,
        Condition.UNMATCHED,
        "detections on /detections match no image on /camera/image",
    ),
    (
        {"matched": 0, "unmatched": 4, "forgotten": 4, "gap": 1.7, "tolerance": 0.1},
        Level.ERROR,
        Condition.UNMATCHED,
        "detections on /detections come so late that their image is forgotten; raise",
    ),
    (
        {"masks": Input("/masks"), "masks_missing": 3},
        Level.WARN,
        Condition.MASKS_MISSING,
        "boxes are captioned for lack of masks: nobody publishes on /masks",
    ),
    (
        {"masks": Input("/masks", 1, age=0.1), "masks_missing": 3},
        Level.WARN,
        Condition.MASKS_MISSING,
        "boxes are captioned for lack of masks: those on /masks have other stamps than /detections",
    ),
    (
        {"masks": Input("/masks", 1, (OTHER,)), "masks_missing": 3},
        Level.WARN,
        Condition.MASKS_MISSING,
        f"boxes are captioned for lack of masks: {DEAF}",
    ),
    ({"masks": Input("/masks", 1, age=0.1)}, Level.OK, Condition.OK, "captioning"),
    ({"matched": 1, "unmatched": 4, "gap": 0.31}, Level.OK, Condition.OK, "captioning"),
    (
        {"dropped": "12 outside the 640x480 image"},
        Level.WARN,
        Condition.REGIONS_DROPPED,
        "no region is captioned: 12 outside the 640x480 image",
    ),
    (
        {"low_bits": 12},
        Level.WARN,
        Condition.LOW_BITS,
        "captions of /camera/image are doubtful: its 16-bit numbers use only the lowest 12 bits, "
        "so it is nearly black; set image.significant_bits:=12 or what the camera has, or "
        "image.significant_bits:=16 if the scene is that dark",
    ),
]


@pytest.mark.parametrize(("changes", "level", "condition", "reason"), TABLE)
def test_each_situation_has_its_level_and_reason(
    changes: dict[str, object], level: Level, condition: Condition, reason: str
) -> None:
    health = judge(replace(WELL, **changes))  # type: ignore[arg-type]
    assert (health.level, health.condition) == (level, condition)
    assert health.reason.startswith(reason)
    assert "\n" not in health.reason


def test_the_table_has_every_condition() -> None:
    assert {row[2] for row in TABLE} == set(Condition)


def test_errors_of_ours_bring_their_own_advice() -> None:
    ours = Failure("OutOfMemoryError: the GPU ran out of memory; use fewer", True, advises=True)
    assert judge(replace(WELL, failure=ours)).reason == f"out of memory: {ours.reason}"


# Each holds together with all that follow: the first on the way to a caption is told.
WORST_FIRST: list[tuple[dict[str, object], Condition]] = [
    ({"activity": Activity.LOADING}, Condition.BUSY),
    ({"failure": NO_MEMORY}, Condition.OUT_OF_MEMORY),
    ({"failure": Failure("broken")}, Condition.FAILING),
    ({"pass_for": 99.0}, Condition.HANGING),
    ({"activity": Activity.DISABLED}, Condition.DISABLED),
    (images(age=None), Condition.WAITING_FOR_IMAGES),
    (found(age=None), Condition.WAITING_FOR_DETECTIONS),
    ({"matched": 0, "unmatched": 1}, Condition.UNMATCHED),
    ({"masks": Input("/masks"), "masks_missing": 1}, Condition.MASKS_MISSING),
    ({"dropped": "1 of no size"}, Condition.REGIONS_DROPPED),
    (images(mismatches=(OTHER,)), Condition.INCOMPATIBLE),
]


@pytest.mark.parametrize("first", range(len(WORST_FIRST)))
def test_of_several_troubles_the_first_on_the_way_is_told(first: int) -> None:
    situation = WELL
    for changes, _ in reversed(WORST_FIRST[first:]):
        situation = replace(situation, **changes)  # type: ignore[arg-type]
    assert judge(situation).condition is WORST_FIRST[first][1]
