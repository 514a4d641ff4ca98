"""Work that goes on beside the main pass: fed item by item, waited for at the end only."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Beside"]

T = TypeVar("T")
R = TypeVar("R")
_END, _STOP = object(), object()


class Cancelled(Exception):
    """Raised where the next item is wanted: there will be none, and what was made of the others is not wanted."""


class Beside(Generic[T, R]):
    """A function over an iterator, in a thread of its own.

    Args:
        function: takes the iterator; what it returns is what `finish` gives
        most: items that may wait; `put` waits for room then. None: `put` never waits.
    """

    def __init__(self, function: Callable[[Iterator[T]], R], *, most: int | None = None) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._room = None if most is None else threading.Semaphore(most)
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._value: Any = None
        self._thread = threading.Thread(target=self._work, args=(function,), name="weights-beside", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item. After a failure items go nowhere; `finish` tells."""
        if self._room is not None:
            self._room.acquire()
        if not self._ended.is_set():
            self._queue.put(item)
        elif self._room is not None:
            self._room.release()  # nobody takes anything any more: the next one shall not wait either

    def finish(self) -> R:
        """Wait for the end and return the function's value; raise what it raised."""
        self._queue.put(_END)
        self._thread.join()
        if self._error is not None:
            raise self._error
        value: R = self._value
        return value

    def cancel(self) -> None:
        """Stop the function at its next item, and wait for that."""
        self._queue.put(_STOP)
        self._thread.join()

    def _items(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            if item is _STOP:
                raise Cancelled
            if self._room is not None:
                self._room.release()
            yield item

    def _work(self, function: Callable[[Iterator[T]], R]) -> None:
        try:
            self._value = function(self._items())
        except BaseException as error:  # noqa: BLE001 - handed to the one who waits, whatever it is
            self._error = error
        finally:
            self._ended.set()
            if self._room is not None:
                self._room.release()
