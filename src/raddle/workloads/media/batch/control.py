"""What the workers of a run, its source and its consumer share: threads of one process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.media.batch.results import Result

__all__ = ["Control"]

T = TypeVar("T")


class Control(Generic[T]):
    """Whether more is begun, what was prepared ahead, and who is still at it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = ""
        self._ending = False
        self._active = 0
        self._ready: dict[int, T] = {}
        self._results: dict[int, Result] = {}

    @property
    def closed(self) -> str:
        """Why no more files are begun; "" while they are."""
        return self._closed

    @property
    def active(self) -> int:
        """How many files something is being done to."""
        return self._active

    def ending(self) -> bool:
        """Whether what is under way shall end too."""
        return self._ending

    def close(self, reason: str) -> None:
        """Begin no more files."""
        self._closed = self._closed or reason

    def end(self, reason: str) -> None:
        """Begin no more, and end what is under way. Called by a signal handler too: it takes no lock."""
        self._closed = self._closed or reason
        self._ending = True

    def put(self, number: int, ready: T) -> None:
        """Keep what was prepared for a file."""
        self._ready[number] = ready

    def take(self, number: int) -> T | None:
        """Give what was prepared, once."""
        return self._ready.pop(number, None)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a file as active for this block."""
        with self._changed:
            self._active += 1
        try:
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def keep(self, number: int, result: Result) -> None:
        """Keep how a file ended until the consumer has it: the engine may have given its thread up."""
        self._results[number] = result

    def kept(self, number: int) -> Result | None:
        """Return what a worker said in the end, once."""
        return self._results.pop(number, None)

    def wait_idle(self, seconds: float) -> bool:
        """Wait until nobody is at work; False: somebody still is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._active, seconds)
