"""Counts of everything that went through the node or got lost in it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# Reasons hold sizes, and a camera may send any number of those.
_REASONS_KEPT = 20
_OTHER_REASON = "for other reasons"


@dataclass
class Counters:
    """Written by `Monitor` alone.

    What is lost is counted by its cause, so that `detections` equals the sum of all that became of
    them once nothing is pending or in work.
    """

    images: int = 0
    masks: int = 0
    detections: int = 0  # messages, as everywhere below unless regions are named
    matched_exact: int = 0
    matched_nearest: int = 0
    unmatched: int = 0
    images_forgotten: int = 0  # of the unmatched: those that came when their image was gone
    masks_missing: int = 0  # frames that waited for theirs in vain
    images_of_low_bits: int = 0  # nearly black ones, see messages/bit_depth.py
    low_bits: int = 0  # of the last of these
    replaced: int = 0
    withdrawn: int = 0
    unset_stamps: int = 0
    backward_stamps: int = 0
    clock_jumps: int = 0  # backward by more than the streams can be out of order
    last_gap: float | None = None  # seconds from the last unmatched detections to the nearest image

    frames_captioned: int = 0  # those that had a pass of the model
    frames_reused: int = 0  # those published with captions of earlier frames alone
    frames_failed: int = 0
    frames_discarded: int = 0
    frames_skipped: int = 0  # waited for the model when a newer one came
    frames_late: int = 0  # older than one before them
    requests_served: int = 0
    requests_refused: int = 0
    regions_captioned: int = 0
    regions_reused: int = 0
    regions_dropped: int = 0
    regions_unplaced: int = 0  # captioned or waiting, but without a marker
    drop_reasons: Counter[str] = field(default_factory=Counter)  # in words → regions

    def add_dropped(self, reasons: Mapping[str, int]) -> None:
        """Count regions that get no caption, by the reason in words."""
        for reason, regions in reasons.items():
            known = reason in self.drop_reasons or len(self.drop_reasons) < _REASONS_KEPT
            self.drop_reasons[reason if known else _OTHER_REASON] += regions
            self.regions_dropped += regions

    def by_cause(self) -> dict[str, int]:
        """How often each cause, in words, lost something or put it out of order; 0 where never."""
        return {words: getattr(self, name) for name, words in _CAUSES.items()}

    def losses(self) -> str:
        """Every cause by which something was lost or out of order, in words; empty if none."""
        return ", ".join(f"{count} {words}" for words, count in self.by_cause().items() if count)


_CAUSES = {
    "unmatched": "detections without an image within the tolerance",
    "masks_missing": "frames without the masks that were wanted",
    "replaced": "frames replaced by newer ones before they were looked at",
    "frames_skipped": "frames replaced by newer ones before the model was free",
    "withdrawn": "detections withdrawn by a deactivation or a clock jump",
    "frames_failed": "frames with an unreadable image or a failed pass",
    "frames_discarded": "frames not published because the node was deactivated meanwhile",
    "frames_late": "frames older than one that came before them",
    "requests_refused": "requests to describe refused",
    "regions_dropped": "regions without a caption",
    "regions_unplaced": "regions without a marker, beyond what the lens shows",
    "unset_stamps": "messages without a stamp",
    "backward_stamps": "messages older than the one before",
}
