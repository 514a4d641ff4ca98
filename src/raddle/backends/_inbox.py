"""The one way up, for backends whose workers can put into a queue of this process."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raddle._events import Event

__all__ = ["QueueInbox"]


class QueueInbox:
    """Events from any thread, taken by one.

    A `SimpleQueue` and not a `queue.Queue`: forty times cheaper, and its `put` may be called again while a `put` of
    the same thread is under way, so signal handlers may use it.
    """

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()

    def put(self, event: Event) -> None:
        """Add an event; never waits."""
        self._queue.put(event)

    def take(self, timeout: float | None) -> list[Event]:
        """Return all that is there, waiting up to `timeout` seconds (None: for ever) for the first."""
        if timeout is not None:
            timeout = min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        try:
            events = [self._queue.get(timeout=timeout)]
        except Empty:
            return []
        # Only the driver takes, so what `empty` says can only change for the better.
        while not self._queue.empty():
            events.append(self._queue.get())
        return events
