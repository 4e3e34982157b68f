"""The table of what the node says about itself, which of several troubles it tells, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perceptiondlm_ros.ros.health.diagnostics import Announcer
from perceptiondlm_ros.ros.health.faults import Failure, Level, other_type
from perceptiondlm_ros.ros.health.judging import Condition, Health, Input, Situation, judge
from perceptiondlm_ros.ros.health.status import Activity

IMAGES = Input("/camera/image", publishers=1, age=0.1)
FOUND = Input("/detections", publishers=1, age=0.1)
WELL = Situation(
    Activity.STREAMING, IMAGES, FOUND, matched=5, published_rate=2.13, published_age=0.4
)
OTHER = other_type("/camera/image", "/camera", "a", "b")
NO_MEMORY = Failure("MemoryError:", out_of_memory=True)


def images(**changes: object) -> dict[str, object]:
    return {"images": replace(IMAGES, **changes)}  # type: ignore[arg-type]


def found(**changes: object) -> dict[str, object]:
    return {"detections": replace(FOUND, **changes)}  # type: ignore[arg-type]


OK, WARN, ERROR, STALE = Level
TABLE: list[tuple[Level, Condition, dict[str, object], str]] = [
    (OK, Condition.OK, {}, "captioning, 2.1 frames a second are published"),
    (
        *(OK, Condition.OK, {"published_rate": 0.0, "published_age": 14.4}),
        "captioning, the last frame was published 14 s ago",
    ),
    (OK, Condition.OK, {"pass_for": 31.0, "pass_usual": 4.0}, "captioning"),
    (OK, Condition.OK, {"masks": Input("/masks", 1, age=0.1)}, "captioning"),
    (OK, Condition.OK, {"matched": 1, "unmatched": 4, "gap": 0.31}, "captioning"),
    (
        *(OK, Condition.STARTING, {"published_rate": 0.0, "published_age": None}),
        "images and detections arrive, no frame is captioned yet",
    ),
    (
        *(WARN, Condition.UNCONFIGURED, {"activity": Activity.UNCONFIGURED}),
        "unconfigured: the node waits for the transition configure",
    ),
    (
        *(WARN, Condition.BUSY),
        {"activity": Activity.LOADING, "activity_for": 12.3, "detail": "/models/tiny"},
        "loading the checkpoint for 12 s (/models/tiny)",
    ),
    (
        *(WARN, Condition.BUSY, {"activity": Activity.BUILDING, "activity_for": 95.0}),
        "building the engine for 95 s",
    ),
    (
        *(ERROR, Condition.TRANSITION_FAILED),
        {"activity": Activity.UNCONFIGURED, "failure": Failure("configure failed: no config")},
        "configure failed: no config",
    ),
    (
        *(ERROR, Condition.OUT_OF_MEMORY),
        {"activity": Activity.UNCONFIGURED, "failure": NO_MEMORY},
        "out of memory: MemoryError:; free memory on the device, lower max_regions, or load",
    ),
    (
        *(ERROR, Condition.OUT_OF_MEMORY, {"failure": NO_MEMORY, "failures": 1}),
        "out of memory: MemoryError:; free",
    ),
    (WARN, Condition.INACTIVE, {"activity": Activity.INACTIVE}, "inactive: the model is loaded"),
    (STALE, Condition.FINALIZED, {"activity": Activity.FINALIZED}, "shut down"),
    (OK, Condition.DISABLED, {"activity": Activity.DISABLED}, "disabled by ~/enable"),
    (
        *(ERROR, Condition.FAILING, {"failure": Failure("no kernel"), "failures": 1}),
        "captioning fails: no kernel",
    ),
    (
        *(ERROR, Condition.FAILING, {"failure": Failure("no kernel"), "failures": 7}),
        "captioning fails: no kernel (7 times in a row)",
    ),
    (
        *(ERROR, Condition.HANGING, {"pass_for": 31.0, "pass_usual": 0.84}),
        "one pass runs for 31 s, 0.8 s are usual",
    ),
    (
        *(WARN, Condition.WAITING_FOR_IMAGES, images(age=None, publishers=0)),
        "waiting for images: nobody publishes on /camera/image",
    ),
    (
        *(WARN, Condition.WAITING_FOR_IMAGES, images(age=None, publishers=2)),
        "waiting for images: 2 publishers have sent nothing on /camera/image",
    ),
    (
        *(WARN, Condition.WAITING_FOR_IMAGES),
        images(age=None, publishers=0, elsewhere=("/a", "/b", "/c", "/d", "/e")),
        "waiting for images: nobody publishes on /camera/image; such messages are on /a, /b, /c "
        "and 2 more: remap one",
    ),
    (ERROR, Condition.INCOMPATIBLE, images(age=None, mismatches=(OTHER,)), OTHER.line),
    (ERROR, Condition.INCOMPATIBLE, images(age=60.0, mismatches=(OTHER,)), OTHER.line),
    (ERROR, Condition.INCOMPATIBLE, found(age=None, mismatches=(OTHER,)), OTHER.line),
    (WARN, Condition.INCOMPATIBLE, images(mismatches=(OTHER,)), OTHER.line),
    (STALE, Condition.IMAGES_STOPPED, images(age=12.2), "no images on /camera/image for 12 s"),
    (
        *(STALE, Condition.IMAGES_STOPPED, images(age=12.2, publishers=0)),
        "no images on /camera/image for 12 s, its publisher is gone",
    ),
    (
        *(WARN, Condition.WAITING_FOR_DETECTIONS, found(age=None)),
        "waiting for detections: 1 publisher has sent nothing on /detections",
    ),
    (STALE, Condition.DETECTIONS_STOPPED, found(age=7.0), "no detections on /detections for"),
    (
        *(ERROR, Condition.UNMATCHED),
        {"matched": 0, "unmatched": 4, "gap": 0.31, "tolerance": 0.1},
        "stamp gap 0.31 s above 0.10 s (matching.tolerance) between /detections and /camera/image",
    ),
    (
        *(ERROR, Condition.UNMATCHED, {"matched": 0, "unmatched": 4, "gap": None}),
        "detections on /detections match no image on /camera/image",
    ),
    (
        *(ERROR, Condition.UNMATCHED),
        {"matched": 0, "unmatched": 4, "forgotten": 4, "gap": 1.7, "tolerance": 0.1},
        "detections on /detections come so late that their image is forgotten; raise",
    ),
    (
        *(WARN, Condition.MASKS_MISSING, {"masks": Input("/masks"), "masks_missing": 3}),
        "boxes are captioned for lack of masks: nobody publishes on /masks",
    ),
    (
        *(WARN, Condition.MASKS_MISSING),
        {"masks": Input("/masks", 1, age=0.1), "masks_missing": 3},
        "boxes are captioned for lack of masks: those on /masks have other stamps than /detections",
    ),
    (
        *(WARN, Condition.MASKS_MISSING),
        {"masks": Input("/masks", 1, (OTHER,)), "masks_missing": 3},
        f"boxes are captioned for lack of masks: {OTHER.line}",
    ),
    (
        *(WARN, Condition.REGIONS_DROPPED, {"dropped": "12 outside the 640x480 image"}),
        "no region is captioned: 12 outside the 640x480 image",
    ),
    (
        *(WARN, Condition.LOW_BITS, {"low_bits": 12}),
        "captions of /camera/image are doubtful: its 16-bit numbers use only the lowest 12 bits, "
        "so it is nearly black; set image.significant_bits:=12 or what the camera has, or "
        "image.significant_bits:=16 if the scene is that dark",
    ),
]


@pytest.mark.parametrize(("level", "condition", "changes", "reason"), TABLE)
def test_each_situation_has_its_level_and_reason(
    level: Level, condition: Condition, changes: dict[str, object], reason: str
) -> None:
    health = judge(replace(WELL, **changes))  # type: ignore[arg-type]
    assert (health.level, health.condition) == (level, condition)
    assert health.reason.startswith(reason)
    assert "\n" not in health.reason


def test_the_table_has_every_condition() -> None:
    assert {condition for _, condition, *_ in TABLE} == set(Condition)


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


# ---- when it is told ----

CAPTIONING = Health(Level.OK, Condition.OK, "captioning")
WAITING = Health(Level.WARN, Condition.WAITING_FOR_IMAGES, "waiting for images")
DEAF = Health(Level.ERROR, Condition.INCOMPATIBLE, "QoS incompatible")
STOPPED = Health(Level.STALE, Condition.IMAGES_STOPPED, "no images")
FAILING = Health(Level.ERROR, Condition.FAILING, "captioning failed")


class Announced:
    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []
        self.now = 0.0
        self.announcer = Announcer(lambda *line: self.lines.append(line), period=10.0)

    def see(self, health: Health, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.announcer.look(self.now, health)


def test_each_change_is_told_once_at_its_level() -> None:
    log = Announced()
    for health in (WAITING, DEAF, CAPTIONING, STOPPED, CAPTIONING):
        log.see(health, 20)
    assert log.lines == [
        (h.level, h.reason) for h in (WAITING, DEAF, CAPTIONING, STOPPED, CAPTIONING)
    ]


def test_flapping_is_told_once_a_period_and_what_stays_is_told_in_the_end() -> None:
    log = Announced()
    for _ in range(30):
        log.see(CAPTIONING)
        log.see(WAITING)
    assert 6 <= len(log.lines) <= 14
    log.see(CAPTIONING, 12)
    assert log.lines[-1] == (Level.OK, "captioning")


def test_what_others_have_told_is_not_told_again_but_its_end_is() -> None:
    log = Announced()
    log.see(CAPTIONING, 20)
    log.see(FAILING, 20)
    log.see(CAPTIONING, 20)
    assert log.lines == [(Level.OK, "captioning")] * 2


def test_a_long_step_is_told_after_ten_seconds_and_then_ever_less_often() -> None:
    log = Announced()
    for second in range(1, 101):
        busy = Health(Level.WARN, Condition.BUSY, f"building for {second} s")
        log.announcer.look(float(second), busy, float(second))
    assert [line for _, line in log.lines] == [f"building for {n} s" for n in (10, 20, 40, 80)]
    log.lines.clear()
    for second in range(1, 12):
        busy = Health(Level.WARN, Condition.BUSY, f"warming up for {second} s")
        log.announcer.look(200.0 + second, busy, float(second))
    assert [line for _, line in log.lines] == ["warming up for 10 s"], "a new step counts anew"
