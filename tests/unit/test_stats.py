"""Events summed up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle import ErrorInfo, Outcome, Status, Summary
from raddle._events import (
    AttemptFailed,
    ChunkStarted,
    ItemsEnded,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle.progress import Stats


def outcome(status: Status = Status.OK, position: int = 0, *, resumed: bool = False) -> Outcome:
    error = None if status is Status.OK else ErrorInfo("ValueError", "bad")
    return Outcome(position, "item", status, None, error, 1, 0.0, 0.1, "thread-0", resumed=resumed)


def started(total: int | None = 100, workers: int = 2) -> RunStarted:
    return RunStarted("job", "threads", workers, total)


def test_counts_add_up() -> None:
    stats = Stats()
    stats.add(started(), 0.0)
    stats.add(ChunkStarted("thread-0", 8, 1), 0.0)
    stats.add(AttemptFailed(3, "x", 1, ErrorInfo("E", "m"), 0.1), 0.5)
    stats.add(
        ItemsEnded([outcome(), outcome(Status.FAILED, 1), outcome(Status.TIMED_OUT), outcome(Status.CRASHED)]), 1.0
    )
    stats.add(ItemsEnded([outcome(resumed=True), outcome(Status.CANCELLED)]), 1.0)
    stats.add(WorkerReplaced("thread-0", "abandoned"), 1.5)
    now = stats.snapshot(2.0)
    assert (now.ok, now.failed, now.timed_out, now.crashed, now.cancelled) == (2, 1, 1, 1, 1)
    assert (now.done, now.total, now.resumed, now.retries, now.workers_lost) == (6, 100, 1, 1, 1)
    assert now.running == 2  # 8 given, 1 to be tried again, 4 over: 3 in hand on 2 workers
    assert "item 1 failed: ValueError: bad" in now.problems
    assert now.elapsed == 2.0


def test_rate_and_time_left_look_at_the_recent_past() -> None:
    stats = Stats()
    stats.add(started(1000), 0.0)
    for second in range(1, 101):
        stats.add(ItemsEnded([outcome()]), float(second))
    for second in range(101, 201):
        stats.add(ItemsEnded([outcome()] * 4), float(second))
    now = stats.snapshot(200.0)
    assert now.rate == pytest.approx(4.0, rel=0.05)
    assert now.eta == pytest.approx((1000 - 500) / 4, rel=0.05)


def test_resumed_items_do_not_make_the_rate() -> None:
    stats = Stats()
    stats.add(started(1000), 0.0)
    stats.add(ItemsEnded([outcome(resumed=True)] * 900), 0.01)
    assert stats.snapshot(1.0).rate is None
    for second in range(1, 11):
        stats.add(ItemsEnded([outcome()]), float(second))
    now = stats.snapshot(10.0)
    assert now.rate == pytest.approx(1.0, rel=0.1)
    assert now.eta == pytest.approx(90, rel=0.1)


def test_slow_items_keep_a_rate() -> None:
    stats = Stats()
    stats.add(started(10), 0.0)
    for minute in range(1, 5):
        stats.add(ItemsEnded([outcome()]), minute * 60.0)
    assert stats.snapshot(240.0).rate == pytest.approx(1 / 60)


def test_without_total_there_is_no_time_left() -> None:
    stats = Stats()
    stats.add(started(None), 0.0)
    stats.add(ItemsEnded([outcome()]), 1.0)
    now = stats.snapshot(1.0)
    assert (now.total, now.eta, now.fraction) == (None, None, None)


def test_more_items_than_announced_raise_the_total() -> None:
    stats = Stats()
    stats.add(started(2), 0.0)
    stats.add(ItemsEnded([outcome()] * 3), 1.0)
    assert (stats.snapshot(1.0).total, stats.snapshot(1.0).fraction) == (3, 1.0)


def test_the_summary_has_the_last_word() -> None:
    stats = Stats()
    stats.add(started(10), 0.0)
    stats.add(ItemsEnded([outcome()] * 3), 1.0)
    stats.add(RunStopping("on_error=fail"), 1.0)
    assert stats.snapshot(1.0).eta is None
    stats.add(RunEnded(Summary(admitted=5, ok=3, cancelled=2, stopped="on_error=fail")), 2.0)
    now = stats.snapshot(99.0)
    assert (now.ok, now.cancelled, now.total, now.running, now.ended, now.elapsed) == (3, 2, 10, 0, True, 2.0)
    assert now.stopping == "on_error=fail"


def test_source_that_gave_fewer_than_announced_ends_at_all_of_it() -> None:
    stats = Stats()
    stats.add(started(10), 0.0)
    stats.add(ItemsEnded([outcome()] * 9), 1.0)
    stats.add(RunEnded(Summary(admitted=9, ok=9, source_ended=True)), 2.0)
    assert (stats.snapshot(2.0).total, stats.snapshot(2.0).fraction) == (9, 1.0)


events = st.one_of(
    st.builds(ChunkStarted, st.just("w"), st.integers(1, 50), st.just(1)),
    st.builds(
        lambda found: ItemsEnded([outcome(*each) for each in found]), st.lists(st.tuples(st.sampled_from(Status)))
    ),
    st.just(AttemptFailed(0, "x", 1, ErrorInfo("E", "m"), 0.0)),
    st.just(WorkerReplaced("w", "died")),
    st.just(RunStopping("enough")),
)


@given(st.integers(0, 40) | st.none(), st.lists(st.tuples(events, st.floats(0, 5))))
def test_sums_hold_at_every_moment(total: int | None, history: list[tuple[object, float]]) -> None:
    stats, now, count = Stats(), 0.0, 0
    stats.add(started(total), now)
    for event, wait in history:
        now += wait
        stats.add(event, now)  # type: ignore[arg-type]
        count += len(event.outcomes) if isinstance(event, ItemsEnded) else 0
        seen = stats.snapshot(now)
        assert seen.done == count == seen.ok + seen.failed + seen.timed_out + seen.crashed + seen.cancelled
        assert seen.total is None or seen.done <= seen.total
        assert seen.fraction is None or 0 <= seen.fraction <= 1
        assert 0 <= seen.running <= seen.workers
        assert seen.eta is None or seen.eta >= 0
        assert len(seen.problems) <= 5
