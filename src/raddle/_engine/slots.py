"""Which worker holds what, and which one has room."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle._model import Chunk
    from raddle._policy.permits import Permits

__all__ = ["Slots"]


class Slots:
    """Chunks by worker, the one it runs first. Picking a worker does not get slower with a thousand of them.

    For each load (chunks held) there is a heap of the workers that have it. Entries are not removed when a load
    changes; they are dropped when they come up. No worker is in a heap twice.
    """

    def __init__(self, count: int, depth: int, permits: Permits | None = None) -> None:
        self.held: list[deque[Chunk]] = [deque() for _ in range(count)]
        #: chunks held by all workers together, and workers that hold at least one
        self.chunks = self.busy = 0
        # Taken and given back here, where every chunk comes by on whatever way it leaves its worker.
        self._permits = permits
        self._closed: set[int] = set()
        self._heaps: list[list[int]] = [list(range(count)), *([] for _ in range(depth - 1))]
        self._listed: list[set[int]] = [set(heap) for heap in self._heaps]

    def pick(self, first: int, end: int, depth: int, *, least: int = 0) -> int | None:
        """Return the worker in [first, end) that holds least, if one holds from `least` to `depth` - 1 chunks."""
        for load in range(least, min(depth, len(self._heaps))):
            heap = self._heaps[load]
            while heap:
                worker = heap[0]
                if len(self.held[worker]) != load or worker < first or worker in self._closed:
                    self._listed[load].discard(heapq.heappop(heap))
                elif worker < end:
                    return worker
                else:
                    break
        return None

    def add(self, worker: int, chunk: Chunk) -> None:
        """Let a worker hold a chunk."""
        held = self.held[worker]
        self.chunks += 1
        if not held:
            self.busy += 1
        held.append(chunk)
        if self._permits is not None:
            self._permits.take(chunk.number, chunk.positions[0])
        self._list(worker)

    def find(self, worker: int, number: int) -> Chunk | None:
        """Return the chunk of that number, if the worker holds it."""
        return next((chunk for chunk in self.held[worker] if chunk.number == number), None)

    def remove(self, worker: int, chunk: Chunk) -> None:
        """Take a chunk from a worker."""
        held = self.held[worker]
        if held[0] is chunk:
            held.popleft()
        else:
            held.remove(chunk)
        self.chunks -= 1
        if not held:
            self.busy -= 1
        if self._permits is not None:
            self._permits.give_back(chunk.number)
        self._list(worker)

    def clear(self) -> list[Chunk]:
        """Take everything from everybody."""
        chunks = [chunk for held in self.held for chunk in held]
        for worker, held in enumerate(self.held):
            held.clear()
            self._list(worker)
        self.chunks = self.busy = 0
        if self._permits is not None:
            for chunk in chunks:
                self._permits.give_back(chunk.number)
        return chunks

    def close(self, worker: int) -> None:
        """Give a worker nothing more, until it is opened again."""
        self._closed.add(worker)

    def open(self, worker: int) -> None:
        """Undo `close`."""
        self._closed.discard(worker)
        self._list(worker)

    def holding(self) -> Iterator[tuple[int, deque[Chunk]]]:
        """Yield the workers that hold something, and what."""
        return ((worker, held) for worker, held in enumerate(self.held) if held)

    def _list(self, worker: int) -> None:
        load = len(self.held[worker])
        if load < len(self._heaps) and worker not in self._listed[load]:
            self._listed[load].add(worker)
            heapq.heappush(self._heaps[load], worker)
