"""Host memory that behaves like a GPU's where code gets that wrong: a stand-in, for tests only.

Work is queued on streams and runs when somebody waits, not before; memory has bounds, an end, and
an owner; a graph records work without doing it, and can't be launched once what it was captured
from has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

_FIRST_ADDRESS = 0x7F0000000000
_GAP = 4096


class FakeGpuError(Exception):
    """What a real device would report, or silently do wrong."""


@dataclass
class Work:
    """Something that a stream does.

    Attributes:
        run: called when its turn comes.
        addresses: memory that it touches.
        still_valid: asked when a graph with it is launched.
    """

    run: Callable[[], None]
    addresses: tuple[int, ...] = ()
    still_valid: Callable[[], bool] = lambda: True


@dataclass
class Stream:
    handle: int
    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None


class FakeGpu:
    """Args:
    memory: bytes in all.
    """

    def __init__(
        self,
        name: str = "Stand-in GPU",
        compute: tuple[int, int] = (8, 9),
        cuda: str = "12.6",
        memory: int = 8 * 2**30,
    ) -> None:
        self.name, self.compute, self.cuda, self.memory = name, compute, cuda, memory
        self.blocks: dict[int, np.ndarray] = {}
        self.streams: dict[int, Stream] = {}
        self.copies_to_host = self.copies_to_device = self.graph_launches = self.captures = 0
        self._next = _FIRST_ADDRESS

    @property
    def used(self) -> int:
        return sum(block.size for block in self.blocks.values())

    def allocate(self, count: int) -> int:
        """Memory with anything in it."""
        if count <= 0:
            raise FakeGpuError(f"{count} bytes were asked for")
        if self.used + count > self.memory:
            raise MemoryError(f"{count} bytes are more than is left")
        self._refuse_while_capturing("memory was allocated")
        address = self._next
        self._next += -(-(count + _GAP) // _GAP) * _GAP
        self.blocks[address] = np.full(count, 0xA5, dtype=np.uint8)
        return address

    def free(self, address: int) -> None:
        if address not in self.blocks:
            raise FakeGpuError(f"{address:#x} was freed and is no block")
        self._refuse_while_capturing("memory was freed")
        for stream in self.streams.values():
            if any(address in work.addresses for work in stream.queue):
                raise FakeGpuError(f"{address:#x} was freed while queued work uses it")
        del self.blocks[address]

    def view(self, address: int, count: int) -> np.ndarray:
        """uint8 [count] at the beginning of a block."""
        block = self.blocks.get(address)
        if block is None:
            raise FakeGpuError(f"{address:#x} is not (or no longer) allocated")
        if count > block.size:
            raise FakeGpuError(f"{count} bytes at {address:#x}, which has {block.size}")
        return block[:count]

    def create_stream(self) -> int:
        handle = 0x5000 + len(self.streams)
        self.streams[handle] = Stream(handle)
        return handle

    def stream(self, handle: int) -> Stream:
        if handle not in self.streams:
            raise FakeGpuError(f"{handle:#x} is no stream")
        return self.streams[handle]

    def destroy_stream(self, handle: int) -> None:
        if self.stream(handle).queue:
            raise FakeGpuError("a stream was destroyed with work on it")
        del self.streams[handle]

    def submit(self, handle: int, work: Work) -> None:
        stream = self.stream(handle)
        for address in work.addresses:
            self.view(address, 0)
        (stream.queue if stream.captured is None else stream.captured).append(work)

    def synchronize(self, handle: int) -> None:
        stream = self.stream(handle)
        if stream.captured is not None:
            raise FakeGpuError("a stream that captures can't be waited for")
        while stream.queue:
            stream.queue.pop(0).run()

    def begin_capture(self, handle: int) -> None:
        if self.stream(handle).captured is not None:
            raise FakeGpuError("the stream captures already")
        self.stream(handle).captured = []

    def end_capture(self, handle: int) -> list[Work]:
        stream = self.stream(handle)
        if stream.captured is None:
            raise FakeGpuError("the stream doesn't capture")
        graph, stream.captured = stream.captured, None
        self.captures += 1
        return graph

    def launch(self, graph: list[Work], handle: int) -> None:
        if not all(work.still_valid() for work in graph):
            raise FakeGpuError("a graph was launched after its context had changed")
        self.graph_launches += 1
        for work in graph:
            self.submit(handle, work)

    def capturing(self, handle: int) -> bool:
        return self.stream(handle).captured is not None

    def _refuse_while_capturing(self, what: str) -> None:
        if any(stream.captured is not None for stream in self.streams.values()):
            raise FakeGpuError(f"{what} while a stream captured")
