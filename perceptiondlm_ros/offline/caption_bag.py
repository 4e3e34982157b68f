"""Captions a bag: everything that was in it, and the descriptions, in a new one.

Captions take long, so each is kept in a journal beside the new bag as soon as it is there; the bag
itself is put together at the end, under another name, and gets its own name when it is whole.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rosbags.rosbag2 import Reader
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.regions import RegionSettings
from perceptiondlm_ros.offline.definitions import typestore
from perceptiondlm_ros.offline.describing import Describer, Describes
from perceptiondlm_ros.offline.frames import MatchTally, frames
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
    """

    image: str | None = None
    detections: str | None = None
    masks: str | None = None
    descriptions: str = "/region_captioner/descriptions"
    tolerance: float = 0.1
    regions: RegionSettings = field(default_factory=RegionSettings)
    prompt: str | None = None
    model: dict[str, Any] = field(default_factory=dict)


@dataclass
class Summary:
    """What became of a bag. frames and regions are captioned ones, `resumed` of them earlier."""

    storage: str = ""
    topics: Topics | None = None
    frames: int = 0
    regions: int = 0
    resumed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    matching: MatchTally = field(default_factory=MatchTally)


class Progress(Protocol):
    """A bar for each of the two steps: gives what is called with the number of things done."""

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
    if output.exists():
        raise InputError(f"output: {output} exists already; name another one, or remove it")
    partial = output.with_name(f"{output.name}.partial")
    store = typestore()
    with opened(source) as reader:
        topics = choose_topics(
            reader, options.image, options.detections, options.descriptions, options.masks
        )
        summary = Summary(topics=topics)
        try:
            with _journal(partial, reader, source, topics, options) as journal:
                _caption(reader, topics, load, options, store, journal, summary, progress)
                whole = partial / output.name
                shutil.rmtree(whole, ignore_errors=True)  # of a run that was interrupted here
                described = journal.frames.values()
                with progress("writing", reader.message_count) as step:
                    kind = write_bag(reader, whole, options.descriptions, described, store, step)
                summary.storage = kind.name.lower()
                whole.rename(output)
            shutil.rmtree(partial)
        except OSError as error:  # no space is left, or nothing may be written there
            raise InputError(f"output: {error}; what is captioned is kept in {partial}") from error
    return summary


def _journal(
    partial: Path, reader: Reader, source: Path, topics: Topics, options: Options
) -> Journal:
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
        "prompt": options.prompt,
        "model": options.model,
    }
    return Journal(partial / "captions.jsonl", origin)


def _is_set(value: object) -> bool:
    return isinstance(value, (set, frozenset))


def _caption(
    reader: Reader,
    topics: Topics,
    load: Callable[[], Describes],
    options: Options,
    store: Typestore,
    journal: Journal,
    summary: Summary,
    progress: Progress,
) -> None:
    """Complete the journal, and sum it up."""
    total = sum(c.msgcount for c in reader.connections if c.topic == topics.detections)
    describer: Describer | None = None
    tally = summary.matching
    summary.resumed = len(journal.frames)
    with progress("captioning", total) as step:
        for frame in frames(reader, topics, options.tolerance, store, tally):
            if frame.number not in journal.frames:
                if describer is None:
                    describer = Describer(load(), options.regions, options.prompt, store)
                journal.add(describer.describe(frame))
            step(1)
    if not journal.frames:
        raise InputError(_nothing_matched(topics, tally, options.tolerance))
    summary.frames = len(journal.frames)
    for described in journal.frames.values():
        summary.regions += described.regions
        summary.dropped += described.dropped


def _nothing_matched(topics: Topics, tally: MatchTally, tolerance: float) -> str:
    found = f"{tally.detections} messages on {topics.detections}, {tally.images} on {topics.image}"
    if tally.last_gap is None:
        return f"nothing to caption: {found}, and no stamps in common"
    return (
        f"nothing to caption: {found}, and the image nearest to the last detections is "
        f"{tally.last_gap:.3f} s away, above the tolerance of {tolerance:.3f} s; raise "
        "--tolerance, or name the topics that belong together"
    )
