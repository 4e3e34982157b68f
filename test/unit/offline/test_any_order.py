"""Whatever stamps and log times the messages of a bag have, each is accounted for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bag_support import (
    MS,
    FakeCaptioner,
    caption,
    contents,
    detections,
    image,
    serialized,
    write_bag,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.stamps import nanoseconds
from perceptiondlm_ros.offline.definitions import DETECTIONS, IMAGE

stamps = st.sampled_from([0, 1, 100, 133, 5000, 2**31 * 1000 - 1]) | st.integers(0, 2000)
messages = st.lists(
    st.tuples(st.sampled_from([IMAGE, DETECTIONS]), stamps, st.integers(0, 5000), st.booleans()),
    min_size=1,
    max_size=25,
)


def matched(source: Path, output: Path, passes: int) -> bool:
    """Caption it, interrupted after so many passes; whether there was anything to caption."""
    try:
        caption(source, output, FakeCaptioner(passes, KeyboardInterrupt()))
    except KeyboardInterrupt:
        caption(source, output)
    except InputError as error:
        if "nothing to caption" in str(error) or "no messages of" in str(error):
            return False
        raise
    return True


@settings(max_examples=50, deadline=None)
@given(sent=messages, storage=st.sampled_from(StoragePlugin), passes=st.integers(0, 5))
def test_each_is_accounted_for(
    sent: list[tuple[str, int, int, bool]], storage: StoragePlugin, passes: int
) -> None:
    """sent: type, stamp and log time in milliseconds, and whether the message is whole."""
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "in"), Path(name, "out")
        written = []
        for kind, stamp, log, whole in sent:
            is_image = kind == IMAGE
            message = image(stamp * MS) if is_image else detections(stamp * MS, [(2, 2, 12, 10)])
            data = serialized(kind, message)
            topic = "/image" if is_image else "/detections"
            written.append((topic, log * MS, kind, data if whole else data[:-1]))
        write_bag(source, written, storage)
        if not matched(source, output, passes):
            return
        described = contents(output).described
        summary = caption(source, Path(name, "again"))
        assert contents(Path(name, "again")).raw == contents(output).raw
        tally = summary.matching
        assert summary.frames == len(described) == tally.matched_exact + tally.matched_nearest
        lost = tally.unreadable.get("/detections")
        assert summary.frames + tally.unmatched + (lost.count if lost else 0) == tally.detections
        assert tally.detections == sum(kind == DETECTIONS for kind, *_ in sent)
        there = {stamp * MS for kind, stamp, _, whole in sent if kind == IMAGE and whole}
        for log_ns, message in described:
            assert nanoseconds(message.header.stamp) in there
            assert log_ns in {log * MS for *_, log, _ in sent}
