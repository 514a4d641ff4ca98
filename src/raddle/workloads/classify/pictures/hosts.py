"""Turns at the hosts of pictures: so many at once, so many at one host, and none while it asks for a pause."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from raddle.workloads.classify.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["Hosts"]


class Hosts:
    """Lets downloads begin. For one event loop.

    Args:
        in_flight: most at once
        per_host: most of them at one host
        clock: seconds that never go back
        sleep: waits for so many of them
    """

    def __init__(
        self,
        *,
        in_flight: int,
        per_host: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._turns = asyncio.Semaphore(in_flight)
        self._per_host = per_host
        self._clock, self._sleep = clock, sleep
        #: of each host in use: its own turns, and who uses them
        self._hosts: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}
        #: when hosts that asked for a pause may be asked again
        self._closed: dict[str, float] = {}

    @property
    def in_use(self) -> int:
        """How many hosts have a download or a wait for one."""
        return len(self._hosts)

    def pause(self, host: str, seconds: float) -> None:
        """Let nothing begin at a host for so long; a longer pause under way stays."""
        now = self._clock()
        self._closed = {name: until for name, until in self._closed.items() if until > now}
        self._closed[host] = max(self._closed.get(host, now), now + seconds)

    @asynccontextmanager
    async def turn(self, host: str, *, patience: float) -> AsyncIterator[None]:
        """Wait for a turn; one hop holds it, not the whole chain: two chains that cross would wait for ever.

        Raises:
            PictureError: the host asks for a pause of more than `patience` seconds
        """
        turns, users = self._hosts.setdefault(host, (asyncio.Semaphore(self._per_host), []))
        users.append(None)
        until = self._clock() + patience
        try:
            while True:
                await self._open(host, until)
                async with turns, self._turns:
                    if self._left(host) > 0:
                        continue  # it asked for a pause while this one waited for its turn
                    yield
                    return
        finally:
            users.pop()
            if not users:
                self._hosts.pop(host, None)

    async def _open(self, host: str, until: float) -> None:
        while (left := self._left(host)) > 0:
            if self._clock() + left > until:
                raise PictureError(f"the picture's host asks for a pause of {left:.0f} s: more than the item has")
            await self._sleep(left)

    def _left(self, host: str) -> float:
        return self._closed.get(host, 0.0) - self._clock()
