"""How much may start now: the one gate in front of the workers. It adds up what the policies compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle._events import LimitChanged
from raddle._policy.choice import NOTHING, add, choose
from raddle._policy.limits import FixedLimit, HillClimb, Limit
from raddle._policy.memory import MemoryGuard
from raddle._policy.rate import Bucket
from raddle._policy.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle import _events as events
    from raddle._engine.rules import Rules
    from raddle._engine.slots import Slots
    from raddle._model import Outcome, Running

__all__ = ["Limiter"]

#: seconds
_SOON = 0.001
_ANY = 1 << 30


class Limiter:
    """Slots in use, concurrency, gate, rate and memory of one run."""

    def __init__(self, rules: Rules) -> None:
        self.backend = rules.backend
        #: the slots in use are [first, end)
        self.first = 0
        self._slots = rules.workers
        self._rules = rules
        # While the first items are measured, as many processes as there are CPUs, unless the caller gave a number.
        trial = rules.trial if rules.limit is not None else min(rules.trial, rules.cpus)
        self._limit: Limit = FixedLimit(trial or rules.workers)
        if rules.limit is not None and not rules.trial:
            start, least, most = rules.limit
            self._limit = HillClimb(start=start, least=least, most=most)
        #: what is known of the first items, until it is chosen where the others run
        self._evidence = NOTHING if rules.trial else None
        self._throttle: Throttle | None = None
        self._bucket = None if rules.rate is None else Bucket(rules.rate)
        self._guard = MemoryGuard() if rules.guarded else None
        self._look_at: float | None = None
        self._held_until: float | None = None
        self._chosen = rules.note
        self._told = self.workers

    # ------------------------------------------------------------------------------------------ what may start

    @property
    def workers(self) -> int:
        """How many may be busy at once."""
        slots = self._slots - self.first
        if self._throttle is None:
            return min(self._limit.value, slots)
        # What throughput said is of no use beside a service that says how much it takes.
        most = self._limit.value if isinstance(self._limit, FixedLimit) else slots
        return max(1, min(most, slots, self._throttle.limit))

    @property
    def end(self) -> int:
        """The slot behind the last one in use."""
        return self.first + self.workers

    def pick(self, slots: Slots, depth: int) -> int | None:
        """Return the worker to give the next chunk to, if any may have one."""
        least = 0
        if self._guard is not None and self._guard.most is not None and slots.busy >= self._guard.most:
            if self._guard.held_back:
                return None
            least = 1  # no further worker, but those that are busy may go on
        return slots.pick(self.first, self.end, depth, least=least)

    def permits(self, now: float, cost: float = 0.0) -> int:
        """Return how many items may start now, the first of which costs that much; if none, ask at `wake_at` again."""
        self._held_until = None
        permits = _ANY
        if self._throttle is not None:
            permits = self._throttle.permits(now)
            if permits < 1:
                # Never at once: by a rounding error there may be nothing yet when the time has come.
                self._held_until = max(self._throttle.wake_at(now) or 0.0, now + _SOON)
        if self._bucket is not None and permits:
            permits = min(permits, self._bucket.permits(now, cost))
            if permits < 1:
                self._held_until = max(self._bucket.next_at(now, cost), now + _SOON)
        return permits

    def took(self, now: float, items: int, cost: float = 0.0) -> None:
        """Say that so many items start, of that cost in all."""
        if self._throttle is not None:
            self._throttle.took(now, items)
        if self._bucket is not None:
            self._bucket.take(now, items, cost)

    @property
    def wake_at(self) -> float | None:
        """When something changes by time alone."""
        times = [time for time in (self._held_until, self._look_at) if time is not None]
        return min(times, default=None)

    # --------------------------------------------------------------------------------------------- what it hears

    def ended(self, now: float, items: int, busy: int) -> None:
        """Say that a worker is through with so many items; how many were busy until then."""
        if self._throttle is None:
            self._limit.ended(now, items, busy)

    def rejected(self, now: float, started: float, retry_after: float | None, *, busy: int, chance: float) -> None:
        """Say that a service refused an item, when so many workers were busy."""
        if self._throttle is None:
            self._throttle = Throttle(limit=busy, most=self._slots - self.first)
        self._throttle.rejected(now, started, retry_after, chance)

    @property
    def throttled(self) -> bool:
        """Whether `accepted` is of interest."""
        return self._throttle is not None

    def accepted(self, now: float, items: int, started: float, *, busy: int) -> None:
        """Say that so many items ended in any other way, the first of them started at `started`."""
        if self._throttle is not None:
            self._throttle.succeeded(now, items, started, busy)

    def measured(self, event: events.Measured) -> None:
        """Take in what a worker saw of the first items; choose where the others run, once that is enough."""
        if self._evidence is None:
            return
        self._evidence = add(self._evidence, event)
        rules = self._rules
        threads = rules.workers - rules.trial
        choice = choose(self._evidence, cpus=rules.cpus, most=threads, processes=rules.trial)
        if choice is None:
            return
        self._evidence = None
        self.backend, self._chosen = choice.backend, choice.reason
        if choice.backend == "threads":
            self.first = rules.trial
            if rules.limit is not None:
                self._limit = FixedLimit(threads)  # the caller's own number
            elif choice.start < choice.most:
                self._limit = HillClimb(start=choice.start, least=1, most=choice.most)
            else:
                self._limit = FixedLimit(choice.start)
        elif rules.limit is None:
            self._limit = FixedLimit(choice.start)
        self._told = 0  # worth telling, whatever the number

    def changed(self) -> LimitChanged | None:
        """Return what the observers should hear, if the number of workers is another one than last time."""
        workers = self.workers
        if workers == self._told:
            return None
        changed = LimitChanged(workers, self._reason()) if self._told else self._chose(workers)
        self._told = workers
        return changed

    def _chose(self, workers: int) -> LimitChanged:
        return LimitChanged(workers, self.decision, self.backend)

    @property
    def decision(self) -> str:
        """What was chosen while the run went on, and why."""
        return "; ".join(part for part in (self._chosen, self._reason()) if part)

    def _reason(self) -> str:
        if self._throttle is not None:
            return self._throttle.reason
        return "" if isinstance(self._limit, FixedLimit) else self._limit.reason

    # ---------------------------------------------------------------------------------------------------- memory

    def wants_memory(self, now: float) -> bool:
        """Whether it is time for a look."""
        return self._guard is not None and (self._look_at is None or now >= self._look_at)

    def look_again(self, now: float, *, busy: bool) -> None:
        """Say when to look next: at what holds items back, and at memory as long as anything runs."""
        if self._held_until is not None and self._held_until <= now:
            self._held_until = None  # its time has come, and no worker was free to ask for more
        if self._guard is None:
            return
        if not busy:
            self._look_at = None
        elif self._look_at is None or now >= self._look_at:
            self._look_at = now + self._guard.look_in

    def saw(self, now: float, memory: events.Memory, running: list[Running]) -> Running | None:
        """Take in a look at memory; return the item that must go, if one must."""
        if self._guard is None:
            return None
        self._guard.saw(now, memory, running)
        slot = self._guard.victim
        victim = next((item for item in running if item.worker == slot), None)
        if victim is not None:
            self._guard.killed(victim.worker)
        return victim

    def lost(self, worker: int, reason: str) -> str:
        """Say that a worker is gone, by itself for that reason; return why, if it was killed for want of memory."""
        return (self._guard.lost(worker, reason) or "") if self._guard is not None else ""

    def again(self, position: int) -> bool:
        """Whether an item that was killed for want of memory may run again, alone."""
        return self._guard is not None and self._guard.again(position)

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """Say that items have their outcome."""
        if self._guard is not None and self._guard.alone:
            for outcome in outcomes:
                self._guard.ended(outcome.position)

    @property
    def memory_peak(self) -> float:
        """Highest part of what is granted that was seen in use."""
        return 0.0 if self._guard is None else self._guard.peak
