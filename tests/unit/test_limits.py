from __future__ import annotations

import heapq
import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raddle
from raddle._policy.limits import FixedLimit, HillClimb
from raddle._policy.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

# ---------------------------------------------------------------------------------------------------- hill climbing


def climb(
    limit: HillClimb,
    speed: Callable[[int], float],
    items: int,
    *,
    sizes: Callable[[], float] = lambda: 1.0,
    supply: int = 10**9,
) -> list[int]:
    """Run items that share `speed(running)` equally; never more than `supply` at once. Return the limits seen."""
    running: list[tuple[float, int]] = []
    now = served = 0.0
    seen = []
    for number in range(items):
        while len(running) < min(limit.value, supply):
            heapq.heappush(running, (served + sizes(), number * 10_000 + len(running)))
        busy = len(running)
        end, _ = heapq.heappop(running)
        now += (end - served) * busy / speed(busy)
        served = end
        limit.ended(now, 1, busy)
        seen.append(limit.value)
    return seen


def waiting(running: int) -> float:
    return running


def cores(count: int, penalty: float = 0.02) -> Callable[[int], float]:
    return lambda running: min(running, count) / (1 + penalty * max(0, running - count))


def median(values: list[int]) -> int:
    return sorted(values)[len(values) // 2]


def lognormal(seed: int) -> Callable[[], float]:
    chance = random.Random(seed)
    return lambda: chance.lognormvariate(-0.5, 1.0)


def test_a_fixed_limit_stays() -> None:
    limit = FixedLimit(3)
    limit.ended(1.0, 1, 3)
    assert limit.value == 3
    assert limit.reason == "3 workers, as given"


@pytest.mark.parametrize(
    ("speed", "start", "most", "least_good", "most_good"),
    [
        pytest.param(waiting, 4, 64, 64, 64, id="waiting grows to the most"),
        pytest.param(waiting, 1, 4, 4, 4, id="waiting, from one"),
        pytest.param(waiting, 2, 1000, 1000, 1000, id="a thousand coroutines"),
        pytest.param(cores(2), 2, 4, 2, 2, id="two cores stay at two"),
        pytest.param(cores(2), 1, 4, 2, 2, id="two cores, from one"),
        pytest.param(cores(1, 0.3), 2, 4, 1, 1, id="a disk that serves one"),
        pytest.param(cores(4), 4, 64, 4, 4, id="four cores"),
        pytest.param(cores(4, 0.1), 64, 64, 4, 5, id="down from far above"),
        pytest.param(cores(16, 0.0), 4, 64, 14, 16, id="nothing gained beyond sixteen"),
        pytest.param(cores(1000, 0.0), 700, 700, 700, 700, id="at the most from the start"),
    ],
)
def test_it_finds_the_best_number(
    speed: Callable[[int], float], start: int, most: int, least_good: int, most_good: int
) -> None:
    limit = HillClimb(start=start, most=most)
    seen = climb(limit, speed, max(4000, 30 * most))
    assert least_good <= median(seen[len(seen) // 2 :]) <= most_good


@pytest.mark.parametrize("seed", range(5))
def test_heavy_tailed_items_do_not_lead_it_astray(seed: int) -> None:
    grown = climb(HillClimb(start=4, most=64), waiting, 8000, sizes=lognormal(seed))
    assert median(grown[4000:]) >= 40
    kept = climb(HillClimb(start=4, most=64), cores(4), 8000, sizes=lognormal(seed))
    assert 3 <= median(kept[4000:]) <= 12  # twelve cost 14 % here


def test_it_follows_a_change() -> None:
    limit = HillClimb(start=4, most=64)
    assert median(climb(limit, cores(4, 0.1), 3000)[1500:]) in (4, 5)
    clock = limit._since or 0.0
    late = _Later(limit, clock)
    assert median(climb(late, waiting, 20_000)[12_000:]) >= 50  # type: ignore[arg-type]


class _Later:
    """The same limit on a clock that goes on."""

    def __init__(self, limit: HillClimb, offset: float) -> None:
        self.limit, self.offset = limit, offset

    @property
    def value(self) -> int:
        return self.limit.value

    def ended(self, now: float, items: int, busy: int) -> None:
        self.limit.ended(self.offset + now, items, busy)


def test_trials_get_rare_when_nothing_pays() -> None:
    seen = climb(HillClimb(start=4, most=64), cores(4), 20_000)
    elsewhere = sum(value != 4 for value in seen[5000:])
    assert elsewhere / 15_000 < 0.06


def test_a_slow_source_changes_nothing() -> None:
    limit = HillClimb(start=8, most=64)
    assert set(climb(limit, waiting, 2000, supply=5)) == {8}
    assert limit.reason == "8 workers; nothing measured yet"


def test_too_few_items_change_nothing() -> None:
    assert set(climb(HillClimb(start=4, most=64), waiting, 11)) == {4}


def test_the_reason_has_figures() -> None:
    limit = HillClimb(start=2, most=4)
    climb(limit, cores(2), 1000)
    assert limit.reason.startswith("2 workers: 2 items/s; with ")
    assert "%" in limit.reason


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(raddle.ConfigError, match="least=5, most=3: must be 1 <= least <= most"):
        HillClimb(start=4, least=5, most=3)


chunks = st.tuples(st.floats(0, 10), st.integers(0, 1000), st.integers(0, 80))


@given(st.integers(1, 70), st.integers(1, 10), st.integers(0, 60), st.lists(chunks, max_size=400))
def test_it_never_leaves_its_bounds(start: int, least: int, more: int, calls: list[tuple[float, int, int]]) -> None:
    limit = HillClimb(start=start, least=least, most=least + more)
    now = 0.0
    for seconds, items, busy in calls:
        now += seconds
        limit.ended(now, items, max(busy, limit.value))
        assert least <= limit.value <= least + more
        assert limit.reason


gaps = st.tuples(st.sampled_from([0.0, 1e-6, 0.01, 5.0]), st.sampled_from([0, 1, 500]))


@given(st.integers(1, 4), st.lists(gaps, min_size=1, max_size=20))
@settings(max_examples=30)
def test_no_rhythm_of_endings_breaks_it(start: int, rhythm: list[tuple[float, int]]) -> None:
    limit = HillClimb(start=start, most=16)
    now = 0.0
    for seconds, items in rhythm * 100:
        now += seconds
        limit.ended(now, items, limit.value)
        assert 1 <= limit.value <= 16


# --------------------------------------------------------------------------------------------------------- throttle


def test_nothing_is_held_back_before_a_rejection() -> None:
    throttle = Throttle(limit=5, most=8)
    for step in range(100):
        now = step / 10
        assert throttle.permits(now) == 5
        assert throttle.wake_at(now) is None
        throttle.took(now, 1)
        throttle.succeeded(now + 0.05, 1, now, 5)
    assert throttle.limit == 5
    assert throttle.reason == "not rejected so far"


def test_the_gate_waits_for_retry_after_and_a_little_more() -> None:
    throttle = Throttle(limit=8, most=8)
    throttle.rejected(10.0, 9.9, 2.0, 0.5)
    assert throttle.wake_at(10.0) == pytest.approx(12.05)
    assert throttle.permits(12.04) == 0
    assert throttle.permits(12.06) > 0
    assert throttle.limit == 5


def test_what_started_before_the_fall_closes_the_gate_for_longer_but_does_not_count() -> None:
    throttle = Throttle(limit=20, most=20)
    throttle.rejected(10.0, 9.9, 1.0, 0.0)
    for _ in range(10):
        throttle.rejected(10.1, 9.95, 3.0, 0.0)
    assert throttle.limit == 14
    assert throttle.wake_at(10.2) == pytest.approx(13.1)


@pytest.mark.parametrize("said", [None, 0.0, -1.0, math.nan, math.inf])
def test_without_retry_after_the_wait_doubles(said: float | None) -> None:
    throttle = Throttle(limit=8, most=8)
    now, waits = 10.0, []
    for _ in range(12):
        throttle.rejected(now, now - 0.001, said, 0.999)
        opens = throttle.wake_at(now)
        assert opens is not None
        waits.append(opens - now)
        now = opens + 0.01
    assert waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6], rel=0.01)
    assert waits[-1] == pytest.approx(30, rel=0.01)


def test_a_success_from_before_the_rejection_does_not_reset_the_wait() -> None:
    throttle = Throttle(limit=8, most=8)
    throttle.rejected(10.0, 9.0, None, 0.5)
    throttle.rejected(12.0, 11.0, None, 0.5)
    throttle.succeeded(12.1, 1, 8.0, 5)
    throttle.rejected(14.0, 13.0, None, 0.5)
    assert throttle._streak == 3
    throttle.succeeded(20.0, 1, 19.0, 5)
    assert throttle._streak == 0


def test_the_ceiling_does_not_rise_where_nobody_goes() -> None:
    throttle = Throttle(limit=10, most=64)
    throttle.rejected(10.0, 9.9, 0.1, 0.0)
    for _ in range(100):
        throttle.succeeded(11.0, 1, 10.5, 3)
    assert throttle.limit == 7
    for _ in range(100):
        throttle.succeeded(11.0, 1, 10.5, 4)
    assert throttle.limit == 8, "half of it is in use no more"
    throttle.succeeded(11.0, 10, 10.5, 8)
    assert throttle.limit == 9


def test_the_rate_of_the_service_is_found() -> None:
    throttle, accepted, rejected = against_a_service(Throttle(limit=8, most=64), rate=20.0, seconds=120.0)
    assert accepted > 0.93 * 20 * 120
    assert rejected < 0.05 * accepted
    assert throttle._granted == pytest.approx(20, rel=0.3)
    assert "items/s" in throttle.reason
    assert throttle.reason.startswith(f"rejected {rejected} times: at most {throttle.limit} at once")


def against_a_service(throttle: Throttle, *, rate: float, seconds: float) -> tuple[Throttle, int, int]:
    """Items take 0.3 s; a token bucket of one second's worth grants `rate`, and rejects in 10 ms."""
    ends: list[tuple[float, int, float, bool]] = []
    now, tokens, at, number, accepted, rejected = 0.0, rate, 0.0, 0, 0, 0
    chance = random.Random(1)
    while now < seconds:
        while len(ends) < throttle.limit and throttle.permits(now):
            throttle.took(now, 1)
            tokens, at, number = min(rate, tokens + (now - at) * rate), now, number + 1
            ok = tokens >= 1
            tokens -= ok
            heapq.heappush(ends, (now + (0.3 if ok else 0.01), number, now, ok))
        wake = throttle.wake_at(now) if len(ends) < throttle.limit else None
        soonest = min(ends[0][0] if ends else math.inf, math.inf if wake is None else wake)
        assert now < soonest < math.inf or (ends and soonest == ends[0][0])
        now = soonest
        while ends and ends[0][0] <= now:
            _, _, started, ok = heapq.heappop(ends)
            if ok:
                accepted += 1
                throttle.succeeded(now, 1, started, len(ends) + 1)
            else:
                rejected += 1
                throttle.rejected(now, started, None, chance.random())
    return throttle, accepted, rejected


steps = st.tuples(
    st.sampled_from(["ok", "no", "start"]),
    st.floats(0, 5),
    st.floats(0, 8),
    st.none() | st.floats(0, 20),
    st.floats(0, 1, exclude_max=True),
)


@given(st.integers(1, 80), st.integers(1, 64), st.lists(steps, max_size=150))
def test_the_throttle_keeps_its_promises(
    limit: int, most: int, story: list[tuple[str, float, float, float | None, float]]
) -> None:
    throttle = Throttle(limit=limit, most=most)
    now, opens, fell = 100.0, -math.inf, -math.inf
    for what, passed, age, after, chance in story:
        now += passed
        started, before = now - age, throttle.limit
        if what == "ok":
            throttle.succeeded(now, 1, started, before)
            assert before <= throttle.limit <= before + 1
        elif what == "no":
            throttle.rejected(now, started, after, chance)
            if throttle.limit < before:
                assert started > fell, "fell twice in one round trip"
                assert throttle.limit >= int(0.7 * before)
            if started > fell:
                fell = now
            opens = max(opens, now + (after or 0.0))
        else:
            permitted = throttle.permits(now)
            assert not permitted or now >= opens, "the gate opened early"
            throttle.took(now, min(permitted, throttle.limit))
        assert 1 <= throttle.limit <= most
        wake = throttle.wake_at(now)
        assert (wake is None) == (throttle.permits(now) > 0)
        for _ in range(100):
            if wake is None:
                break
            assert wake > now
            now = wake
            wake = throttle.wake_at(now)
        assert wake is None, "it never opens again"
