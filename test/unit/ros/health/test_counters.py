"""What is lost is counted and told by its cause."""

from __future__ import annotations

import dataclasses

from perceptiondlm_ros.ros.health.monitor import Counters

LOSSES = {
    *("unmatched", "replaced", "withdrawn", "frames_failed", "frames_discarded"),
    *("frames_late", "frames_skipped", "requests_refused", "regions_dropped"),
    *("unset_stamps", "backward_stamps", "masks_missing", "regions_unplaced"),
}


def test_each_loss_is_named_with_its_count_and_nothing_else_is() -> None:
    named = set()
    for field in dataclasses.fields(Counters):
        if field.name == "drop_reasons":
            continue  # says why of regions_dropped
        counters = Counters(**{field.name: 7})
        if counters.losses():
            named.add(field.name)
            assert counters.losses().startswith("7 ") and len(counters.losses().split()) >= 3
    assert named == LOSSES
    assert Counters().losses() == ""


def test_every_cause_has_its_count_also_where_nothing_was_lost() -> None:
    causes = Counters(replaced=3).by_cause()
    assert len(causes) == len(LOSSES) and sum(causes.values()) == 3
    assert causes["frames replaced by newer ones before they were looked at"] == 3


def test_reasons_of_drops_add_up_and_stay_few_whatever_comes() -> None:
    counters = Counters()
    for size in range(1000):
        counters.add_dropped({f"outside the {size}x480 image": 2, "of no or negative size": 1})
    assert counters.drop_reasons.total() == counters.regions_dropped == 3000
    assert counters.drop_reasons["of no or negative size"] == 1000
    assert counters.drop_reasons["for other reasons"] > 0
    assert len(counters.drop_reasons) <= 21


def test_causes_stand_in_one_line() -> None:
    line = Counters(replaced=3, backward_stamps=1).losses()
    assert "3 frames replaced by newer" in line and ", 1 messages older than" in line
