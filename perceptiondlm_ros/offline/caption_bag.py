"""Captions a bag: everything that was in it, and the descriptions, in a new one.

Captions take long, so each is kept in a journal beside the new bag as soon as it is there; the bag
itself is put together at the end, under another name, and gets its own name when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.regions import RegionSettings
from perceptiondlm_ros.offline.bag import Bag
from perceptiondlm_ros.offline.definitions import typestore
from perceptiondlm_ros.offline.describing import Describer, Describes
from perceptiondlm_ros.offline.frames import Frames, MatchTally
from perceptiondlm_ros.offline.journal import Journal
from perceptiondlm_ros.offline.reading import Topics, choose_topics, opened
from perceptiondlm_ros.offline.writing import write_bag


@dataclass(frozen=True)
class Options:
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


@dataclass
class Summary:
    """What became of a bag. frames and regions are captioned ones, `resumed` of them earlier.

    lacking: what could not be read, a sentence each. notes: what else is to be told of the bag.
    low_bits: frames whose image of 16 bits is nearly black, by the lowest bits that it uses.
    foreign: topics that were copied as they are, since their messages are not ROS 2's.
    """

    storage: str = ""
    topics: Topics | None = None
    frames: int = 0
    regions: int = 0
    resumed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    low_bits: Counter[int] = field(default_factory=Counter)
    lacking: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    matching: MatchTally = field(default_factory=MatchTally)


class Progress(Protocol):
    """A bar for each step: gives what is called with the number of bytes or messages done."""

    def __call__(
        self, what: str, total: int
    ) -> AbstractContextManager[Callable[[int], object]]: ...


def no_progress(what: str, total: int) -> AbstractContextManager[Callable[[int], object]]:
    return nullcontext(lambda done: None)


def caption_bag(
    source: Path,
    output: Path,
    load: Callable[[], Describes],
    options: Options,
    progress: Progress = no_progress,
) -> Summary:
    """Caption the bag `source` into the new bag `output`.

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
    store = typestore()
    with progress("checking", _size(source)) as step:
        bag = opened(source, options.partial, step)
    with bag as reader:
        topics = _topics(reader, options)
        summary = Summary(reader.kind, topics, foreign=reader.foreign)
        summary.lacking, summary.notes = reader.lacking, reader.notes
        try:
            with _journal(partial, reader, source, topics, options) as journal:
                _caption(reader, topics, load, options, store, journal, summary, progress)
                whole = partial / output.name
                shutil.rmtree(whole, ignore_errors=True)  # of a run that was interrupted here
                described = journal.frames()
                with progress("writing", reader.message_count) as step:
                    write_bag(reader, whole, options.descriptions, described, store, step)
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


def _topics(reader: Bag, options: Options) -> Topics:
    try:
        return choose_topics(
            reader, options.image, options.detections, options.descriptions, options.masks
        )
    except InputError as error:
        raise InputError(f"{error}{_lost(reader)}") from error


def _lost(reader: Bag) -> str:
    """What may be why something is not in the bag."""
    return f". The bag is not whole: {'; '.join(reader.lacking)}" if reader.lacking else ""


def _journal(partial: Path, reader: Bag, source: Path, topics: Topics, options: Options) -> Journal:
    settings = asdict(options.regions)
    settings |= {name: sorted(value) for name, value in settings.items() if _is_set(value)}
    origin = {
        "bag": {
            "name": source.resolve().name,
            "messages": reader.message_count,
            "start": reader.start_time,
            "end": reader.end_time,
        },
        "topics": asdict(topics),
        "tolerance": options.tolerance,
        "regions": settings,
        "significant_bits": options.significant_bits,
        "prompt": options.prompt,
        "model": options.model,
    }
    return Journal(partial / "captions.jsonl", origin)


def _is_set(value: object) -> bool:
    return isinstance(value, (set, frozenset))


def _caption(
    reader: Bag,
    topics: Topics,
    load: Callable[[], Describes],
    options: Options,
    store: Typestore,
    journal: Journal,
    summary: Summary,
    progress: Progress,
) -> None:
    """Complete the journal, and sum it up."""
    total = sum(c.msgcount for c in reader.connections if c.topic in topics.read)
    describer: Describer | None = None
    tally = summary.matching
    summary.resumed = len(journal.numbers)
    with progress("reading", total) as step:
        frames = Frames(reader, topics, options.tolerance, store, tally, step)
    with progress("captioning", len(frames)) as step:
        for frame in frames.read(journal.numbers):
            if frame is not None:
                if describer is None:
                    describer = Describer(
                        load(), options.regions, options.prompt, store, options.significant_bits
                    )
                journal.add(describer.describe(frame))
            step(1)
    if not journal.numbers:
        raise InputError(_nothing_matched(topics, tally, options.tolerance) + _lost(reader))
    summary.frames = len(journal.numbers)
    summary.regions = journal.regions
    summary.dropped, summary.low_bits = journal.dropped, journal.low_bits


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
