"""Items run in the caller's own thread: for debugging, for one CPU, and as the measure of the others."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from raddle import _attempt
from raddle._events import Reported, WorkerLost
from raddle._ports import Capabilities, Inbox
from raddle.backends._inbox import QueueInbox
from raddle.backends._job import Job, initialize, run_items
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._events import RunFailed
    from raddle._model import Chunk, Running, StopHow

__all__ = ["SerialBackend"]


class SerialBackend:
    """One worker, the driver's thread: `start` returns when the chunk has ended.

    `func` and `initializer` run in a copy of the context in which the backend was made, as on threads.

    Raises:
        ConfigError: for a timeout; nobody is left who could end the item
    """

    capabilities: Capabilities
    inbox: Inbox

    def __init__(
        self,
        func: Callable[[Any], Any],
        *,
        initializer: Callable[[], object] | None = None,
        timeout: float | None = None,
        stored: bool = False,
    ) -> None:
        if timeout is not None:
            message = (
                f"timeout={timeout} cannot be enforced with backend='serial', which runs items in the caller's own "
                "thread: use backend='threads' or backend='processes', or leave timeout out"
            )
            raise ConfigError(message)
        self.capabilities = Capabilities("serial", "serial", 1, enforces_timeout=False, depth=1)
        self.inbox = QueueInbox()
        self._func = func
        self._initializer = initializer
        self._stored = stored
        # bool() is False: nobody can ask while the item runs
        self._place = _attempt.Place(None, bool, self._report)
        self._context = copy_context()
        self._ready = False
        self._failure: RunFailed | None = None

    def start(self, worker: int, chunk: Chunk) -> None:
        """Run the chunk to its end.

        Raises:
            KeyboardInterrupt: it was pressed meanwhile. What had finished is in the inbox, the item under way counts
                as not started.
        """
        job = Job(worker, chunk, stored=self._stored)
        # A function that runs a serial run of its own must find its own attempt again afterwards.
        outer = _attempt.enter(self._place)
        try:
            if self._is_ready():
                # In this thread a KeyboardInterrupt is the user's wish to end the run, not the failure of the item it
                # happened to hit; kept as that item's error, Ctrl-C would skip one item and go on. SystemExit stays
                # an error of the item: only the function itself can have raised it.
                self._context.run(run_items, job, self._func, self._place, passing=(KeyboardInterrupt,))
        finally:
            _attempt.enter(outer)
            self._place.chunk = None
            self.inbox.put(job.finished())
            del job, chunk  # see the end of run_items

    def stop(self, worker: int, how: StopHow) -> None:
        """Say that nothing is under way: whenever the driver can call this, the worker is idle."""
        if how == "kill":
            self.inbox.put(WorkerLost(worker, (), None, None, "not needed: nothing was under way"))

    def running(self) -> list[Running]:
        """Return nothing: whoever asks is the worker."""
        return []

    def close(self) -> None:
        """Do nothing: there is nothing to end."""

    def _report(self, chunk: int, offset: int, percent: float, note: str) -> None:
        self.inbox.put(Reported(0, chunk, offset, percent, note))

    def _is_ready(self) -> bool:
        if not self._ready:
            self._failure = self._context.run(initialize, self._initializer, passing=(KeyboardInterrupt,))
            self._ready = True
            if self._failure is not None:
                self.inbox.put(self._failure)
        return self._failure is None
