"""What holds items back, in whole runs in virtual time: rejections, rates, memory, suspects, the choice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from raddle import ConfigError, Outcome, Rate, Rejected, Status, Summary
from raddle import _events as events
from raddle._engine.driver import Driver
from raddle._engine.machine import Machine
from raddle._engine.rules import Rules
from raddle._engine.source import Intake, Source
from raddle.testing import FakeClock, SimulatedBackend, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from raddle._model import Running


class Life:
    """A whole run."""

    def __init__(
        self,
        plan: Callable[[Any, int], Step],
        items: Iterable[Any],
        *,
        workers: int = 2,
        memory: Callable[[list[Running]], events.Memory] | None = None,
        say: list[events.Event] | None = None,
        cost: Callable[[Any], float] | None = None,
        interruptions: Mapping[int, int] | None = None,
        **options: Any,
    ) -> None:
        self.clock = FakeClock()
        self.backend = SimulatedBackend(plan, workers=workers, clock=self.clock, depth=1)
        rules = Rules(workers=workers, guarded=memory is not None, **options)
        source = Source(items, self.backend.inbox.put, threaded=False)
        intake = Interrupted(source, cost=cost) if interruptions else Intake(source, cost=cost)
        if isinstance(intake, Interrupted):
            intake.interruptions = dict(interruptions or {})
        self.seen: list[events.Observed] = []
        machine = Machine(rules, chance=lambda: 0.5)
        place = self.backend if memory is None else WithPids(self.backend)
        gauge = None if memory is None else Gauge(self.backend, memory)
        driver = Driver(machine, place, intake, clock=self.clock, gauge=gauge, observers=[self.seen.append])
        for event in say or ():
            self.backend.inbox.put(event)
        driver.begin(events.RunStarted("test", "simulated", workers, None))
        self.outcomes: list[Outcome] = []
        while True:
            while driver.outbox.empty:
                driver.step()
            batch = driver.outbox.get()
            if batch is None:
                break
            self.outcomes += batch
            self.backend.inbox.put(events.Consumed(len(batch)))
        assert driver.outbox.summary is not None
        self.summary: Summary = driver.outbox.summary
        self.error = driver.outbox.error

    def starts(self) -> list[float]:
        return [started.time for started in self.backend.started]


class Interrupted(Intake):
    """Says of some items how often the program has died under them."""

    interruptions: dict[int, int]

    def collect(self, *, stopping: bool = False) -> list[events.Pulled | events.SourceEnded]:
        heard = super().collect(stopping=stopping)
        first = 0
        for number, event in enumerate(heard):
            if isinstance(event, events.Pulled):
                counts = {
                    offset: self.interruptions[item]
                    for offset, item in enumerate(event.items, first)
                    if item in self.interruptions
                }
                heard[number] = event._replace(interruptions=counts)
        return heard


class WithPids:
    """A backend whose workers are processes, as far as the memory guard can tell."""

    def __init__(self, backend: SimulatedBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def running(self) -> list[Running]:
        return [running._replace(pid=1000 + running.worker) for running in self._backend.running()]


class Gauge:
    def __init__(self, backend: SimulatedBackend, memory: Callable[[list[Running]], events.Memory]) -> None:
        self._backend = backend
        self._memory = memory

    def sample(self, pids: Mapping[int, int]) -> events.Memory:
        return self._memory(self._backend.running())

    def close(self) -> None:
        pass


# ------------------------------------------------------------------------------------------------------- rejected


def test_a_rejected_item_waits_as_asked_and_its_try_does_not_count() -> None:
    told: list[float] = []

    def plan(item: int, attempt: int) -> Step:
        if item == 3 and not told:
            told.append(0.0)
            return Step(seconds=0.1, error=Rejected("429", retry_after=10.0))
        return Step(seconds=0.1, value=item)

    life = Life(plan, range(20))
    assert [outcome.status for outcome in life.outcomes] == [Status.OK] * 20
    assert life.outcomes[3].attempts == 1
    assert (life.summary.rejected, life.summary.attempts) == (1, 21)
    rejected_at = next(end.time for end in life.backend.ended if end.position == 3)
    assert not [start for start in life.starts() if rejected_at < start < rejected_at + 10]
    assert "rejected 1 times" in life.summary.decision


def test_who_is_rejected_for_ever_fails_in_the_end() -> None:
    def plan(item: int, attempt: int) -> Step:
        return Step(seconds=0.1, error=Rejected("no")) if item == 1 else Step(seconds=0.1, value=item)

    life = Life(plan, range(3), max_rejections=4)
    assert [outcome.status for outcome in life.outcomes] == [Status.OK, Status.FAILED, Status.OK]
    assert life.outcomes[1].error is not None
    assert life.outcomes[1].error.type == "raddle.errors.Rejected"
    assert life.summary.rejected == 5


# ----------------------------------------------------------------------------------------------------------- rate


def test_no_more_start_per_second_than_the_rate_allows() -> None:
    life = Life(lambda item, _: Step(seconds=0.001, value=item), range(50), workers=8, rate=Rate(10))
    starts = life.starts()
    assert len(starts) == 50
    assert all(sum(start <= other < start + 1 for other in starts) <= 11 for start in starts)
    assert 4.5 < starts[-1] < 5.5


def test_a_second_quantity_is_limited_too() -> None:
    rate = Rate(1000, units=100, cost=float)
    life = Life(lambda item, _: Step(seconds=0.001, value=item), [50] * 10, workers=4, rate=rate, cost=rate.cost_of)
    waits = [later - sooner for sooner, later in pairwise(life.starts())]
    assert all(wait == pytest.approx(0.5, abs=0.01) for wait in waits[1:])


def test_a_cost_that_is_no_number_ends_the_run_and_says_so() -> None:
    rate = Rate(10, units=100, cost=lambda item: -1.0)
    life = Life(lambda item, _: Step(value=item), range(5), rate=rate, cost=rate.cost_of)
    assert isinstance(life.error, ConfigError)
    assert "0 or more" in str(life.error)


# --------------------------------------------------------------------------------------------------------- memory


def test_items_are_held_back_while_memory_is_short() -> None:
    def memory(running: list[Running]) -> events.Memory:
        return events.Memory(100 + 350 * len(running), 1000, 0.0, {one.worker: 350 for one in running})

    life = Life(lambda item, _: Step(seconds=5.0, value=item), range(12), workers=4, memory=memory)
    assert life.summary.ok == 12
    assert life.summary.workers_lost == 0
    moments = [(start, 1) for start in life.starts()] + [(end.time, -1) for end in life.backend.ended]
    busy = most = 0
    for at, change in sorted(moments):
        busy += change
        if at > 6.0:  # the first few start before anybody knows what an item needs
            most = max(most, busy)
    assert most <= 2
    assert life.summary.memory_peak >= 0.8


def test_what_is_too_big_is_killed_twice_and_the_others_live() -> None:
    def memory(running: list[Running]) -> events.Memory:
        workers = {one.worker: 900 if items[one.chunk] == 5 else 10 for one in running}
        return events.Memory(90 + sum(workers.values()), 1000, 0.0, workers)

    items: dict[int, int] = {}

    def plan(item: int, attempt: int) -> Step:
        items[len(items) + 1] = item  # chunks of one item, numbered from 1 as they start
        return Step(fate="hang") if item == 5 else Step(seconds=1.0, value=item)

    life = Life(plan, range(10), workers=3, memory=memory)
    assert [outcome.item for outcome in life.outcomes if not outcome.ok] == [5]
    big = life.outcomes[5]
    assert big.status is Status.CRASHED
    assert big.error is not None
    assert big.error.type == "raddle.errors.OutOfMemory"
    assert "ran alone" in big.error.message
    tries = [started for started in life.backend.started if started.position == 5]
    kills = [end for end in life.backend.ended if end.how == "kill" and end.position == 5]
    assert len(tries) == len(kills) == 2
    second = tries[1].time, kills[1].time
    assert not [s for s in life.backend.started if s.position != 5 and second[0] <= s.time < second[1]]


# ------------------------------------------------------------------------------------------- suspects, the choice


def test_a_suspect_runs_while_nothing_else_does() -> None:
    life = Life(
        lambda item, _: Step(seconds=1.0, value=item), range(6), workers=3, interruptions={2: 2}, max_interruptions=5
    )
    assert life.summary.ok == 6
    mine = next(start.time for start in life.backend.started if start.position == 2)
    assert not [s for s in life.backend.started if s.position != 2 and mine - 1 < s.time < mine + 1]


@pytest.mark.parametrize(("cpu", "backend"), [(0.0001, "threads"), (0.01, "processes")])
def test_the_run_goes_on_where_the_first_items_say(cpu: float, backend: str) -> None:
    measured = events.Measured(20, 0.2, 20 * cpu, 0.005, 20, 0.001)
    life = Life(lambda item, _: Step(seconds=0.01, value=item), range(200), workers=10, trial=2, cpus=2, say=[measured])
    assert life.summary.ok == 200
    assert life.summary.backend == backend
    assert backend in life.summary.decision
    late = {start.worker for start in life.backend.started[20:]}
    assert late <= ({0, 1} if backend == "processes" else set(range(2, 10)))
    assert any(isinstance(event, events.LimitChanged) for event in life.seen)
