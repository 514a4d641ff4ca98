"""The shared memory of a worker.

It is the worker's black box: a result is written there the moment its item ends, and the store of `OFFSET` both commits
it and says which item is under way. What was not yet sent when a worker dies is read from it, so that nothing finished
is lost or run again. The order of the stores is the protocol: see `_worker.run_chunk`.

It also carries what is large, both ways, past the socket. There are two halves for each way, so that one can be
filled while the other is read:

- to the worker: a half belongs to a chunk from its start to its answer. A worker holds two chunks at most.
- from the worker: results stay in the half they were written to, the frame only names it, and the worker goes on in the
  other half. It does so only when the parent has taken all that was left for it before (`TAKEN`); else the results go
  over the socket and the half is free at once.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from typing import TYPE_CHECKING, Final

from raddle.backends._wire import MAX_CHUNK, PROTOCOL

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

__all__ = [
    "BETWEEN",
    "DATA_SIZE",
    "LOADING",
    "REGION",
    "RUNNING",
    "SHARED_FROM",
    "STARTING",
    "STOP",
    "Box",
    "Sink",
    "shared_memory",
]

#: bytes of one half. Pages that were never needed take no memory.
DATA_SIZE: Final = 1 << 21
#: bytes from which on the way through shared memory is the cheaper one
SHARED_FROM: Final = 1 << 16

# The region of one worker: two halves of results, two of items, two tables with a row for each result, single cells.
_ITEMS = 2 * DATA_SIZE
_CLOCK = 4 * DATA_SIZE
_ENDS = _CLOCK + 8 * (MAX_CHUNK + 1)
_CELLS = _ENDS + 8 * (MAX_CHUNK + 1)
_CELL_COUNT = 9
#: a multiple of every page size in use, so that a worker can map its own region alone
REGION: Final = (_CELLS // 65536 + 1) * 65536
#: byte of the region, looked at before each item: when it differs from the one in the chunk's frame, the rest of the
#: chunk is given back
STOP: Final = _CELLS + 8 * 4

# States of a worker. A negative one, ~offset: the item there has ended and its result waits for room or is being sent.
BETWEEN, RUNNING, LOADING, STARTING = range(4)


class Box:
    """The shared memory of one worker, mapped.

    `cells` are: number of the chunk under way (-1: none), offset of the first item in the tables, offset of the item
    under way (all before it are finished), state, (the STOP byte), pid of the worker, whether it shall measure chunks,
    half that the results in the tables are in, how many halves full of results the parent has taken.
    `clock[i]` is when row i started, `clock[i + 1]` when it ended; `ends[i + 1]` is where its pickle ends in the data,
    inverted (~) if that is an error.
    """

    __slots__ = ("cells", "clock", "ends", "items", "memory", "results")

    #: where the items begin in `memory`
    ITEMS = _ITEMS
    NUMBER, BASE, OFFSET, STATE, _, PID, TRIAL, HALF, TAKEN = range(_CELL_COUNT)

    def __init__(self, fd: int, worker: int) -> None:
        self.memory = mmap.mmap(fd, REGION, offset=worker * REGION)
        view = memoryview(self.memory)
        self.results = (view[:DATA_SIZE], view[DATA_SIZE:_ITEMS])
        self.items = (view[_ITEMS : _ITEMS + DATA_SIZE], view[_ITEMS + DATA_SIZE : _CLOCK])
        self.clock: memoryview[float] = view[_CLOCK:_ENDS].cast("d")
        self.ends: memoryview[int] = view[_ENDS:_CELLS].cast("q")
        self.cells: memoryview[int] = view[_CELLS : _CELLS + 8 * _CELL_COUNT].cast("q")
        view.release()

    def reset(self) -> None:
        """Prepare for a new worker."""
        cells = self.cells
        cells[self.NUMBER] = -1
        cells[self.STATE] = STARTING
        cells[self.PID] = cells[self.HALF] = cells[self.TAKEN] = 0

    def rows(self, count: int) -> tuple[list[float], list[int], bytes]:
        """Return the clock, the ends and the data of the first rows."""
        clock, ends = list(self.clock[: count + 1]), list(self.ends[1 : count + 1])
        size = 0 if not ends else max(ends[-1], ~ends[-1])
        return clock, ends, bytes(self.results[self.cells[self.HALF] & 1][:size])

    def close(self) -> None:
        """Unmap."""
        for view in (*self.results, *self.items, self.clock, self.ends, self.cells):
            view.release()
        self.memory.close()


class Sink:
    """Memory that a pickler writes to. For megabytes, new memory for each pickle costs many times what copying does."""

    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def write(self, part: Buffer) -> int:
        """Add a part; called by the pickler."""
        with memoryview(part) as flat, flat.cast("B") as data:
            size = len(data)
            end = self._at + size
            if end > len(self._view):
                raise BufferError("no room")
            self._view[self._at : end] = data
        self._at = end
        return size

    def dump(self, value: object) -> memoryview | None:
        """Return the pickle of a value, valid until the next one; None if there is no room for it."""
        self._at = 0
        try:
            pickle.Pickler(self, PROTOCOL).dump(value)
        except BufferError:
            return None
        return self._view[: self._at]


def shared_memory(workers: int) -> int:
    """Return a descriptor of memory without a name, with a region for each worker."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("raddle", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, workers * REGION)
    return fd
