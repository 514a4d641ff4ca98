"""A backend in which time and fate are given: no threads, no waiting, the same history every time.

    plan(item, attempt) ──▶ Step ──▶ slots ──▶ take(): moves the clock to the next happening ──▶ events

Whole runs, with hangs of an hour and crashes in between, take microseconds. It also holds its user to the contract of
`Backend`: a breach is an AssertionError at the call that commits it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from raddle._events import ChunkEnded, WorkerLost
from raddle._model import Running
from raddle._ports import Capabilities, Inbox
from raddle.backends._job import pickled
from raddle.backends._shell import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._events import Event
    from raddle._model import Chunk, ErrorInfo, StopHow
    from raddle.testing.clock import FakeClock

__all__ = ["Ended", "SimulatedBackend", "Started", "Step"]

Fate = Literal["return", "raise", "hang", "crash"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one try of an item does: after `seconds` it returns `value`, raises `error`, or its worker crashes.

    One that hangs ends only when it is killed. An `error` is enough to make it raise.
    """

    seconds: float = 0.0
    value: Any = None
    error: Exception | None = None
    fate: Fate = "return"


class Started(NamedTuple):
    """An item was started."""

    time: float
    worker: int
    position: int
    attempt: int


class Ended(NamedTuple):
    """An item ended: "return" or "raise" in a chunk that goes on, "crash" or "kill" with its worker."""

    time: float
    worker: int
    position: int
    attempt: int
    how: Literal["return", "raise", "crash", "kill"]


class _Job:
    """A chunk in a slot. Of `limit` items `len(values)` are finished; the next is under way once `clock` is begun."""

    __slots__ = ("chunk", "clock", "due", "errors", "limit", "step", "stored", "values", "worker")

    def __init__(self, worker: int, chunk: Chunk, *, stored: bool) -> None:
        self.worker = worker
        self.chunk = chunk
        self.limit = len(chunk.items)
        self.values: list[Any] = []
        self.clock: list[float] = []
        self.errors: dict[int, ErrorInfo] = {}
        self.stored: list[bytes] | None = [] if stored else None
        self.step = Step()
        self.due = float("inf")

    def ended(self, now: float) -> ChunkEnded:
        return ChunkEnded(self.worker, self.chunk.number, self.values, self.clock or [now], self.errors, self.stored)


class _Inbox:
    """The way up, and what makes time pass. For one thread: whoever takes is whoever puts."""

    __slots__ = ("_advance", "mail")

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        self.mail: list[Event] = []
        self._advance = advance

    def put(self, event: Event) -> None:
        self.mail.append(event)

    def take(self, timeout: float | None) -> list[Event]:
        self._advance(timeout)
        taken, self.mail = self.mail, []
        return taken


