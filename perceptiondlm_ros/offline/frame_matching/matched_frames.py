"""The frames of a bag: its detections, each with the image that they were made from.

A bag is read twice: first for the stamps of its messages, then for the messages that belong
together, wherever in the bag they are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from rosbags.typesys.store import Typestore

from perceptiondlm_ros.offline.bag_reading.bag_reader import BagReader
from perceptiondlm_ros.offline.decoding import Decoder
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE
from perceptiondlm_ros.offline.frame_matching.indexed_topic import IndexedTopic, Unreadable
from perceptiondlm_ros.offline.topics import IMAGE_TYPES, Topics, connections_of

_NONE: Final = -1


@dataclass
class MatchTally:
    """What became of the images and detections of a bag; counts messages.

    unreadable: by topic; they are among `images` and `detections`, if not masks.
    last_gap: seconds from the last unmatched detections to the nearest image.
    """

    images: int = 0
    detections: int = 0
    matched_exact: int = 0
    matched_nearest: int = 0
    unmatched: int = 0
    masks_missing: int = 0
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    last_gap: float | None = None


@dataclass(frozen=True)
class MatchedFrame:
    """An image and its detections, as messages.

    number: of the detections among all of the bag, in reading order, from 0.
    log_ns: when all of it was there, by the clock of the recorder.
    """

    number: int
    log_ns: int
    detections: Any
    image: Any
    masks: Any = None


class MatchedFrames:
    """All frames of a bag, matched by stamp, in the order in which their detections were logged.

    Args:
        tolerance: largest difference between the stamps of an image and its detections, in seconds.
        step: called with 1 for each message that was read for its stamp.

    Raises:
        InputError: the bag is damaged, or its types are others.
    """

    def __init__(
        self,
        bag: BagReader,
        topics: Topics,
        tolerance: float,
        store: Typestore,
        step: Callable[[int], object] = lambda read: None,
    ) -> None:
        self.tally = MatchTally()
        decoder = Decoder(store)

        def indexed(topic: str, *types: str) -> IndexedTopic:
            return IndexedTopic(bag, connections_of(bag, topic, types, store), decoder)

        self._detections = indexed(topics.detections, DETECTIONS)
        self._images = indexed(topics.image, *IMAGE_TYPES)
        self._masks = indexed(topics.masks, IMAGE) if topics.masks else None
        self._index(bag, step)
        places = self._match(round(tolerance * 1e9))
        self._places = np.fromiter(places, np.dtype((np.int64, 3)))  # few bytes a frame

    def __len__(self) -> int:
        return len(self._places)

    def read(self, known: Container[int] = ()) -> Iterator[MatchedFrame]:
        """Each frame whose number is not known.

        Raises:
            InputError: the bag is damaged, or was changed meanwhile.
        """
        for number, image, masks in map(np.ndarray.tolist, self._places):
            if number not in known:
                yield self._frame(number, image, masks)

    def _frame(self, number: int, image: int, masks: int) -> MatchedFrame:
        found = [(self._detections, number), (self._images, image)]
        if self._masks and masks != _NONE:
            found.append((self._masks, masks))
        log_ns = max(topic.index.logs[place] for topic, place in found)
        return MatchedFrame(number, log_ns, *(topic.read(place) for topic, place in found))

    def _index(self, bag: BagReader, step: Callable[[int], object]) -> None:
        topics = [topic for topic in (self._detections, self._images, self._masks) if topic]
        connections = {c.id: c for topic in topics for c in topic.connections}
        for connection, message in bag.messages(connections.values()):
            for topic in topics:
                if connection in topic.connections:
                    topic.add(connection, message)
            step(1)
        for topic in topics:
            if topic.unreadable.count:
                self.tally.unreadable[topic.connections[0].topic] = topic.unreadable

    def _match(self, tolerance: int) -> Iterator[tuple[int, int, int]]:
        """Places of detections, their image and masks. tolerance: in ns."""
        detections, images, tally = self._detections.index, self._images.index, self.tally
        tally.detections, tally.images = len(detections.logs), len(images.logs)
        for number, (stamp, log_ns) in enumerate(
            zip(detections.stamps, detections.logs, strict=True)
        ):
            if not detections.is_readable(number):
                continue
            image = images.find(stamp, log_ns, tolerance)
            if image is None:
                tally.unmatched += 1
                tally.last_gap = images.gap(stamp)
                continue
            if images.stamps[image] == stamp:
                tally.matched_exact += 1
            else:
                tally.matched_nearest += 1
            masks = None
            if self._masks:
                masks = self._masks.index.find(stamp, log_ns, tolerance)
                tally.masks_missing += masks is None
            yield number, image, _NONE if masks is None else masks
