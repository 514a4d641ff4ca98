from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raddle
from raddle._policy.rate import Bucket, Rate


def one(_item: object) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"items": 0}, "items=0: must be more than 0"),
        ({"items": math.inf}, "items=inf: must be more than 0"),
        ({"items": math.nan}, "items=nan: must be more than 0"),
        ({"items": 1, "per": -1.0}, r"per=-1\.0: must be more than 0"),
        ({}, r"a rate needs one of them, such as Rate\(60, per=60\)"),
        ({"items": 1, "units": 5}, r"units and cost go together: give cost=\.\.\., a function of an item"),
        ({"items": 1, "cost": one}, r"units and cost go together: give units=\.\.\., the limit"),
        ({"items": 1, "burst": 1.5}, r"burst=1\.5: must be seconds, from 0 to per=1\.0"),
    ],
)
def test_a_rate_that_cannot_work_is_refused(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(raddle.ConfigError, match=hint):
        Rate(**options)


@pytest.mark.parametrize("cost", [-1, math.nan, math.inf, "3", None])
def test_a_cost_that_is_none_is_refused(cost: Any) -> None:
    rate = Rate(units=5, cost=lambda _: cost)
    with pytest.raises(raddle.ConfigError, match="must be a number of units, 0 or more"):
        rate.cost_of("item")


def test_what_an_item_costs() -> None:
    assert Rate(units=5, cost=len).cost_of("four") == 4.0
    assert Rate(5).cost_of("four") == 0.0


@pytest.mark.parametrize(
    ("rate", "at_once", "then"),
    [
        (Rate(10, burst=0), 1, 0.1),
        (Rate(60, per=60), 1, 1.0),
        (Rate(1000), 100, 0.001),
        (Rate(10, burst=1.0), 10, 0.1),
        (Rate(0.5), 1, 2.0),
    ],
)
def test_what_may_start_at_once_and_when_the_next(rate: Rate, at_once: int, then: float) -> None:
    bucket = Bucket(rate)
    assert bucket.permits(50.0) == at_once
    bucket.take(50.0, at_once)
    assert bucket.permits(50.0) == 0
    assert bucket.next_at(50.0) == pytest.approx(50 + then)
    assert bucket.permits(bucket.next_at(50.0)) == 1
    assert bucket.permits(10_000.0) == at_once


def test_an_item_that_costs_more_than_the_bucket_goes_when_it_is_full_and_is_paid_afterwards() -> None:
    bucket = Bucket(Rate(units=10, cost=len, burst=0.5))
    bucket.take(0.0, 1, 5)
    assert bucket.permits(0.0, 100) == 0
    assert bucket.next_at(0.0, 100) == pytest.approx(0.5)
    bucket.take(0.5, 1, 100)
    assert bucket.next_at(0.5, 1) == pytest.approx(0.5 + 10 - 0.4)


def test_units_and_items_bind_both() -> None:
    bucket = Bucket(Rate(2, units=1000, cost=len))
    bucket.take(0.0, 1, 1)
    assert bucket.next_at(0.0, 1) == pytest.approx(0.5)
    bucket.take(0.5, 1, 2000)
    assert bucket.next_at(0.5, 1) > 2.3


rates = st.builds(
    lambda items, per, part: Rate(items, per=per, burst=part * per),
    st.floats(0.1, 200),
    st.floats(0.1, 60),
    st.floats(0, 1),
)


@given(rates, st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50)), max_size=120))
def test_no_window_sees_more_starts_than_items_and_burst(rate: Rate, story: list[tuple[float, int]]) -> None:
    bucket = Bucket(rate)
    assert rate.items is not None
    now, starts = 1000.0, []
    for passed, wanted in story:
        now += passed * rate.per / 4
        count = min(wanted, bucket.permits(now))
        bucket.take(now, count)
        starts += [now] * count
        at = bucket.next_at(now)
        assert at >= now
        assert bucket.permits(at) >= 1
        assert (at > now) == (bucket.permits(now) == 0)
    bound = rate.items + max(1.0, rate.burst * rate.items / rate.per) + 1e-3
    for index, start in enumerate(starts):
        assert sum(other < start + rate.per for other in starts[index:]) <= bound


costs = st.floats(0, 500)


@given(st.floats(1, 1000), st.floats(0.01, 1), st.lists(costs, max_size=100))
def test_no_window_sees_more_units_than_allowed_and_all_go(units: float, burst: float, queue: list[float]) -> None:
    bucket = Bucket(Rate(units=units, cost=one, burst=burst))
    now = 1000.0
    starts: list[tuple[float, float]] = []
    for cost in queue:
        now = bucket.next_at(now, cost)
        assert bucket.permits(now, cost) == 1
        bucket.take(now, 1, cost)
        starts.append((now, cost))
    # One item may be dearer than what can be saved up; it goes then, and what follows waits.
    bound = units + max([units * burst, 1.0, *queue]) + 1e-3 * units
    for index, (start, _) in enumerate(starts):
        assert sum(cost for at, cost in starts[index:] if at < start + 1.0) <= bound


@given(st.floats(0.5, 100), st.integers(1, 500))
def test_all_that_is_allowed_is_used(items: float, count: int) -> None:
    bucket = Bucket(Rate(items))
    now = 0.0
    for _ in range(count):
        now = bucket.next_at(now)
        bucket.take(now)
    assert now <= count / items + 1e-6
