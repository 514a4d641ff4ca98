"""What the stub of `upstream.py` bears: slots, a queue before them, and calls per minute."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raddle.testing.upstream import Plan

__all__ = ["Capacity"]


class Capacity:
    """Slots and a queue before them; None of both without a plan for it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._began: float | None = None
        self._credit, self._credited = 1.0, 0.0

    @property
    def busy(self) -> int:
        return self._busy

    def begin(self) -> None:
        """Start the clock, and what is to happen by it, at the first call."""
        if self._began is None:
            self._began = self._credited = monotonic()
            self._credit = self._burst()
            for at, _ in self._plan.changes:
                asyncio.get_running_loop().call_later(at, self._admit)

    def slots(self) -> float:
        if self._plan.capacity is None:
            return float("inf")
        passed = monotonic() - (self._began or 0.0)
        return [self._plan.capacity, *(slots for at, slots in self._plan.changes if at <= passed)][-1]

    def _burst(self) -> float:
        return max(1.0, (self._plan.requests_per_minute or 0.0) / 60)

    def refused_for(self) -> float:
        """Return for how many seconds a call per minute more is too many; counts it if it is not."""
        rate = (self._plan.requests_per_minute or 0.0) / 60
        if not rate:
            return 0.0
        now = monotonic()
        self._credit = min(self._burst(), self._credit + (now - self._credited) * rate)
        self._credited = now
        if self._credit < 1:
            return (1 - self._credit) / rate
        self._credit -= 1
        return 0.0

    @property
    def left(self) -> int:
        return int(self._credit)

    async def enter(self) -> bool:
        """Wait for a slot; False if the queue is full."""
        if self._busy < self.slots():
            self._busy += 1
            return True
        if len(self._waiting) >= self._plan.queue:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave()
            elif future in self._waiting:
                self._waiting.remove(future)
            raise
        return True

    def leave(self) -> None:
        self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._busy < self.slots():
            future = self._waiting.popleft()
            if not future.done():
                self._busy += 1
                future.set_result(None)
