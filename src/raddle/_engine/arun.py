"""What the caller of `raddle.arun` holds: a run whose outcomes are awaited.

The driver works in its thread as in every run. The event loop never waits for it, for the source or for the journal;
it is woken when there are outcomes, many at a time.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from raddle._engine.driver import PATIENCE
from raddle._engine.run import RunFace
from raddle._events import Consumed, StopAsked

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType

    from raddle._engine.driver import Driver
    from raddle._model import Outcome, StopHow
    from raddle._ports import Inbox

__all__ = ["AsyncRun"]


class AsyncRun(RunFace):
    """One call over one source: iterate it with `async for`, and leave its `async with` block to end it.

    Iteration may be interrupted and taken up again. At its end it raises what ended the run early, if that was not
    an item: an error of the source, the journal or the backend.

    When the task that iterates is cancelled, the run is killed: coroutines are cancelled, processes killed, threads
    abandoned; all of this has been done before `CancelledError` goes on.
    """

    def __init__(
        self,
        driver: Driver,
        inbox: Inbox,
        snapshot: Callable[[], Any],
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._driver = driver
        self._inbox = inbox
        self._snapshot = snapshot
        self._batch: Iterator[Outcome] = iter(())
        self._taken = 0
        self._over = False
        self._bell = _Bell(loop)
        driver.outbox.on_put = self._bell.ring
        self._thread = driver.start()
        # As with `Run`: nobody but the caller holds the run, so that it can be dropped.
        self._finalizer = weakref.finalize(self, _end, driver, inbox, self._thread, loop)

    def __aiter__(self) -> Self:
        """Return the run itself: it yields outcomes as they are ready, in input order unless `ordered=False`."""
        return self

    async def __anext__(self) -> Outcome:
        """Return the next outcome."""
        outbox, waited = self._driver.outbox, False
        # Several tasks may take turns, so after each wait all is looked at anew.
        while (outcome := next(self._batch, None)) is None:
            if self._over:
                raise StopAsyncIteration
            if not waited or outbox.empty:
                await self._wait()
                waited = True
                continue
            self._acknowledge()
            batch = outbox.get()
            if batch is not None:
                self._batch, self._taken = iter(batch), len(batch)
                continue
            self._over = True
            self._join()
            if outbox.error is not None:
                raise outbox.error
        return outcome

    def values(self) -> AsyncIterator[Any]:
        """Yield what the function returned for each item.

        Raises:
            Exception: that of the first item that did not end ok (see `Outcome.unwrap`)
        """
        return _Values(self)

    async def close(self) -> None:
        """End the run and wait for it: running attempts have its `grace`; being cancelled meanwhile kills them.

        Outcomes that were not consumed are lost to the caller (a journal has them). Does nothing at the end.
        """
        import asyncio  # not above: every `import raddle` would pay 25 ms for it

        try:
            await self._ask_and_wait("close", "the run was closed")
        except asyncio.CancelledError:
            await self._ask_and_wait("kill", "the task that closed the run was cancelled")
            raise

    async def __aenter__(self) -> Self:
        """Return the run itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; kill if the block was cancelled."""
        if kind is None or issubclass(kind, Exception):
            await self.close()
        else:
            await self._ask_and_wait("kill", f"cut short by {kind.__name__}")

    async def _wait(self) -> None:
        """Wait for more outcomes."""
        import asyncio

        self._acknowledge()
        outbox = self._driver.outbox
        try:
            await asyncio.sleep(0)  # a consumer that never waits must let others go on now and then
            while outbox.empty and not self._over:
                await self._bell.wait_unless(lambda: self._over or not outbox.empty)
        except asyncio.CancelledError:
            await self._ask_and_wait("kill", "the task that consumes the run was cancelled")
            raise

    def _acknowledge(self) -> None:
        if self._taken and self._driver.outbox.acknowledge(self._taken):
            self._inbox.put(Consumed(0))
        self._taken = 0

    async def _ask_and_wait(self, how: StopHow, reason: str) -> None:
        outbox = self._driver.outbox
        if outbox.summary is None:
            self._inbox.put(StopAsked(how, reason, discard=True))
            while outbox.summary is None:
                await self._bell.wait_unless(lambda: outbox.summary is not None)
        self._join()

    def _join(self) -> None:
        """Wait for the driver's thread, which has said its last word: it is a matter of microseconds."""
        self._bell.sound()  # for other tasks that wait
        self._thread.join(PATIENCE)
        self._finalizer.detach()


class _Values:
    """The values of a run. Not an async generator: one that is left early needs a task to be closed."""

    def __init__(self, run: AsyncRun) -> None:
        self._run = run

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return (await self._run.__anext__()).unwrap()


class _Bell:
    """Wakes tasks from another thread; rung many times before they look, it costs one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        self._loop = loop
        self._sounded = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """Wake those who wait; from any thread."""
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # the loop is closed, and so nobody waits
                self._loop.call_soon_threadsafe(self.sound)

    def sound(self) -> None:
        """Wake those who wait; in the loop."""
        # Before they look: what is put after their look rings again.
        self._rung = False
        self._sounded.set()

    async def wait_unless(self, there: Callable[[], bool]) -> None:
        """Wait for the next ring, unless what it would tell of is there already."""
        self._sounded.clear()
        if not there():
            await self._sounded.wait()


def _end(driver: Driver, inbox: Inbox, thread: threading.Thread, loop: asyncio.AbstractEventLoop) -> None:
    """Kill a run that nobody holds any more."""
    if driver.outbox.summary is not None:
        return
    inbox.put(StopAsked("kill", "nobody holds the run any more", discard=True))
    if not loop.is_running():  # else this may be its thread, and the kill needs it
        thread.join(timeout=5)
