"""Where items come in from an async iterable: pulled only when asked for, in the caller's event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from raddle._events import Event, SourceEnded, SourceReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

__all__ = ["AsyncSource"]

#: seconds after which reading lets the other tasks of the loop go on
_TURN = 0.002
#: seconds that `close` waits for the iterator to be closed
_PATIENCE = 1.0


class AsyncSource:
    """An async iterable, read ahead no further than it was let, with the face of `Source`.

    One task of the caller's loop reads. The driver's thread lets it, and takes what is there.
    """

    threaded = True
    #: it is never half-way through a burst: each item is told of
    reading = False

    def __init__(
        self, items: AsyncIterable[Any], tell: Callable[[Event], None], *, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._iterator = aiter(items)
        self._tell = tell
        self._loop = loop
        self._context = copy_context()
        self._permits: deque[int] = deque()
        self._buffer: deque[Any] = deque()
        self._told = False
        self._ended: SourceEnded | None = None
        self._closing = False
        self._over = threading.Event()
        # For the loop's thread alone:
        self._let = 0
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def let(self, count: int) -> None:
        """Allow this many items more."""
        self._permits.append(count)
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError as error:
            self._end(SourceEnded(error))  # the loop is closed

    def collect(self) -> tuple[list[Any], SourceEnded | None]:
        """Return what has come since the last call, and whether that was the end."""
        # The order matters, as in `Source`: what comes after `_told` is told of again, and nothing after `_ended`.
        self._told = False
        ended = self._ended
        buffer = self._buffer
        return [buffer.popleft() for _ in range(len(buffer))], ended

    def close(self) -> None:
        """Read no more, close the iterator and wait for that, a second at most."""
        try:
            self._loop.call_soon_threadsafe(self._stop)
        except RuntimeError:
            return  # the loop is closed, and with it went the task
        if self._loop.is_running() and not _is_here(self._loop):
            self._over.wait(_PATIENCE)

    def _wake(self) -> None:
        while self._permits:
            self._let += self._permits.popleft()
        if self._task is None:
            self._task = asyncio.Task(self._feed(), loop=self._loop, name="raddle-source", context=self._context)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _stop(self) -> None:
        self._closing = True
        if self._task is None:
            self._over.set()
        else:
            self._task.cancel()

    async def _feed(self) -> None:
        error: BaseException | None = None
        try:
            try:
                await self._read()
            finally:
                close = getattr(self._iterator, "aclose", None)
                if close is not None:
                    await close()
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if not self._closing:
                error = RuntimeError("the source was cancelled: it raised CancelledError, or its event loop ended")
                error.__cause__ = cancelled
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception):
                raise  # a Ctrl-C is the caller's
        finally:
            self._end(SourceEnded(error))
            self._over.set()

    async def _read(self) -> None:
        pause = time.monotonic() + _TURN
        while True:
            while not self._let:
                self._waiter = self._loop.create_future()
                await self._waiter
            self._let -= 1
            try:
                item = await anext(self._iterator)
            except StopAsyncIteration:
                return
            self._buffer.append(item)
            if not self._told:
                self._told = True
                self._tell(SourceReady())
            if time.monotonic() >= pause:
                await asyncio.sleep(0)
                pause = time.monotonic() + _TURN

    def _end(self, ended: SourceEnded) -> None:
        self._ended = ended
        if not self._told:
            self._told = True
            self._tell(SourceReady())


def _is_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
