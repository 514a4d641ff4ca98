"""First come, first served, without polling: the asyncio side of the pool."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.workloads.classify.errors import FatalAnswer
from raddle.workloads.classify.upstream.pool import Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.classify.upstream.pool import Place, Pool

__all__ = ["Queue"]

#: never closer than this: a clock has a grain, and the wait must end some day
_GRAIN = 1e-3


@dataclass(slots=True)
class _Waiter:
    tokens: float
    avoid: int | None
    place: asyncio.Future[Place]


class Queue:
    """Lets calls in, in the order of their tickets. All methods are for one event loop.

    Args:
        pool: decides
        clock: seconds that never go back; those of the pool
    """

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._pool, self._clock = pool, clock
        self._tickets = itertools.count()
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, _Waiter]] = []
        self._timer: asyncio.TimerHandle | None = None

    def ticket(self) -> int:
        """Return a place in the order, kept over all tries of an item."""
        return next(self._tickets)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(not waiter.place.done() for _, _, waiter in self._waiting)

    async def enter(self, ticket: int, tokens: float, avoid: int | None = None) -> Place:
        """Wait until the call may start. Whoever gets a place must `leave` it.

        Raises:
            FatalAnswer: no key is accepted
        """
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(tokens, avoid, future)
        heapq.heappush(self._waiting, (ticket, next(self._order), waiter))
        self._admit()
        try:
            return await future
        except asyncio.CancelledError:
            # Let in and cancelled in the same turn of the loop: the place goes back, and says nothing of the endpoint.
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(future.result(), Ended(verdict="unknown"))
            else:
                future.cancel()
                self._admit()
            raise

    def leave(self, place: Place, ended: Ended) -> None:
        """Say how a call ended, and let the next ones in."""
        self._pool.end(self._clock(), place, ended)
        self._admit()

    def _admit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            waiter = self._waiting[0][2]
            if not waiter.place.done():
                if self._pool.refused:
                    waiter.place.set_exception(
                        FatalAnswer("every key was refused (HTTP 401 or 403, or no credit): check the keys")
                    )
                else:
                    now = self._clock()
                    place = self._pool.enter(now, waiter.tokens, waiter.avoid)
                    if place is None:
                        self._wait(now, waiter.tokens)
                        return
                    waiter.place.set_result(place)
            heapq.heappop(self._waiting)

    def _wait(self, now: float, tokens: float) -> None:
        at = self._pool.wake_at(now, tokens)
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(max(_GRAIN, at - now), self._admit)
