"""What the caller holds."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from raddle._engine.driver import PATIENCE
from raddle._events import Consumed, StopAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from raddle._engine.driver import Driver
    from raddle._model import Outcome, StopHow, Summary
    from raddle._ports import Inbox

__all__ = ["Run", "RunFace"]


class RunFace:
    """What a run shows, whoever consumes it."""

    _driver: Driver
    _inbox: Inbox
    _snapshot: Callable[[], Any]

    @property
    def summary(self) -> Summary:
        """The totals: final ones at the end of the iteration, else those so far."""
        return self._driver.outbox.summary or self._driver.machine.summary

    def snapshot(self) -> Any:
        """Return counts, rate and time left at this moment (`raddle.progress.Snapshot`)."""
        return self._snapshot()

    def cancel(self, reason: str = "cancelled") -> None:
        """Start nothing more. Running attempts have the run's `grace` to end; what did not start is `cancelled`.

        Returns at once, from any thread. Go on iterating to see all outcomes.
        """
        self._inbox.put(StopAsked("close", reason))

    def kill(self, reason: str = "killed") -> None:
        """As `cancel`, but end running attempts too: processes are killed, threads abandoned."""
        self._inbox.put(StopAsked("kill", reason))


class Run(RunFace):
    """One call over one source: iterate it for outcomes, and leave its `with` block to end it.

    Iteration may be interrupted and taken up again. At its end it raises what ended the run early, if that was not
    an item: an error of the source, the journal or the backend.
    """

    def __init__(self, driver: Driver, inbox: Inbox, snapshot: Callable[[], Any], *, threaded: bool) -> None:
        self._driver = driver
        self._inbox = inbox
        self._snapshot = snapshot
        self._batch: Iterator[Outcome] = iter(())
        self._taken = 0
        self._over = False
        self._thread = driver.start() if threaded else None
        # A run that is dropped without being closed, or is alive when the program ends, is killed. The thread and
        # the finalizer know the driver only, never the run, or it could not be dropped.
        self._finalizer = weakref.finalize(self, _end, driver, inbox, self._thread)

    def __iter__(self) -> Iterator[Outcome]:
        """Yield outcomes as they are ready: in input order, or as completed with `ordered=False`."""
        while not self._over:
            yield from self._batch
            batch = self._take()
            if batch is None:
                self._over = True
                error = self._driver.outbox.error
                if error is not None:
                    raise error
            else:
                self._batch = iter(batch)

    def values(self) -> Iterator[Any]:
        """Yield what the function returned for each item.

        Raises:
            Exception: that of the first item that did not end ok (see `Outcome.unwrap`)
        """
        for outcome in self:
            yield outcome.unwrap()

    def close(self) -> None:
        """End the run and wait for it: running attempts have its `grace`; a Ctrl-C meanwhile kills them.

        Outcomes that were not consumed are lost to the caller (a journal has them). Does nothing at the end.
        """
        self._finish("close")

    def _finish(self, how: StopHow) -> None:
        if self._driver.finished and self._thread is None:
            return
        try:
            self._ask_and_wait(how)
        except KeyboardInterrupt:
            self._ask_and_wait("kill")
            raise
        finally:
            self._finalizer.detach()

    def __enter__(self) -> Self:
        """Return the run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; after a Ctrl-C (or any other exception that is not an `Exception`) without patience.

        Whoever presses Ctrl-C wants to have the program back. What was under way is cancelled, and a resume runs it.
        """
        if kind is None or issubclass(kind, Exception):
            self.close()
        else:
            self._finish("kill")

    def _take(self) -> Sequence[Outcome] | None:
        outbox = self._driver.outbox
        if self._taken and outbox.acknowledge(self._taken):
            self._inbox.put(Consumed(0))
        self._taken = 0
        while self._thread is None and outbox.empty:
            try:
                self._driver.step()
            except BaseException as error:
                self._driver.cut_short(error)
                raise
        batch = outbox.get()
        self._taken = len(batch or ())
        return batch

    def _ask_and_wait(self, how: StopHow) -> None:
        stop = StopAsked(how, "the run was closed", discard=True)
        if self._thread is not None:
            self._inbox.put(stop)
            while self._thread.is_alive():
                self._thread.join(PATIENCE)
        else:
            self._driver.stop_now(stop)
            self._driver.run()


def _end(driver: Driver, inbox: Inbox, thread: threading.Thread | None) -> None:
    """Kill a run that nobody holds any more."""
    if driver.finished:
        return
    stop = StopAsked("kill", "nobody holds the run any more", discard=True)
    if thread is None:
        driver.stop_now(stop)
        driver.run()
        return
    inbox.put(stop)
    if thread is not threading.current_thread():
        thread.join(timeout=5)
