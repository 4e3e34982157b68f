"""The frames of a bag: its detections, each with the image that they were made from.

A bag is read twice: first for the stamps of its messages, then for the messages that belong
together, wherever in the bag they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rosbags.typesys.store import Typestore

from perceptiondlm_ros.offline.bag import Bag
from perceptiondlm_ros.offline.decoding import Decoder
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE
from perceptiondlm_ros.offline.indexed_topic import IndexedTopic, Unreadable
from perceptiondlm_ros.offline.reading import IMAGE_TYPES, Topics, check_types
from perceptiondlm_ros.offline.storage import CDR

_NONE: Final = -1


@dataclass
class MatchTally:
    """What became of the images and detections of a bag; counts messages.

    unreadable: by topic; they are among `images`, `detections` and `masks`.
    last_gap: seconds from the last unmatched detections to the nearest image.
    """

    images: int = 0
    detections: int = 0
    masks: int = 0
    matched_exact: int = 0
    matched_nearest: int = 0
    unmatched: int = 0
    masks_missing: int = 0
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    last_gap: float | None = None


@dataclass(frozen=True)
class Frame:
    """An image and its detections, as messages.

    number: of the detections among all of the bag, in reading order, from 0.
    log_ns: when all of it was there, by the clock of the recorder.
    """

    number: int
    detections: Any
    image: Any
    masks: Any = None
    log_ns: int = 0


class Frames:
    """All frames of a bag, matched by stamp, in the order in which their detections were logged.

    Args:
        tolerance: largest difference between the stamps of an image and its detections, in seconds.
        tally: where it is counted what became of the messages.
        step: called with 1 for each message that was read for its stamp.

    Raises:
        InputError: the bag is damaged, or its types are others.
    """

    def __init__(
        self,
        reader: Bag,
        topics: Topics,
        tolerance: float,
        store: Typestore,
        tally: MatchTally,
        step: Callable[[int], object] = lambda read: None,
    ) -> None:
        decoder = Decoder(store)

        def indexed(topic: str, *types: str) -> IndexedTopic:
            chosen = [
                connection
                for connection in reader.connections
                if connection.topic == topic
                and connection.encoding == CDR
                and connection.msgtype in types
            ]
            check_types(chosen, store)
            return IndexedTopic(reader, chosen, decoder)

        self._detections = indexed(topics.detections, DETECTIONS)
        self._images = indexed(topics.image, *IMAGE_TYPES)
        self._masks = indexed(topics.masks, IMAGE) if topics.masks else None
        self._index(reader, step, tally)
        self._numbers = array("q")
        self._of_image = array("q")
        self._of_masks = array("q")
        self._match(round(tolerance * 1e9), tally)

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, known: Container[int] = ()) -> Iterator[Frame | None]:
        """Each frame; None for those whose number is known, which are not read.

        Raises:
            InputError: the bag is damaged, or was changed meanwhile.
        """
        for number, image, masks in zip(self._numbers, self._of_image, self._of_masks, strict=True):
            yield None if number in known else self._frame(number, image, masks)

    def _frame(self, number: int, image: int, masks: int) -> Frame:
        log_ns = max(self._detections.index.logs[number], self._images.index.logs[image])
        ids = None
        if self._masks is not None and masks != _NONE:
            log_ns = max(log_ns, self._masks.index.logs[masks])
            ids = self._masks.read(masks)
        return Frame(number, self._detections.read(number), self._images.read(image), ids, log_ns)

    def _index(self, reader: Bag, step: Callable[[int], object], tally: MatchTally) -> None:
        parts = [part for part in (self._detections, self._images, self._masks) if part]
        connections = {c.id: c for part in parts for c in part.connections}
        for connection, record in reader.records(connections.values()):
            for part in parts:
                if connection in part.connections:
                    part.add(connection, record)
            step(1)
        for part in parts:
            if part.unreadable.count:
                tally.unreadable[part.connections[0].topic] = part.unreadable

    def _match(self, tolerance: int, tally: MatchTally) -> None:
        detections, images = self._detections.index, self._images.index
        tally.detections, tally.images = len(detections.logs), len(images.logs)
        tally.masks = len(self._masks.index.logs) if self._masks else 0
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
            if self._masks is not None:
                masks = self._masks.index.find(stamp, log_ns, tolerance)
                tally.masks_missing += masks is None
            self._numbers.append(number)
            self._of_image.append(image)
            self._of_masks.append(_NONE if masks is None else masks)
