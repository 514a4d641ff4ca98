"""The driver with everything real but time and work: whole runs in virtual time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle import BackendError, ConfigError, Outcome, Retry, Status, Summary
from raddle import _events as events
from raddle._engine.commands import Finish
from raddle._engine.driver import Driver
from raddle._engine.machine import Machine
from raddle._engine.rules import Rules
from raddle._engine.sorter import Sorter
from raddle._engine.source import Intake, Source
from raddle._policy.identity import item_id
from raddle._ports import Lease, Record, RunHeader
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
    permit: Callable[[Any], str | None] | None = None,
    permits: dict[str, int] | None = None,
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
        permits=permits,
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
        sorter=None
        if permit is None
        else Sorter(permit, permits or {}, backend.inbox.put, give_up=rules.max_interruptions, threaded=False),
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


def starts_of(life: Life) -> list[tuple[float, int]]:
    return [(start.time, start.position) for start in life.backend.started]


@pytest.mark.parametrize(
    ("items", "workers", "permits", "starts"),
    [
        # what waits for its permit is overtaken, and nothing else waits
        ("eeelll", 2, {"e": 1}, [(0, 0), (0, 3), (1, 1), (1, 4), (2, 2), (2, 5)]),
        ("eeelll", 3, {"e": 2}, [(0, 0), (0, 1), (0, 3), (1, 2), (1, 4), (1, 5)]),
        # two classes, each with its own number
        ("eefff", 4, {"e": 1, "f": 2}, [(0, 0), (0, 2), (0, 3), (1, 1), (1, 4)]),
        # more permits than workers change nothing
        ("eelele", 2, {"e": 9}, [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]),
        # nothing but one class: the other workers stay free
        ("eee", 3, {"e": 1}, [(0, 0), (1, 1), (2, 2)]),
        # the oldest that may start goes first, of whatever class
        ("elfel", 1, {"e": 1, "f": 1}, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]),
    ],
)
@pytest.mark.parametrize("ordered", [True, False])
def test_each_class_has_its_own_limit(
    items: str, workers: int, permits: dict[str, int], starts: list[tuple[float, int]], ordered: bool
) -> None:
    life = live(
        lambda _item, _: Step(seconds=1),
        items,
        workers=workers,
        permits=permits,
        permit=lambda item: None if item == "l" else item,
        ordered=ordered,
    )
    assert starts_of(life) == starts
    assert [outcome.item for outcome in sorted(life.outcomes)] == list(items)
    assert not ordered or [outcome.position for outcome in life.outcomes] == list(range(len(items)))


@pytest.mark.parametrize(
    ("first", "options", "starts"),
    [
        # outcome
        (Step(seconds=1, error=ValueError()), {}, [(0, 0), (1, 1)]),
        # while the first waits for its next try (0.5 s after the first), the second has the permit
        (
            Step(seconds=1, error=ValueError()),
            {"retry": Retry(attempts=2, wait_initial=1)},
            [(0, 0), (1, 1), (2, 0)],
        ),
        # killed
        (Step(fate="hang"), {"timeout": 3}, [(0, 0), (3, 1)]),
        # crashed
        (Step(seconds=1, fate="crash"), {}, [(0, 0), (1, 1)]),
    ],
)
def test_a_permit_is_held_until_the_attempt_has_ended(first: Step, options: Any, starts: list[Any]) -> None:
    life = live(
        lambda item, attempt: first if (item, attempt) == (0, 1) else Step(seconds=1),
        range(2),
        permits={"e": 1},
        permit=lambda _: "e",
        **options,
    )
    assert starts_of(life) == starts


def test_a_retry_takes_its_turn_in_its_class() -> None:
    life = live(
        lambda item, attempt: Step(seconds=1, error=ValueError() if (item, attempt) == (0, 1) else None),
        range(4),
        permits={"e": 1},
        permit=lambda _: "e",
        retry=Retry(attempts=2, wait_initial=1),
    )
    assert starts_of(life) == [(0, 0), (1, 1), (2, 0), (3, 2), (4, 3)]


def test_a_keyed_item_needs_its_lane_and_its_permit() -> None:
    # a1 waits for the permit that a2, of no class, must not overtake; b2 has neither to wait for.
    items = [("e", "x"), ("e", "a"), (None, "a"), (None, "b")]
    life = live(
        lambda _item, _: Step(seconds=1),
        items,
        workers=4,
        permits={"e": 1},
        permit=lambda item: item[0],
        key=lambda item: item[1],
    )
    assert starts_of(life) == [(0, 0), (0, 3), (1, 1), (2, 2)]


def test_priority_counts_within_a_class_and_between_them() -> None:
    items = [("e", 1), ("e", 3), (None, 0), ("e", 2), (None, 9)]
    life = live(
        lambda _item, _: Step(seconds=1),
        items,
        window=5,
        permits={"e": 1},
        permit=lambda item: item[0],
        priority=lambda item: item[1],
    )
    # at 1 the worker of item 4 is free an instant before the permit of item 1
    assert starts_of(life) == [(0, 4), (0, 1), (1, 2), (1, 3), (2, 0)]


def test_chunks_hold_items_without_a_class_only() -> None:
    life = live(lambda item, _: Step(seconds=0.0001), range(400), permits={"e": 1}, permit=lambda i: [None, "e"][i % 2])
    sizes = {event.items for event in life.seen if isinstance(event, events.ChunkStarted)}
    assert max(sizes) > 8
    assert life.summary.ok == 400
    alone = [event for event in life.backend.ended if event.position % 2]
    assert [event.position for event in alone] == list(range(1, 400, 2))


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "e", "f"]), st.sampled_from(["return", "raise", "hang", "crash"])), max_size=30
    ),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
)
def test_permits_hold_whatever_happens(
    items: list[tuple[str | None, Any]], workers: int, light: int, heavy: int, keyed: bool
) -> None:
    permits = {"e": light, "f": heavy}

    def plan(item: tuple[int, tuple[str | None, Any]], attempt: int) -> Step:
        fate: Any = item[1][1] if attempt == 1 else "return"
        error = ValueError("no") if fate == "raise" else None
        return Step(seconds=(item[0] * 7 % 5) / 10, error=error, fate=fate)

    life = live(
        plan,
        list(enumerate(items)),
        workers=workers,
        permits=permits,
        permit=lambda item: item[1][0],
        key=(lambda item: item[0] % 3) if keyed else None,
        retry=Retry(attempts=2, on=(Exception,)),
        timeout=1,
    )
    assert life.summary.admitted == life.summary.ok == len(items)
    backend = life.backend
    happenings = [(end.time, 0, end.position) for end in backend.ended]
    happenings += [(start.time, 1, start.position) for start in backend.started]
    under_way: dict[str | None, int] = {None: 0, "e": 0, "f": 0}
    for _, begins, position in sorted(happenings):
        name = items[position][0]
        under_way[name] += 1 if begins else -1
        assert name is None or under_way[name] <= permits[name]


def test_only_what_will_run_is_asked_for_its_class_once_and_in_order() -> None:
    journal = MemoryJournal()
    first = live(lambda item, _: Step(seconds=1, value=item * 10), range(20), journal=journal, stop_at=6, grace=0)
    done = {outcome.item for outcome in first.outcomes if outcome.status is not Status.CANCELLED}
    asked: list[int] = []

    def permit(item: int) -> str:
        asked.append(item)
        return "e"

    second = live(returns, range(25), journal=journal, resume=True, permits={"e": 2}, permit=permit)
    assert asked == [item for item in range(25) if item not in done]
    assert [outcome.value for outcome in second.outcomes] == [item * 10 for item in range(25)]


def test_what_killed_the_program_too_often_is_not_asked_about() -> None:
    journal = MemoryJournal()
    journal.begin(RunHeader("test", "tests:plan", "1"), resume=False, put=lambda _: None)
    journal.append(Record(1, lease=Lease(1, "worker-0", [item_id(1)], 1)))
    asked: list[int] = []

    def permit(item: int) -> None:
        asked.append(item)

    life = live(returns, range(3), journal=journal, resume=True, permits={"e": 1}, permit=permit, max_interruptions=1)
    assert life.statuses() == [Status.OK, Status.CRASHED, Status.OK]
    assert asked == [0, 2]


def test_after_a_stop_nobody_is_asked_for_a_class() -> None:
    asked: list[int] = []

    def permit(item: int) -> str:
        asked.append(item)
        return "e"

    life = live(
        lambda item, _: Step(seconds=1, error=ValueError() if item == 3 else None),
        range(500),
        permits={"e": 2},
        permit=permit,
        on_error="fail",
        report_unread=True,
    )
    assert life.summary.admitted == 500
    assert life.summary.cancelled > 490
    assert len(asked) < 10


def unknown(item: int) -> str | None:
    return "g" if item == 5 else None


def broken(item: int) -> str | None:
    if item == 5:
        raise OSError("the file is gone")
    return "e"


@pytest.mark.parametrize(
    ("permit", "kind", "message"),
    [
        (unknown, ConfigError, "permit='g' for item 5: permits= has 'e', 'f'; add it there, or return None"),
        (broken, OSError, "the file is gone"),
    ],
)
def test_an_error_of_permit_ends_the_run_as_one_of_the_source(permit: Any, kind: type[Exception], message: str) -> None:
    life = live(returns, range(20), permits={"e": 2, "f": 1}, permit=permit)
    assert isinstance(life.error, kind)
    assert str(life.error) == message
    assert [outcome.value for outcome in life.outcomes] == [0, 10, 20, 30, 40]
    assert not life.summary.source_ended


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
