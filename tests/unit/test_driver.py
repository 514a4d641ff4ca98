"""The driver with everything real but time and work: whole runs in virtual time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle import BackendError, Outcome, Retry, Status, Summary
from raddle import _events as events
from raddle._engine.commands import Finish
from raddle._engine.driver import Driver
from raddle._engine.machine import Machine
from raddle._engine.rules import Rules
from raddle._engine.source import Intake, Source
from raddle._policy.identity import item_id
from raddle._ports import RunHeader
from raddle.journal import MemoryJournal
from raddle.testing import FakeClock, SimulatedBackend, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass
class Life:
    outcomes: list[Outcome]
    summary: Summary
    error: BaseException | None
    backend: SimulatedBackend
    clock: FakeClock
    seen: list[events.Observed] = field(default_factory=list)

    def statuses(self) -> list[Status]:
        return [outcome.status for outcome in self.outcomes]


def live(
    plan: Callable[[Any, int], Step],
    items: Iterable[Any],
    *,
    workers: int = 2,
    key: Callable[[Any], Any] | None = None,
    priority: Callable[[Any], Any] | None = None,
    journal: MemoryJournal | None = None,
    resume: bool = False,
    stop_at: int | None = None,
    observers: list[Any] | None = None,
    depth: int = 2,
    **options: Any,
) -> Life:
    """Go through a whole run; with `stop_at`, ask it to stop after that many outcomes."""
    clock = FakeClock()
    backend = SimulatedBackend(plan, workers=workers, clock=clock, depth=depth, stored=journal is not None)
    rules = Rules(
        workers=workers,
        depth=depth,
        max_chunk=backend.capabilities.max_chunk,
        keyed=key is not None,
        prioritized=priority is not None,
        journaled=journal is not None,
        **options,
    )
    if journal is not None:
        journal.begin(RunHeader("test", "tests:plan", "1"), resume=resume, put=backend.inbox.put)
    seen: list[events.Observed] = []
    intake = Intake(
        Source(items, backend.inbox.put, threaded=False),
        key=key,
        priority=priority,
        identify=None if journal is None else lambda items: [item_id(item) for item in items],
        known=None if journal is None else journal.known,
    )
    machine = Machine(rules, chance=lambda: 0.5)
    driver = Driver(machine, backend, intake, clock=clock, journal=journal, observers=[seen.append, *(observers or ())])
    driver.begin(events.RunStarted("test", "simulated", workers, None))
    outcomes: list[Outcome] = []
    while True:
        while driver.outbox.empty:
            driver.step()
        batch = driver.outbox.get()
        if batch is None:
            break
        outcomes += batch
        if stop_at is not None and len(outcomes) >= stop_at:
            backend.inbox.put(events.StopAsked("close", "enough"))
            stop_at = None
        backend.inbox.put(events.Consumed(len(batch)))
    assert driver.outbox.summary is not None
    return Life(outcomes, driver.outbox.summary, driver.outbox.error, backend, clock, seen)


def returns(item: Any, attempt: int) -> Step:
    return Step(seconds=0.01, value=item * 10)


def test_every_item_gets_its_outcome_in_input_order() -> None:
    life = live(lambda item, _: Step(seconds=1.0 / (item + 1), value=item * 10), range(50), workers=4)
    assert [outcome.position for outcome in life.outcomes] == list(range(50))
    assert [outcome.value for outcome in life.outcomes] == [n * 10 for n in range(50)]
    assert life.summary.all_ok
    assert life.summary.ok == life.summary.attempts == 50


def test_as_completed_does_not_wait_for_the_slow_one() -> None:
    life = live(lambda item, _: Step(seconds=100 if item == 0 else 1, value=1), range(5), ordered=False)
    assert life.outcomes[-1].item == 0
    assert sorted(outcome.position for outcome in life.outcomes) == list(range(5))


def test_a_hanging_item_costs_itself_and_its_timeout() -> None:
    life = live(
        lambda item, _: Step(fate="hang") if item in (3, 50, 150) else Step(seconds=0.001, value=item),
        range(200),
        timeout=1,
    )
    late = [outcome for outcome in life.outcomes if outcome.status is Status.TIMED_OUT]
    assert [outcome.item for outcome in late] == [3, 50, 150]
    assert life.summary.ok == 197
    assert all(outcome.seconds == pytest.approx(1, abs=0.01) for outcome in late)
    assert all("timeout=1 s" in str(outcome.error) for outcome in late)
    assert life.clock.now() < 4
    assert life.summary.workers_lost == 3


def test_a_crash_in_a_chunk_costs_one_item_one_try() -> None:
    life = live(
        lambda item, attempt: Step(fate="crash") if item == 70 and attempt == 1 else Step(seconds=1e-5, value=item),
        range(200),
        retry=Retry(attempts=2),
    )
    assert life.summary.ok == 200
    assert life.outcomes[70].attempts == 2
    assert all(outcome.attempts == 1 for outcome in life.outcomes if outcome.item != 70)
    assert len(life.backend.started) == 201
    assert max(event.items for event in life.seen if isinstance(event, events.ChunkStarted)) > 8


def test_retries_wait_longer_and_longer_and_keep_the_last_error() -> None:
    life = live(lambda _, attempt: Step(error=ValueError(f"try {attempt}")), [1], retry=Retry(attempts=4))
    (outcome,) = life.outcomes
    assert outcome.status is Status.FAILED
    assert outcome.attempts == 4
    assert "try 4" in str(outcome.error)
    times = [start.time for start in life.backend.started]
    assert [late - early for early, late in pairwise(times)] == pytest.approx([0.05, 0.1, 0.2])
    with pytest.raises(ValueError, match="try 4"):
        outcome.unwrap()


def test_fail_stops_the_rest_and_reports_it() -> None:
    life = live(
        lambda item, _: Step(seconds=1, error=ValueError("no") if item == 3 else None, value=item),
        range(100),
        on_error="fail",
        report_unread=True,
    )
    assert len(life.outcomes) == 100
    assert life.statuses().count(Status.FAILED) == 1
    assert life.statuses()[-1] is Status.CANCELLED
    assert "on_error='fail': item 3" in life.summary.stopped
    assert life.summary.ok + life.summary.failed + life.summary.cancelled == 100
    assert len(life.backend.started) <= 8


def test_a_stop_lets_running_items_end_within_the_grace() -> None:
    life = live(lambda item, _: Step(seconds=3 if item < 7 else 1000, value=item), range(40), stop_at=7, grace=5)
    assert life.summary.stopped == "enough"
    assert life.clock.now() <= 12 + 5 + 1
    assert {Status.OK, Status.CANCELLED} == set(life.statuses())
    assert not life.summary.source_ended


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 4))
def test_one_item_of_a_key_at_a_time_in_order(keys: list[int], workers: int) -> None:
    life = live(
        lambda item, attempt: Step(seconds=(item[0] * 7 % 5) / 10, error=ValueError() if attempt == 1 else None),
        list(enumerate(keys)),
        key=lambda item: item[1],
        retry=Retry(attempts=2),
        workers=workers,
    )
    assert life.summary.ok == len(keys)
    for key in set(keys):
        starts = [start.position for start in life.backend.started if keys[start.position] == key]
        assert starts == sorted(starts)


def test_higher_priorities_start_first_among_those_that_wait() -> None:
    life = live(
        lambda item, _: Step(seconds=1, value=item),
        range(20),
        workers=1,
        depth=1,
        window=20,
        priority=lambda item: item % 5,
        ordered=False,
    )
    assert life.summary.ok == 20
    assert [start.position for start in life.backend.started] == sorted(range(20), key=lambda p: (-(p % 5), p))


@pytest.mark.parametrize("window", [1, 3, 10])
def test_no_more_than_the_window_is_pulled_before_something_is_consumed(window: int) -> None:
    pulled = 0

    def source() -> Iterable[int]:
        nonlocal pulled
        for n in range(50):
            pulled += 1
            assert pulled - consumed <= window + 1
            yield n

    consumed = 0

    def count(event: events.Observed) -> None:
        nonlocal consumed
        if isinstance(event, events.ItemsEnded):
            consumed += len(event.outcomes)

    assert live(returns, source(), window=window, observers=[count]).summary.ok == 50


def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    def source() -> Iterable[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    life = live(returns, source())
    assert [outcome.value for outcome in life.outcomes] == [0, 10, 20, 30, 40]
    assert isinstance(life.error, OSError)
    assert not life.summary.source_ended
    assert "the source raised OSError" in life.summary.stopped


def test_an_unhashable_key_ends_the_run_with_its_name() -> None:
    life = live(returns, range(3), key=lambda item: [item])
    assert isinstance(life.error, TypeError)
    assert "unhashable" in str(life.error)


def test_an_observer_that_raises_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def bad(event: events.Observed) -> None:
        calls.append(event)
        raise RuntimeError("broken view")

    with caplog.at_level(logging.ERROR, logger="raddle"):
        life = live(returns, range(30), observers=[bad])
    assert life.summary.ok == 30
    assert len(calls) == 1
    assert "is not called again" in caplog.text


def test_resume_runs_only_what_is_missing() -> None:
    journal = MemoryJournal()
    first = live(
        lambda item, _: Step(seconds=1, value=item * 10, error=ValueError("no") if item == 2 else None),
        range(20),
        journal=journal,
        stop_at=6,
        grace=0,
    )
    done = {outcome.item for outcome in first.outcomes if outcome.status is not Status.CANCELLED}
    assert 6 <= len(done) < 20
    second = live(returns, [*range(15, 20), *range(15)], journal=journal, resume=True)
    assert {outcome.item for outcome in second.outcomes if outcome.resumed} == done
    assert {start.position for start in second.backend.started} == {
        outcome.position for outcome in second.outcomes if not outcome.resumed
    }
    assert [outcome.item for outcome in second.outcomes] == [*range(15, 20), *range(15)]
    assert [outcome.value for outcome in second.outcomes if outcome.ok] == [
        outcome.item * 10 for outcome in second.outcomes if outcome.item != 2
    ]
    assert second.summary.failed == 1


@given(
    st.lists(st.sampled_from(["return", "raise", "hang", "crash"]), max_size=40),
    st.booleans(),
    st.integers(1, 3),
)
def test_totals_always_add_up(fates: list[Any], ordered: bool, workers: int) -> None:
    def plan(item: int, _: int) -> Step:
        error = ValueError("no") if fates[item] == "raise" else None
        return Step(seconds=0.01, value=item, error=error, fate=fates[item])

    life = live(plan, range(len(fates)), timeout=1, ordered=ordered, workers=workers)
    expected = {"return": Status.OK, "raise": Status.FAILED, "hang": Status.TIMED_OUT, "crash": Status.CRASHED}
    found = {outcome.position: outcome.status for outcome in life.outcomes}
    assert found == {position: expected[fate] for position, fate in enumerate(fates)}
    assert len(life.outcomes) == len(fates)


def test_values_of_a_chunk_that_nobody_holds_are_given_to_no_item() -> None:
    machine = Machine(Rules(), chance=lambda: 0.5)
    machine.begin(0.0)
    machine.handle(events.Pulled(["a"]), 0.0)
    *_, finish = machine.handle(events.ChunkEnded(0, 99, ["value"], [0.0, 1.0]), 1.0)
    assert isinstance(finish, Finish)
    assert isinstance(finish.error, BackendError)
    assert "chunk=99 was answered by worker-0, which does not hold it" in str(finish.error)
    assert (finish.summary.admitted, finish.summary.cancelled, finish.summary.ok) == (1, 1, 0)
