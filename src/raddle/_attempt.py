"""What a function may know about the attempt that is running it: `raddle.attempt()`.

A worker keeps one `Place` and moves it from item to item; nothing is built until the function asks.
"""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._model import Chunk

__all__ = ["Attempt", "Place", "attempt", "be_worker_process", "enter", "enter_task", "inside"]

_local = threading.local()
#: of a coroutine: its place, and that of the thread at the time it entered
_in_task: ContextVar[tuple[Place, Place | None] | None] = ContextVar("raddle_attempt", default=None)
_REPORT_EVERY = 0.1
_worker_process = False


class Place:
    """Where a worker is: written by the worker alone, read by `attempt()` in the same thread."""

    __slots__ = ("asked_to_stop", "chunk", "given_up", "offset", "reported", "started", "tell", "timeout")

    def __init__(
        self,
        timeout: float | None,
        asked_to_stop: Callable[[], bool],
        tell: Callable[[int, int, float, str], None] | None = None,
    ) -> None:
        self.timeout = timeout
        self.asked_to_stop = asked_to_stop
        #: brings (chunk, offset, percent, note) to the run; None where there is no way
        self.tell = tell
        self.reported = 0.0
        #: nobody waits for this attempt any more: its thread is abandoned
        self.given_up = False
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

    def report(self, percent: float, note: str = "") -> None:
        """Say how far this attempt is, for progress displays: at most ten times a second, more is left out.

        Args:
            percent: 0 to 100; 100 is never left out
            note: a few words
        """
        place, now = self._place, time.monotonic()
        if place.tell is None or place.chunk is None or (now - place.reported < _REPORT_EVERY and percent < 100):  # noqa: PLR2004
            return
        place.reported = now
        place.tell(place.chunk.number, place.offset, min(max(float(percent), 0.0), 100.0), note)

    def remaining(self) -> float:
        """Return the seconds left until the deadline, at least 0; infinity without a timeout."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    @property
    def _given_up(self) -> bool:
        return self._place.given_up

    @property
    def cancelled(self) -> bool:
        """Whether the run wants this attempt to end soon. A long function may look at it and return early."""
        return self._place.asked_to_stop()


def enter(place: Place | None) -> Place | None:
    """Make `place` the current one of this thread; return the one before, for a run inside a run to go back to."""
    before: Place | None = getattr(_local, "place", None)
    _local.place = place
    return before


def enter_task(place: Place) -> None:
    """Make `place` the current one of this context: of the calling task, and of tasks and threads it hands it to."""
    _in_task.set((place, getattr(_local, "place", None)))


def _here() -> Place | None:
    """Return the innermost place: a thread may run coroutines, and a coroutine may run threads."""
    place: Place | None = getattr(_local, "place", None)
    entered = _in_task.get()
    if entered is None or (place is not None and place is not entered[1]):
        return place  # no coroutine, or a run on threads or in series inside of one
    return entered[0]


def be_worker_process() -> None:
    """Say that this process is a worker; so is whatever it forks."""
    global _worker_process  # noqa: PLW0603 - it is a fact about the process
    _worker_process = True


def inside() -> bool:
    """Return whether the caller is a function that raddle runs, or in a worker process: also in a thread of its own."""
    place = _here()
    return _worker_process or (place is not None and place.chunk is not None)


def attempt() -> Attempt:
    """Return the attempt that is running the calling function.

    Raises:
        LookupError: outside of a function that raddle runs, or in a thread that the function started itself
    """
    place = _here()
    if place is None or place.chunk is None:
        raise LookupError("raddle.attempt() is for functions that raddle runs; there is no attempt in this thread")
    chunk, offset = place.chunk, place.offset
    name = chunk.ids[offset].hex() if chunk.ids is not None else str(chunk.positions[offset])
    deadline = None if place.timeout is None else place.started + place.timeout
    return Attempt(chunk.attempt, f"{chunk.run}/{name}", deadline, place)
