"""A chunk that a worker process has, and its results as they come back."""

from __future__ import annotations

import marshal
import pickle
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raddle._events import ChunkEnded
from raddle.backends._shell import describe
from raddle.backends._wire import LOAD_ERRORS, PICKLE, load, unpack_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._model import Chunk, ErrorInfo

__all__ = ["Held", "travel_error"]


@dataclass(slots=True)
class Held:
    """A chunk that a worker has, and its results so far."""

    chunk: Chunk
    #: how many of its items were sent
    count: int
    #: where its items are: a half of the box, or in the frame
    where: int
    stored: list[bytes] | None
    values: list[Any] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    errors: dict[int, ErrorInfo] = field(default_factory=dict)

    def add_plain(self, clock: list[float], data: memoryview) -> None:
        """Take in results that came as one list."""
        self.clock += clock[1:] if self.clock else clock
        self.values += marshal.loads(data)  # noqa: S302 - from our own worker

    def add(self, clock: Sequence[float], ends: list[int], data: bytes | memoryview) -> None:
        """Take results in: `ends` are where each one's pickle ends in the data, inverted (~) for an error."""
        self.clock += clock[1:] if self.clock else clock
        if ends and min(ends) > 0:
            pieces: list[Any] = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            try:
                # Most chunks are of one kind. Where this guess is wrong `pickle` says so at the first byte.
                values = list(map(load if data[0] != PICKLE else pickle.loads, pieces))
            except LOAD_ERRORS:
                pass  # one of them: look at each
            else:
                self.values += values
                if self.stored is not None:
                    self.stored += pieces if isinstance(data, bytes) else map(bytes, pieces)
                return
        start = 0
        for end in ends:
            stop = max(end, ~end)
            self._add_one(data[start:stop], failed=end < 0)
            start = stop

    def _add_one(self, piece: bytes | memoryview, *, failed: bool) -> None:
        value, error = None, None
        try:
            if failed:
                error = unpack_error(piece)
            else:
                value = load(piece)
        except LOAD_ERRORS as broken:
            error = travel_error(broken, "its result came back, but cannot be unpickled")
        if error is not None:
            self.errors[len(self.values)] = error
            piece = b""
        self.values.append(value)
        if self.stored is not None:
            self.stored.append(bytes(piece))

    def ended(self, worker: int) -> ChunkEnded:
        """Return the event that ends this chunk."""
        clock = self.clock or [time.monotonic()]
        return ChunkEnded(worker, self.chunk.number, self.values, clock, self.errors, self.stored)


def travel_error(error: BaseException, what: str) -> ErrorInfo:
    """Say that something could not come over, and why."""
    info = describe(error, keep=False)
    return replace(info, message=f'{what} ({info.message}): use plain data, or backend="threads"')