class SimulatedBackend:
    """Run chunks by a plan, on a fake clock that `inbox.take` moves.

    `take(timeout)` first lets happen what is due, then, if no event has come of it, moves the clock to the next
    happening, and so on until there is an event or `timeout` has passed on the clock. `take(None)` with nothing under
    way would wait for ever: AssertionError. Things due at the same instant happen by worker number.

    Args:
        plan: (item, attempt) -> what this try does; called when the item starts
        workers: number of slots
        clock: is read and moved
        enforces_timeout, max_chunk, depth: what the capabilities say, and what is demanded of the user
        stored: also pickle each value
    """

    capabilities: Capabilities
    inbox: Inbox
    #: every item started, in order
    started: list[Started]
    #: every item that ended, in order; one that is under way when all is closed does not
    ended: list[Ended]

    def __init__(
        self,
        plan: Callable[[Any, int], Step],
        *,
        workers: int,
        clock: FakeClock,
        enforces_timeout: bool = True,
        max_chunk: int = 8192,
        depth: int = 2,
        stored: bool = False,
    ) -> None:
        self.capabilities = Capabilities("simulated", "simulated", workers, enforces_timeout, max_chunk, depth)
        self._inbox = _Inbox(self._advance)
        self.inbox = self._inbox
        self.started = []
        self.ended = []
        self._plan = plan
        self._clock = clock
        self._stored = stored
        self._slots: list[deque[_Job]] = [deque() for _ in range(workers)]
        self._seen: set[int] = set()
        self._closed = False

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot.

        Raises:
            AssertionError: this start breaks the contract
        """
        can = self.capabilities
        _demand(not self._closed, f"chunk={chunk.number} was started after close()")
        _demand(0 <= worker < can.workers, f"worker={worker} is not a slot: there are {can.workers}, numbered from 0")
        _demand(chunk.number not in self._seen, f"chunk={chunk.number} was started before: numbers are for one use")
        size = len(chunk.items)
        _demand(1 <= size <= can.max_chunk, f"chunk={chunk.number} has {size} items: give 1 to {can.max_chunk}")
        _demand(len(chunk.positions) == size, f"chunk={chunk.number} has {len(chunk.positions)} positions for {size}")
        _demand(chunk.ids is None or len(chunk.ids) == size, f"chunk={chunk.number} needs one id for each item")
        _demand(chunk.attempt >= 1, f"chunk={chunk.number} has attempt={chunk.attempt}: the first is 1")
        slot = self._slots[worker]
        _demand(
            len(slot) < can.depth,
            f"worker={worker} holds {len(slot)} chunks: wait for an answer before the next, depth={can.depth}",
        )
        self._seen.add(chunk.number)
        slot.append(_Job(worker, chunk, stored=self._stored))
        if len(slot) == 1:
            self._begin(slot[0])

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot, as of this instant; what is due by now has ended before."""
        _demand(how in ("close", "kill"), f"how={how!r} is not known: give 'close' or 'kill'")
        slot = self._slots[worker]
        self._settle(slot)
        for job in slot:
            job.limit = len(job.values)
        if slot:
            slot[0].limit += 1  # the item under way
        if how == "kill" and slot:
            self._lose(slot, "kill", "killed by the simulation")
        elif how == "kill":
            self._inbox.put(WorkerLost(worker, (), None, None, "killed by the simulation, with nothing under way"))

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot."""
        heads = [slot[0] for slot in self._slots if slot]
        return [Running(job.worker, job.chunk.number, len(job.values), job.clock[-1]) for job in heads]

    def close(self) -> None:
        """End everything; nobody is told."""
        self._closed = True
        for slot in self._slots:
            slot.clear()

    def _advance(self, timeout: float | None) -> None:
        until = float("inf") if timeout is None else self._clock.now() + max(timeout, 0.0)
        while True:
            for slot in self._slots:
                self._settle(slot)
            if self._inbox.mail:
                return
            due = min((slot[0].due for slot in self._slots if slot), default=float("inf"))
            if due > until:
                self._clock.advance_to(until)
                return
            _demand(due < float("inf"), "take(None) would wait for ever: nothing that could end is under way")
            self._clock.advance_to(due)

    def _settle(self, slot: deque[_Job]) -> None:
        """Let happen in a slot all that is due by now."""
        now = self._clock.now()
        while slot and slot[0].due <= now:
            job = slot[0]
            if job.step.fate == "crash":
                self._lose(slot, "crash", "crashed by the simulation")
                return
            self._finish_item(job)
            used_up = job.clock[-1] - job.clock[0] >= job.chunk.budget
            if len(job.values) < job.limit and not used_up:
                self._start_item(job)
                continue
            self._answer(slot.popleft())
            # A chunk from which everything was withdrawn is answered in its turn.
            while slot and not self._begin(slot[0]):
                self._answer(slot.popleft())

    def _answer(self, job: _Job) -> None:
        self._inbox.put(job.ended(self._clock.now()))

    def _begin(self, job: _Job) -> bool:
        """Start the first item of a chunk, if it is still to be run."""
        if job.limit == 0:
            return False
        job.clock.append(self._clock.now())
        self._start_item(job)
        return True

    def _start_item(self, job: _Job) -> None:
        offset = len(job.values)
        _demand(offset < job.limit, f"chunk={job.chunk.number} offset={offset} would start after it was stopped")
        job.step = step = self._plan(job.chunk.items[offset], job.chunk.attempt)
        job.due = float("inf") if step.fate == "hang" else job.clock[-1] + step.seconds
        self.started.append(Started(job.clock[-1], job.worker, job.chunk.positions[offset], job.chunk.attempt))

    def _finish_item(self, job: _Job) -> None:
        step, offset = job.step, len(job.values)
        error: Exception | None = step.error
        if error is None and step.fate == "raise":
            error = RuntimeError("raised by the simulation")
        image = b""
        if error is None and job.stored is not None:
            try:
                image = pickled(step.value)
            except PicklingError as refused:
                error = refused
        if error is not None:
            job.errors[offset] = describe(error)
        if job.stored is not None:
            job.stored.append(image)
        job.values.append(step.value if error is None else None)
        job.clock.append(job.due)
        self._note(job, offset, "return" if error is None else "raise")

    def _lose(self, slot: deque[_Job], how: Literal["crash", "kill"], reason: str) -> None:
        job = slot[0]
        offset = len(job.values)
        chunks = tuple(held.chunk.number for held in slot)
        slot.clear()
        self._note(job, offset, how)
        ended = job.ended(self._clock.now())
        self._inbox.put(WorkerLost(job.worker, chunks, ended, offset, reason, job.clock[-1]))

    def _note(self, job: _Job, offset: int, how: Literal["return", "raise", "crash", "kill"]) -> None:
        time = self._clock.now() if how == "kill" else job.due
        self.ended.append(Ended(time, job.worker, job.chunk.positions[offset], job.chunk.attempt, how))


def _demand(kept: bool, breach: str) -> None:  # noqa: FBT001 - an assert that `python -O` does not remove
    if not kept:
        raise AssertionError(f"the contract of Backend is broken: {breach}")
