"""What a function may know about the attempt that is running it: `raddle.attempt()`.

A worker keeps one `Place` and moves it from item to item; nothing is built until the function asks.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._model import Chunk

__all__ = ["Attempt", "Place", "attempt", "enter"]

_local = threading.local()


class Place:
    """Where a worker is: written by the worker alone, read by `attempt()` in the same thread."""

    __slots__ = ("asked_to_stop", "chunk", "offset", "started", "timeout")

    def __init__(self, timeout: float | None, asked_to_stop: Callable[[], bool]) -> None:
        self.timeout = timeout
        self.asked_to_stop = asked_to_stop
        self.chunk: Chunk | None = None
        self.offset = 0
        self.started = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The try under way."""

    #: 1 for the first
    number: int
    #: the same for every try of this item, over retries and resumes
    idempotency_key: str
    #: when this attempt must have ended: an instant on `time.monotonic()`; None without a timeout
    deadline: float | None
    _place: Place

    def remaining(self) -> float:
        """Return the seconds left until the deadline, at least 0; infinity without a timeout."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the run wants this attempt to end soon. A long function may look at it and return early."""
        return self._place.asked_to_stop()


def enter(place: Place | None) -> Place | None:
    """Make `place` the current one of this thread; return the one before, for a run inside a run to go back to."""
    before: Place | None = getattr(_local, "place", None)
    _local.place = place
    return before


def attempt() -> Attempt:
    """Return the attempt that is running the calling function.

    Raises:
        LookupError: outside of a function that raddle runs, or in a thread that the function started itself
    """
    place: Place | None = getattr(_local, "place", None)
    if place is None or place.chunk is None:
        raise LookupError("raddle.attempt() is for functions that raddle runs; there is no attempt in this thread")
    chunk, offset = place.chunk, place.offset
    name = chunk.ids[offset].hex() if chunk.ids is not None else str(chunk.positions[offset])
    deadline = None if place.timeout is None else place.started + place.timeout
    return Attempt(chunk.attempt, f"{chunk.run}/{name}", deadline, place)
