"""What a run decides and what befalls it, on its way into the journal: for people, so never at the run's expense.

An observer, in the driver's thread, thins out and puts what is left where the writer's thread finds it: it goes with
the next group commit, or by itself after a second without one.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from raddle._events import LimitChanged, RunEnded, RunStarted, RunStopping, WorkerReplaced
from raddle.journal import _rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raddle._events import Memory, Observed
    from raddle._ports import Gauge

__all__ = ["Happened", "Happenings", "Tap"]

#: of one kind are written as they come
_FREELY = 1000
#: of one kind in the time that the run has taken so far, beyond that: rows grow with the logarithm of time
_SPREAD = 1000
#: seconds between two looks at memory, at least
_MEMORY_EVERY = 2.0
_TEXT = 1000


class Happened(NamedTuple):
    """One of them. `at` is monotonic."""

    at: float
    kind: str
    number: float | None
    text: str


class Happenings:
    """Takes them in one thread, gives them out in another.

    Args:
        wake: called when there is something to write and there was nothing before
        clock: monotonic seconds
    """

    def __init__(self, wake: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._wake = wake
        self._clock = clock
        self._began = clock()
        self._ready: deque[Happened] = deque()
        self._written: dict[str, int] = {}
        self._last: dict[str, float] = {}
        #: the latest of each kind that has to wait, and how many went before it
        self._held: dict[str, tuple[Happened, int]] = {}
        self._due = float("inf")
        self._note = ""

    # ---------------------------------------------------------------------------------------- the driver's thread

    def observe(self, event: Observed) -> None:
        """Take in what an observer hears."""
        match event:
            case LimitChanged():
                self._add("choice" if event.backend else "limit", event.limit, event.reason)
            case WorkerReplaced():
                self._add("worker", None, f"{event.worker}: {event.reason}")
            case RunStopping():
                self._add("stopping", None, event.reason)
            case RunStarted() if self._note:
                self._add("choice", event.workers, self._note)
            case RunEnded():
                self._let_go(float("inf"))
            case _ if self._held and (now := self._clock()) >= self._due:
                self._let_go(now)

    def saw(self, memory: Memory) -> None:
        """Take in a look at memory."""
        now = self._clock()
        if now < self._last.get("memory", float("-inf")) + max(_MEMORY_EVERY, (now - self._began) / _SPREAD):
            return
        self._last["memory"] = now
        self._put(Happened(now, "memory", memory.used / memory.limit, f"{memory.used} of {memory.limit} bytes"))

    def chosen_before(self, note: str) -> None:
        """Say what was chosen before the run began, and why; "" if nothing was."""
        self._note = note

    def _add(self, kind: str, number: float | None, text: str) -> None:
        now = self._clock()
        if self._held and now >= self._due:
            self._let_go(now)
        happened = Happened(now, kind, number, _rows.safe_text(text, _TEXT))
        count = self._written.get(kind, 0)
        if count < _FREELY or now >= self._may_at(kind, now):
            before = self._held.pop(kind, (happened, 0))[1]
            self._write(happened, before)
        else:
            before = self._held[kind][1] + 1 if kind in self._held else 0
            self._held[kind] = (happened, before)
            self._due = min(self._due, self._may_at(kind, now))

    def _may_at(self, kind: str, now: float) -> float:
        return self._last.get(kind, float("-inf")) + max(1.0, (now - self._began) / _SPREAD)

    def _let_go(self, now: float) -> None:
        for kind, (happened, before) in list(self._held.items()):
            if now >= self._may_at(kind, happened.at):
                del self._held[kind]
                self._write(happened, before)
        self._due = min((self._may_at(kind, held.at) for kind, (held, _) in self._held.items()), default=float("inf"))

    def _write(self, happened: Happened, before: int) -> None:
        if before:
            happened = happened._replace(text=f"{happened.text} (and {before} more before it)")
        self._written[happened.kind] = self._written.get(happened.kind, 0) + 1
        self._last[happened.kind] = happened.at
        self._put(happened)

    def _put(self, happened: Happened) -> None:
        # Appended before the look: whoever empties the queue in between has taken this one too, and one that finds
        # others before it relies on theirs having woken the writer, which takes all there is.
        self._ready.append(happened)
        if len(self._ready) == 1:
            self._wake()

    # ---------------------------------------------------------------------------------------- the writer's thread

    def take(self) -> list[Happened]:
        """Return those that are to be written."""
        taken = []
        while self._ready:
            taken.append(self._ready.popleft())
        return taken

    def put_back(self, happened: list[Happened]) -> None:
        """Take back what could not be written; they are there at the next `take`."""
        self._ready.extendleft(reversed(happened))


class Tap:
    """A gauge that lets others know what it saw."""

    def __init__(self, gauge: Gauge, saw: Callable[[Memory], None]) -> None:
        self._gauge = gauge
        self._saw = saw

    def sample(self, pids: Mapping[int, int]) -> Memory:
        """See `raddle._ports.Gauge`."""
        memory = self._gauge.sample(pids)
        self._saw(memory)
        return memory

    def close(self) -> None:
        """See `raddle._ports.Gauge`."""
        self._gauge.close()
