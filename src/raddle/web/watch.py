"""One look at each journal for all who watch, about twice a second, and none while nobody does."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from raddle.errors import JournalError
from raddle.journal.history import History, Mark, RunRow
from raddle.web.views import Speed, run_summary, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.web.settings import Settings

__all__ = ["Hub", "Listener", "Look"]

#: of the time of one processor that looking may take
_SHARE = 0.04
#: seconds after which running runs are looked at even if nothing was recorded: their programs may have died
_STALE = 2.0

State = dict[str, Any]


class Look:
    """One journal as the page knows it: what was seen last, and what can be skipped next time."""

    def __init__(self, number: int, history: History, wall: Callable[[], float] = time.time) -> None:
        self.number = number
        self.history = history
        self._wall = wall
        self._lock = threading.Lock()
        self._speed = Speed()
        self._mark: Mark | None = None
        self._at = float("-inf")
        self._counts: dict[tuple[Any, ...], dict[str, int]] = {}
        #: what was seen last
        self.state: State = {"journal": number, "problem": None, "runs": []}

    def again(self) -> State:
        """Return what the journal says now. It is the same object as before if nothing has changed."""
        with self._lock:
            return self._again(self._wall())

    def _again(self, now: float) -> State:
        try:
            mark = self.history.mark()
            alive = any(run["state"] == "running" for run in self.state["runs"])
            if mark == self._mark and not (alive and now - self._at >= _STALE) and self.state["problem"] is None:
                return self.state
            runs = self._runs(mark, now)
        except JournalError as error:
            return self._trouble(str(error))
        except Exception as error:  # noqa: BLE001 - the end of a task: whoever watches must hear of it
            return self._trouble(f"journal={self.history.path}: cannot be read: {type(error).__name__}: {error}")
        self._mark, self._at = mark, now
        self.state = {"journal": self.number, "problem": None, "runs": runs}
        return self.state

    def _trouble(self, problem: str) -> State:
        self._mark = None
        if problem != self.state["problem"]:
            self.state = self.state | {"problem": problem}
        return self.state

    def _runs(self, mark: Mark, now: float) -> list[State]:
        if self._mark is not None and mark.file != self._mark.file:
            self._counts.clear()  # another file: equal numbers are of other runs
        known: dict[tuple[Any, ...], dict[str, int]] = {}
        told = []
        rows = self.history.runs()
        for run in rows:
            counts = self._counted(run, known)
            rate = None
            if running(run):
                rate = self._speed.add((run.uid, run.sessions), now, sum(counts.values()))
            told.append(run_summary(run, self.number, counts, rate, now))
        self._counts = known
        self._speed.forget({(run.uid, run.sessions) for run in rows if running(run)})
        return told

    def _counted(self, run: RunRow, known: dict[tuple[Any, ...], dict[str, int]]) -> dict[str, int]:
        """Count the outcomes of a run; of one that has ended, only once."""
        key = (run.uid, run.state, run.sessions, run.ended)
        counts = None if running(run) else self._counts.get(key)
        if counts is None:
            counts = {status.value: count for status, count in self.history.counts(run.id).items()}
        if not running(run):
            known[key] = counts
        return counts


class Listener:
    """One open page: of each journal the latest state only, so that a slow reader costs nothing."""

    def __init__(self, only: tuple[int, str] | None) -> None:
        self._only = only
        self._latest: dict[int, State] = {}
        self._sent: dict[int, Any] = {}
        self._news = asyncio.Event()
        self._closed = False

    def tell(self, state: State) -> None:
        """Take a state."""
        self._latest[state["journal"]] = state
        self._news.set()

    def close(self) -> None:
        """Let the stream end."""
        self._closed = True
        self._news.set()

    async def next(self, patience: float) -> list[State] | None:
        """Wait for news, at most so many seconds; return what differs from what was sent, None at the end."""
        try:
            await asyncio.wait_for(self._news.wait(), patience)
        except TimeoutError:
            return []
        self._news.clear()
        if self._closed:
            return None
        states = [self._cut(state) for state in self._latest.values()]
        self._latest.clear()
        fresh = [state for state in states if self._sent.get(state["journal"]) != state]
        self._sent |= {state["journal"]: state for state in fresh}
        return fresh

    def _cut(self, state: State) -> State:
        if self._only is None:
            return state
        _, uid = self._only
        return state | {"runs": [run for run in state["runs"] if run["uid"] == uid]}


class Hub:
    """Who listens to which journal, and the tasks that look."""

    def __init__(self, settings: Settings, looks: list[Look]) -> None:
        self._settings = settings
        self._looks = looks
        self._listeners: dict[Listener, list[int]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        #: looks that were taken, for tests
        self.taken = 0

    def listen(self, only: tuple[int, str] | None) -> Listener | None:
        """Begin to listen to all journals, or to that of one run; None if too many do already."""
        if len(self._listeners) >= self._settings.clients:
            return None
        listener = Listener(only)
        numbers = list(range(len(self._looks))) if only is None else [only[0]]
        self._listeners[listener] = numbers
        for number in numbers:
            if number not in self._tasks:
                self._tasks[number] = asyncio.create_task(self._poll(number))
            elif (state := self._looks[number].state)["runs"] or state["problem"]:
                listener.tell(state)
        return listener

    @property
    def watched(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @property
    def looking(self) -> int:
        """How many journals are looked at."""
        return len(self._tasks)

    def leave(self, listener: Listener) -> None:
        """End to listen."""
        self._listeners.pop(listener, None)

    def stop(self) -> None:
        """End all streams; a server that is asked to end would wait for them for ever."""
        for listener in self._listeners:
            listener.close()

    async def _poll(self, number: int) -> None:
        """Look until nobody listens any more."""
        look, last = self._looks[number], None
        try:
            while any(number in numbers for numbers in self._listeners.values()):
                began = time.monotonic()
                state = await asyncio.to_thread(look.again)
                took = time.monotonic() - began
                self.taken += 1
                # Those who listen by now: somebody who came meanwhile was told of the state before.
                for listener, numbers in self._listeners.items() if state is not last else ():
                    if number in numbers:
                        listener.tell(state)
                last = state
                await asyncio.sleep(max(self._settings.poll, took / _SHARE - took))
        finally:
            del self._tasks[number]
