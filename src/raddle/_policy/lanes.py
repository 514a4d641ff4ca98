"""One item per key at a time, in input order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Lanes"]


class Lanes:
    """A queue per key; only its head may run. Holds nothing for keys that are not in use."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[Any]] = {}
        self.count = 0

    def enter(self, key: Hashable, ticket: Any) -> bool:
        """Return True if the lane was free, so that `ticket` may go on; else queue it."""
        queue = self._waiting.get(key)
        if queue is None:
            self._waiting[key] = deque()
            return True
        queue.append(ticket)
        self.count += 1
        return False

    def leave(self, key: Hashable) -> Any | None:
        """Say that the head of the lane is through; return the ticket that goes on now, if one waits."""
        queue = self._waiting[key]
        if not queue:
            del self._waiting[key]
            return None
        self.count -= 1
        return queue.popleft()

    def drain(self) -> list[Any]:
        """Take out all that wait. Lanes in use stay in use until their head leaves."""
        tickets = [ticket for queue in self._waiting.values() for ticket in queue]
        for queue in self._waiting.values():
            queue.clear()
        self.count = 0
        return tickets
