"""A chunk while a worker of this process runs it, and the loop that runs it.

Two threads may look at a job, the worker that runs it and the driver that stops it, with no lock around the items:

- an item belongs to whoever takes it out of `todo`, which is atomic in every build of Python, free-threaded ones
  included. The worker takes from the left and runs it, the driver takes from the right and gives it back. So what was
  run is always a prefix, and no item is both run and given back.
- the worker appends to `values`, `errors` and `stored` first and to `clock` last: an item is finished when its entry
  of `clock` is there. Readers take the length of `clock` once and ignore what lies beyond it.
- the answer belongs to whoever sets `answered`; the other one keeps silent. Where there are two threads this is done
  under a lock, once per chunk.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from raddle._events import ChunkEnded, RunFailed
from raddle.backends._shell import describe, leave, qualified_name
from raddle.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._attempt import Place
    from raddle._model import Chunk, ErrorInfo

__all__ = ["Job", "initialize", "pickled", "run_items"]


class Job:
    """One chunk on one worker."""

    __slots__ = ("_withdrawn", "answered", "chunk", "clock", "errors", "pid", "stored", "todo", "values", "worker")

    def __init__(self, worker: int, chunk: Chunk, *, stored: bool) -> None:
        self.worker = worker
        self.chunk = chunk
        self.todo: deque[Any] = deque(chunk.items)
        self.values: list[Any] = []
        self.clock: list[float] = []
        self.errors: dict[int, ErrorInfo] = {}
        self.stored: list[bytes] | None = [] if stored else None
        self.answered = False
        #: of the process that the chunk was given to, and not of one that the function forked
        self.pid = os.getpid()
        self._withdrawn = 0

    @property
    def claimed(self) -> int:
        """How many items the worker has taken; exact after `withdraw`, an upper bound before."""
        return len(self.chunk.items) - self._withdrawn

    def claim_answer(self) -> bool:
        """Take the right to answer for this chunk; True for the first caller only. Call it under the lock."""
        first = not self.answered
        self.answered = True
        return first

    def withdraw(self) -> None:
        """Take out all that is not started. For the driver; afterwards no item of this chunk starts."""
        while True:
            try:
                self.todo.pop()
            except IndexError:
                return
            self._withdrawn += 1

    def under_way(self) -> tuple[int, float] | None:
        """Return (offset, start) of the item under way."""
        count = len(self.clock)
        return (count - 1, self.clock[count - 1]) if 0 < count <= self.claimed and not self.answered else None

    def finished(self) -> ChunkEnded:
        """Return what is finished at this moment; copies, because an abandoned thread may still append."""
        done = max(len(self.clock) - 1, 0)
        # dict() copies in one step; a comprehension over the live dict could meet it growing
        errors = {offset: error for offset, error in dict(self.errors).items() if offset < done}
        return ChunkEnded(
            self.worker,
            self.chunk.number,
            self.values[:done],
            self.clock[: done + 1] or [monotonic()],
            errors,
            None if self.stored is None else self.stored[:done],
        )


def run_items(
    job: Job, func: Callable[[Any], Any], place: Place, *, passing: tuple[type[BaseException], ...] = ()
) -> None:
    """Run items of `job` until none is left or its budget is used up.

    The body of the loop is the cost of an item: nothing that can be done per chunk belongs in it.

    Args:
        job: gets the results
        func: what to call
        place: is moved from item to item
        passing: exceptions that are not the item's error and end the loop instead
    """
    errors, stored = job.errors, job.stored
    claim, add_value, add_time = job.todo.popleft, job.values.append, job.clock.append
    place.chunk = job.chunk
    now = monotonic()
    add_time(now)
    deadline = now + job.chunk.budget
    offset = 0
    try:
        while True:
            try:
                item = claim()
            except IndexError:
                return
            place.offset = offset
            place.started = now
            try:
                value = func(item)
                if stored is not None:
                    stored.append(pickled(value))
            except passing:
                raise
            except BaseException as error:  # noqa: BLE001 - not ours: whatever it raises is its item's error
                if os.getpid() != job.pid:
                    leave(error)
                value = None
                errors[offset] = describe(error, passing=passing)
                if stored is not None:
                    stored.append(b"")
            add_value(value)
            now = monotonic()
            add_time(now)
            if now >= deadline:
                return
            offset += 1
    finally:
        # A traceback keeps the frames below it alive, this one too, as long as somebody keeps the error. It must not
        # keep all items and values of the chunk alive with it.
        del job, errors, stored, claim, add_value, add_time
        item = value = None


def initialize(
    initializer: Callable[[], object] | None, *, passing: tuple[type[BaseException], ...] = ()
) -> RunFailed | None:
    """Call the initializer; return the failure, if it raised anything but `passing`."""
    if initializer is None:
        return None
    try:
        initializer()
    except passing:
        raise
    except BaseException as error:  # noqa: BLE001 - not ours; a worker that is not ready must end the run, not itself
        text = describe(error).traceback
        failure = BackendError(f"initializer={initializer!r} raised, so no item can be run: make it succeed\n{text}")
        failure.__cause__ = error
        return RunFailed(failure)
    return None


def pickled(value: object) -> bytes:
    """Return a value as a journal keeps it.

    Raises:
        PicklingError: it cannot be pickled; the message names its type
    """
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        message = (
            f"the function returned {qualified_name(type(value))}, which cannot be pickled ({error}), and a journal "
            "needs results that can be pickled: return plain data, or run without a journal"
        )
        raise pickle.PicklingError(message) from error
