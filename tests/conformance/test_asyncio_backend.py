"""The asyncio backend keeps the promises of the port, on a loop of its own and on the caller's."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from raddle.backends.asyncio import AsyncioBackend
from raddle.testing import BackendSuite
from raddle.testing.items import HANG, NAP, NAP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from raddle._ports import Backend


def awaited(func: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
    async def run(item: Any) -> Any:
        if item == HANG:
            await asyncio.sleep(3600)
        if item == NAP:
            await asyncio.sleep(NAP_SECONDS)
            return item * 2
        return func(item)

    return run


class TestOwnLoop(BackendSuite):
    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return AsyncioBackend(awaited(func), **options)


class TestCallersLoop(BackendSuite):
    contains_interrupt = False  # there it is the caller's Ctrl-C
    loop: asyncio.AbstractEventLoop

    @pytest.fixture(autouse=True)
    def _running(self) -> Iterator[None]:
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            over = asyncio.Event()
            thread = threading.Thread(target=runner.run, args=(over.wait(),))
            thread.start()
            yield
            for backend in self._made:
                backend.close()
            self.loop.call_soon_threadsafe(over.set)
            thread.join()

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return AsyncioBackend(awaited(func), loop=self.loop, **options)
