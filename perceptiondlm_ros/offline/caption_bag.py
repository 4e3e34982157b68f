"""Captions a bag: everything that was in it, and the descriptions, in a new one.

bag_reading opens the bag and checks all of it, topics chooses what to caption, frame_matching finds
the image of each detections message, frame_captioner captions it, and bag_writing writes the new
bag. Captions take long, so each is kept in a journal beside the new bag as soon as it is there; the
bag itself is put together at the end, under another name, and gets its own name when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.region_selection import RegionSettings
from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.bag_writing.bag_writer import write_bag
from perceptiondlm_ros.offline.definitions import typestore
from perceptiondlm_ros.offline.frame_captioner import BagCaptioner, FrameCaptioner
from perceptiondlm_ros.offline.frame_matching.matched_frames import MatchedFrames, MatchTally
from perceptiondlm_ros.offline.journal import Journal
from perceptiondlm_ros.offline.topics import Topics, choose_topics
from perceptiondlm_ros.terminal import Progress


@dataclass(frozen=True)
class BagOptions:
    """What to take of a bag, and how.

    image, detections: their topics; None: the only one of its type in the bag.
    masks: topic of instance-id images; None: boxes are captioned.
    descriptions: the topic that is added.
    tolerance: largest difference between the stamps of an image and its detections, in seconds.
    model: what the captions are made with, as JSON; a run goes on only with the same.
    significant_bits: of images of 16 bits, see `decode_image`.
    partial: take what can be read of a damaged or incomplete bag.
    """

    image: str | None = None
    detections: str | None = None
    masks: str | None = None
    descriptions: str = "/region_captioner/descriptions"
    tolerance: float = 0.1
    regions: RegionSettings = field(default_factory=RegionSettings)
    prompt: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    significant_bits: int = 0
    partial: bool = False


@dataclass(frozen=True)
class BagSummary:
    """What became of a bag.

    lacking: what could not be read, a sentence each. notes: what else is to be told of the bag.
    foreign: topics that were copied as they are, since their messages are not ROS 2's.
    frames: that have captions. resumed: of these, captioned earlier.
    regions: that have captions. dropped: others, by the reason.
    low_bits: frames whose image of 16 bits is nearly black, by the lowest bits that it uses.
    """

    storage: str
    lacking: list[str]
    notes: list[str]
    foreign: list[str]
    matching: MatchTally
    frames: int
    resumed: int
    regions: int
    dropped: Counter[str]
    low_bits: Counter[int]


def caption_bag(
    source: Path, output: Path, load: Callable[[], BagCaptioner], options: BagOptions
) -> BagSummary:
    """Caption the bag `source` into the new bag `output`, with its progress on stderr.

    Args:
        source: a bag's folder, or a single MCAP or SQLite file.
        output: the folder to make. What is not finished yet lies beside it, in `output`.partial; a
            later call goes on from there.
        load: makes the captioner; called only if something is left to caption.

    Raises:
        InputError: the bag, its topics or the output can't be used, or nothing in it matches.
        PerceptionDLMError: the model can't be loaded, or failed.
    """
    if os.path.lexists(output) or output.name == "..":
        raise InputError(f"output: {output} exists already; name another one, or remove it")
    partial = output.with_name(f"{output.name}.partial")
    with Progress("checking", _size(source), "bytes") as progress:
        bag = BagReader(source, options.partial, progress.advance)
    store = typestore()
    with bag:
        topics = choose_topics(
            bag, options.image, options.detections, options.descriptions, options.masks
        )
        try:
            with Journal(partial / "captions.db", _origin(bag, source, topics, options)) as journal:
                resumed = len(journal.numbers)
                with Progress("reading", bag.count(topics.read), "messages") as progress:
                    frames = MatchedFrames(bag, topics, options.tolerance, store, progress.advance)
                if left := len(frames) - resumed:
                    captioner = FrameCaptioner(
                        load(), options.regions, options.prompt, store, options.significant_bits
                    )
                    with Progress("captioning", left, "frames") as progress:
                        for frame in frames.read(journal.numbers):
                            journal.add(captioner.caption(frame))
                            progress.advance()
                if not journal.numbers:
                    told = _nothing_matched(topics, frames.tally, options.tolerance)
                    raise InputError(told + bag.losses)
                whole = partial / output.name
                shutil.rmtree(whole, ignore_errors=True)  # of a run that was interrupted here
                with Progress("writing", bag.count(), "messages") as progress:
                    captioned = journal.frames()
                    write_bag(bag, whole, options.descriptions, captioned, store, progress.advance)
                summary = BagSummary(
                    *(bag.kind, bag.lacking, bag.notes, bag.foreign, frames.tally),
                    *(len(journal.numbers), resumed, *journal.totals()),
                )
                whole.rename(output)
                journal.remove()
        except OSError as error:  # no space is left, or nothing may be written there
            kept = f"; what is captioned is kept in {partial}" if partial.exists() else ""
            raise InputError(f"output: {error}{kept}") from error
    return summary


def _size(path: Path) -> int:
    """Bytes of a bag; 0 where it can't be read, which opening it tells."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def _origin(bag: BagReader, source: Path, topics: Topics, options: BagOptions) -> dict[str, Any]:
    """What the captions are made from and with, as JSON."""
    regions = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in asdict(options.regions).items()
    }
    return {
        "bag": {
            "name": source.resolve().name,
            "messages": bag.count(),
            "start": bag.start_time,
            "end": bag.end_time,
        },
        "topics": asdict(topics),
        "tolerance": options.tolerance,
        "regions": regions,
        "significant_bits": options.significant_bits,
        "prompt": options.prompt,
        "model": options.model,
    }


def _nothing_matched(topics: Topics, tally: MatchTally, tolerance: float) -> str:
    found = f"{tally.detections} messages on {topics.detections}, {tally.images} on {topics.image}"
    lost = "".join(f"; {unread.told(topic)}" for topic, unread in tally.unreadable.items())
    if tally.last_gap is None:
        return f"nothing to caption: {found}, and no stamps in common{lost}"
    return (
        f"nothing to caption: {found}, and the image nearest to the last detections is "
        f"{tally.last_gap:.3f} s away, above the tolerance of {tolerance:.3f} s; raise "
        f"--tolerance, or name the topics that belong together{lost}"
    )
