"""Attempts in worker processes: killed at their deadline, blamed exactly, never orphaned.

How it holds together: a zygote forks the workers (`_zygote`), each has a socket and a black box of its own (`_wire`),
runs chunks (`_worker`), and is looked after by one slot here (`_slot`). There is no lock, queue or thread.
"""

from __future__ import annotations

import atexit
import os
import selectors
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle._events import Event, RunFailed
from raddle._ports import Capabilities
from raddle.backends import _launch
from raddle.backends._box import Box, shared_memory
from raddle.backends._slot import Shared, Slot
from raddle.backends._wire import MAX_CHUNK
from raddle.backends._zygote import DIED, NOT_FORKED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._model import Chunk, Running, StopHow

__all__ = ["ProcessBackend"]

#: seconds of one wait; the system refuses some that are longer than weeks. Whoever waited in vain waits again.
_LONGEST = 86_400.0


class ProcessInbox:
    """Events put from any thread or signal handler, and the readiness of the workers' sockets, in one wait."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._events: deque[Event] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.selector.register(self._reader, selectors.EVENT_READ, self._woken)
        # Guards the writer against `close`. Re-entrant: a signal handler may put while its thread does.
        self._lock = threading.RLock()

    def put(self, event: Event) -> None:
        """Add an event and wake who waits in `take`."""
        self._events.append(event)
        with self._lock:
            if self._writer >= 0:
                try:
                    os.write(self._writer, b"\0")
                except BlockingIOError:
                    return  # full: it wakes already

    def emit(self, event: Event) -> None:
        """Add an event from within the driver's own thread."""
        self._events.append(event)

    def take(self, timeout: float | None) -> list[Event]:
        """Return what has come; move bytes to and from the workers meanwhile."""
        deadline = None if timeout is None else time.monotonic() + min(timeout, _LONGEST)
        events = self._events
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if events or self._writer < 0:
                wait = 0.0
            if self._writer >= 0:
                for key, mask in self.selector.select(wait):
                    key.data(mask)
            if events or self._writer < 0 or (deadline is not None and time.monotonic() >= deadline):
                return [events.popleft() for _ in range(len(events))]

    def _woken(self, _mask: int) -> None:
        os.read(self._reader, 4096)

    def close(self) -> None:
        """Stop waking; what was put stays to be taken."""
        with self._lock:
            if self._writer < 0:
                return
            os.close(self._writer)
            self._writer = -1
        os.close(self._reader)
        self.selector.close()


class ProcessBackend:
    """Workers as processes. `start="auto"` forks if that is safe here, and else starts a fresh interpreter.

    A worker that hangs in the initializer is not noticed: a timeout is for attempts.

    Args:
        func: what is to be run; any callable if it can be inherited or pickled, by value if need be
        workers: how many processes at most; they start when they get their first chunk
        initializer: called once in each worker before its first item; if it raises, the run fails
        timeout: seconds, only to tell `raddle.attempt()`; who ends the attempt is the engine, by `stop`
        stored: give each value pickled too
        trial: let the worker in slot 0 measure its first chunks; it says what they were like by `Measured`
        keep_fds: descriptors that must stay open while any worker lives, such as a lock
        start: how the zygote is had; "fork" and "fresh" are for tests

    Raises:
        ConfigError: the function cannot be pickled where it must be, or an option is out of range
        BackendError: the system refuses another process
    """

    def __init__(
        self,
        func: Callable[[Any], Any],
        *,
        workers: int,
        initializer: Callable[[], Any] | None = None,
        timeout: float | None = None,
        stored: bool = False,
        trial: bool = False,
        keep_fds: Sequence[int] = (),
        start: _launch.Start = "auto",
    ) -> None:
        if workers < 1:
            raise errors.ConfigError(f"workers={workers}: a number of processes from 1 on")
        self.capabilities = Capabilities("processes", "process", workers, enforces_timeout=True, max_chunk=MAX_CHUNK)
        self.start_method = _launch.choose(start)
        memory = shared_memory(workers)
        try:
            zygote = _launch.launch(
                _launch.Need(
                    func=func,
                    initializer=initializer,
                    workers=workers,
                    timeout=timeout,
                    keep_fds=keep_fds,
                    memory=memory,
                    stored=stored,
                ),
                self.start_method,
            )
            try:
                boxes = [Box(memory, worker) for worker in range(workers)]
            except OSError as error:
                zygote.close()
                what = f"workers={workers}: no memory to share with all of them: {error.strerror}"
                raise errors.BackendError(f"{what}; lower workers=, or raise the limit (ulimit -n)") from error
            boxes[0].cells[Box.TRIAL] = trial
        finally:
            os.close(memory)
        self.inbox = ProcessInbox()
        self._zygote = zygote
        self._shared = Shared(
            zygote, self.inbox.selector, self._emit, fresh=self.start_method == "fresh", stored=stored
        )
        self._slots = [Slot(worker, box, self._shared) for worker, box in enumerate(boxes)]
        self.inbox.selector.register(zygote.control, selectors.EVENT_READ, self._heard)
        self._failed = False
        self._closed = False
        self._pid = os.getpid()
        atexit.register(self.close)

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting."""
        if not 0 < len(chunk.items) <= MAX_CHUNK:
            raise ValueError(f"len(chunk.items)={len(chunk.items)}: from 1 to {MAX_CHUNK}")
        self._slots[worker].start(chunk)

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot; after "close" it starts nothing any more, for the rest of the run."""
        if how == "kill":
            self._slots[worker].kill()
        else:
            self._slots[worker].stop()

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot."""
        return [running for slot in self._slots if (running := slot.running())]

    def close(self) -> None:
        """Kill all workers and all that they started, and wait for their end."""
        if self._closed or os.getpid() != self._pid:  # a forked child of the caller has no business here
            return
        self._closed = True
        atexit.unregister(self.close)
        for slot in self._slots:
            slot.close()
        self.inbox.close()
        self._zygote.close()

    def _emit(self, event: Event) -> None:
        if isinstance(event, RunFailed):
            if self._failed:
                return
            self._failed = True
        self.inbox.emit(event)

    def _fail(self, message: str) -> None:
        self._emit(RunFailed(errors.BackendError(message)))

    def _heard(self, _mask: int) -> None:
        replies = self._zygote.replies()
        if replies is None:
            self.inbox.selector.unregister(self._zygote.control)
            self._fail(f"the process that starts workers ended unexpectedly ({self._zygote.bury()}); see stderr")
            return
        for what, number, _, code in replies:
            if what == DIED:
                self._slots[number].bury(code)
            elif what == NOT_FORKED:
                self._fail(f"no process for worker {number}: {os.strerror(code)}; lower workers=")
