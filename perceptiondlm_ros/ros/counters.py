"""Counts of everything that went through the node or got lost in it."""

from dataclasses import dataclass


@dataclass
class Counters:
    """Each field is written by one thread only: the executor's, or, where it says so, the worker's.

    What is lost is counted by its cause, so that `detections` equals the sum of all that became of
    them once nothing is pending or in work.
    """

    images: int = 0
    detections: int = 0  # messages, as everywhere below unless regions are named
    matched_exact: int = 0
    matched_nearest: int = 0
    unmatched: int = 0  # no image within the tolerance
    replaced: int = 0  # a newer frame came before the worker was free
    withdrawn: int = 0  # taken out of the queues by a deactivation or a clock jump
    unset_stamps: int = 0  # images and detections whose stamp is zero
    backward_stamps: int = 0  # images and detections older than the one before
    clock_jumps: int = 0  # backward by more than the streams can be out of order
    last_gap: float | None = None  # seconds from the last unmatched detections to the nearest image

    frames_captioned: int = 0  # worker
    frames_failed: int = 0  # worker: unreadable image or failed inference
    frames_discarded: int = 0  # worker: captioned after the node was deactivated
    regions_captioned: int = 0  # worker
    regions_dropped: int = 0  # worker
    last_error: str = ""  # worker
