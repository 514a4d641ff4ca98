"""Limits, breaker and choice in virtual time; the queue over them in a real event loop, without a second passing."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.testing import FakeClock
from raddle.workloads.classify.errors import FatalAnswer
from raddle.workloads.classify.upstream import Budget, Endpoint, Key
from raddle.workloads.classify.upstream.limits import Breaker, Buckets, InFlight
from raddle.workloads.classify.upstream.pool import Ended, Pool
from raddle.workloads.classify.upstream.queue import Queue
from raddle.workloads.classify.upstream.replies import backoff


def endpoint(**options: Any) -> Endpoint:
    return Endpoint(**{"url": "http://localhost/v1", "model": "m", **options})


# ------------------------------------------------------------------------------------------------------- endpoints


def test_a_key_shows_itself_to_nobody() -> None:
    key = Key("sk-very-secret")
    one = endpoint(key=key)
    assert "secret" not in f"{key} {key!r} {one} {one!r} {[one]}"
    assert key.reveal() == "sk-very-secret"
    with pytest.raises(TypeError, match="does not travel"):
        key.__reduce__()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"url": "ftp://host/v1"}, "must be http"),
        ({"url": "http:///v1"}, "must be http"),
        ({"url": "https://user:hunter2@host/v1"}, "user or a password"),
        ({"url": "https://host/v1?api-key=hunter2"}, "no .query"),
        ({"model": ""}, "name the model"),
        ({"key": "hunter2"}, "must be a Key"),
        ({"requests_per_minute": 0}, "requests_per_minute=0"),
        ({"tokens_per_minute": math.inf}, "tokens_per_minute=inf"),
        ({"max_in_flight": 0}, "at least 1"),
    ],
)
def test_what_cannot_work_is_refused_without_telling_secrets(options: Any, hint: Any) -> None:
    with pytest.raises(ConfigError, match=hint) as error:
        endpoint(**options)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("text", ["", "  ", "sk\nX-Evil: 1", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused(text: Any) -> None:
    with pytest.raises(ConfigError, match="how it was copied"):
        Key(text)


# --------------------------------------------------------------------------------------------------------- buckets


@given(
    requests=st.floats(1, 6000),
    tokens=st.floats(100, 1e6),
    costs=st.lists(st.floats(0, 5000), min_size=1, max_size=60),
)
@settings(deadline=None)
def test_no_minute_has_more_than_both_limits_allow(requests: Any, tokens: Any, costs: Any) -> None:
    bucket, now, starts = Buckets(requests, tokens), 0.0, []
    for cost in costs:
        now = bucket.next_at(now, cost)
        bucket.take(now, cost)
        starts.append((now, cost))
    for first, _ in starts:
        within = [cost for at, cost in starts if first <= at < first + 60]
        assert len(within) <= requests + max(1, requests / 60) + 1
        # one call larger than the bucket may be the last: it is paid for afterwards
        assert sum(within[:-1]) <= tokens + tokens / 60 + max(costs)


def test_tokens_that_were_not_used_come_back() -> None:
    bucket = Buckets(None, 600, burst=1.0)
    bucket.take(0.0, 100)
    assert bucket.next_at(0.0, 10) == pytest.approx(10.0)
    bucket.settle(100, 20)
    assert bucket.next_at(0.0, 10) == pytest.approx(2.0)
    bucket.settle(20, 50)
    assert bucket.next_at(0.0, 10) == pytest.approx(5.0)


# ------------------------------------------------------------------------------------------------ how many at once


def service(
    controller: InFlight, *, slots: float, queue: int, seconds: float = 40.0, most: int = 256
) -> tuple[float, float]:
    """Return goodput as a share of the ideal, and rejections as a share of all calls; half the slots from 13 to 26 s.

    Slots of 200 ms ± 10 %, a queue before them, beyond it a refusal after 2 ms.
    """
    chance, now, busy, waiting = random.Random(1), 0.0, 0, []
    events: list[tuple[float, int, str, float]] = []
    good = rejected = calls = count = under_way = 0

    def capacity() -> int:
        return int(slots / 2 if 13 <= now < 26 else slots)

    while now < seconds:
        while under_way < controller.limit and under_way < most:
            under_way += 1
            calls += 1
            count += 1
            if busy < capacity():
                busy += 1
                heapq.heappush(events, (now + chance.uniform(0.18, 0.22), count, "done", now))
            elif len(waiting) < queue:
                waiting.append(now)
            else:
                heapq.heappush(events, (now + 0.002, count, "refused", now))
        now, _, what, started = heapq.heappop(events)
        if what == "done":
            controller.succeeded(now - started, under_way)
            good += 1
            busy -= 1
            while waiting and busy < capacity():
                busy += 1
                count += 1
                heapq.heappush(events, (now + chance.uniform(0.18, 0.22), count, "done", waiting.pop(0)))
            under_way -= 1
        else:
            under_way -= 1
            controller.rejected(now, started, under_way)
            rejected += 1
    ideal = (27 * int(slots) + 13 * int(slots / 2)) / 0.2
    return good / ideal, rejected / calls


@pytest.mark.parametrize(("slots", "queue"), [(16, 32), (48, 32), (200, 32), (64, 8), (64, 0)])
def test_the_limit_finds_what_the_service_bears(slots: Any, queue: Any) -> None:
    goodput, rejected = service(InFlight(256), slots=slots, queue=queue)
    assert goodput > 0.92
    assert rejected < 0.01


def test_the_limit_doubles_per_round_trip_at_first() -> None:
    limit, sizes = InFlight(16), []
    for _ in range(5):
        sizes.append(limit.limit)
        for _ in range(limit.limit):
            limit.succeeded(0.2, limit.limit)
    assert sizes == [4, 8, 16, 16, 16]


def test_a_straggler_does_not_end_slow_start_but_a_queue_does() -> None:
    limit = InFlight(64)
    for number in range(200):
        limit.succeeded(3.0 if number % 50 == 49 else 0.2, limit.limit)
    assert limit.limit == 64
    crowded = InFlight(1000)
    for _ in range(400):
        crowded.succeeded(0.2 * max(1.0, crowded.limit / 50), crowded.limit)
    assert 75 <= crowded.limit <= 150


def test_it_does_not_grow_while_nobody_needs_more() -> None:
    limit = InFlight(64)
    for _ in range(100):
        limit.succeeded(0.2, 1)
    assert limit.limit == 16


def test_one_burst_of_rejections_counts_once() -> None:
    limit = InFlight(64)
    for _ in range(100):
        limit.succeeded(0.2, limit.limit)
    for others in range(63, 0, -1):
        limit.rejected(1.0, 0.5, others)
    assert limit.limit == 54


# -------------------------------------------------------------------------------------------------- the breaker


def test_the_breaker_opens_at_half_and_closes_after_one_success() -> None:
    breaker = Breaker()
    for number in range(9):
        breaker.ended(0.0, 0.0, failed=number % 2 == 0)
    assert not breaker.is_open
    breaker.ended(0.0, 0.0, failed=True)
    assert breaker.next_at(1.0) == 5.0
    breaker.started(5.0)
    assert breaker.next_at(5.0) == math.inf
    breaker.ended(6.0, 4.0, failed=False)  # an old call: no news
    assert breaker.is_open
    breaker.ended(6.0, 5.0, failed=True)
    assert breaker.next_at(6.0) == 16.0
    breaker.started(16.0)
    breaker.ended(17.0, 16.0, failed=None)  # rejected: somebody else may try
    assert breaker.next_at(17.0) == 17.0
    breaker.started(17.0)
    breaker.ended(18.0, 17.0, failed=False)
    assert not breaker.is_open


def test_rejections_never_open_it() -> None:
    pool = Pool([endpoint()])
    for _ in range(100):
        place = pool.enter(math.floor(1e6), 1)
        if place is not None:
            pool.end(1e6, place, Ended(verdict="rejected", retry_after=0, chance=0))
    assert pool.lanes[0].figures(2e6).state == "ready"


# ------------------------------------------------------------------------------------------------------------ pool


def test_the_endpoint_with_most_room_is_taken_and_the_one_that_failed_avoided() -> None:
    pool = Pool([endpoint(max_in_flight=2), endpoint(max_in_flight=4)])
    assert [pool.enter(0.0, 1).lane for _ in range(3)] == [1, 1, 0]
    assert pool.enter(0.0, 1, avoid=1).lane == 0
    assert pool.enter(0.0, 1, avoid=0).lane == 1
    assert pool.enter(0.0, 1, avoid=1).lane == 1, "rather that than wait"
    assert pool.enter(0.0, 1) is None
    assert pool.wake_at(0.0, 1) is None


def test_a_cool_down_is_that_endpoints_alone_and_never_shortened() -> None:
    pool = Pool([endpoint(), endpoint()])
    first = pool.enter(0.0, 1)
    second = pool.enter(0.0, 1)
    pool.end(1.0, first, Ended(verdict="rejected", retry_after=10, chance=0))
    assert pool.enter(1.0, 1).lane == second.lane
    pool.lanes[first.lane].cool(2.0, 1.0)
    pool.end(2.0, second, Ended(verdict="rejected", retry_after=20, chance=0))
    assert pool.wake_at(2.0, 1) == 11.0


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["enter", "ok", "heard", "failed", "rejected", "unknown"]),
            st.floats(0, 5),
            st.one_of(st.none(), st.floats(0, 20)),
            st.floats(0, 0.99),
        ),
        max_size=120,
    )
)
@settings(deadline=None)
def test_the_pool_never_exceeds_its_limits_and_never_gets_stuck(steps: Any) -> None:
    pool, now, under_way = (
        Pool([endpoint(max_in_flight=3, requests_per_minute=600), endpoint(max_in_flight=5)]),
        0.0,
        [],
    )
    for what, seconds, retry_after, chance in steps:
        now += seconds
        if what == "enter":
            place = pool.enter(now, 100)
            if place is not None:
                under_way.append(place)
        elif under_way:
            pool.end(now, under_way.pop(0), Ended(verdict=what, retry_after=retry_after, chance=chance))
        assert all(0 <= lane.in_flight <= lane.endpoint.max_in_flight for lane in pool.lanes)
        assert sum(lane.in_flight for lane in pool.lanes) == len(under_way)
    for place in under_way:
        pool.end(now, place, Ended(verdict="unknown"))
    at = pool.wake_at(now, 100)
    assert at is not None, "with nothing under way, waiting helps"
    assert pool.enter(at, 100) is not None


# ----------------------------------------------------------------------------------------------------------- queue


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served_and_a_second_try_keeps_its_place() -> None:
    async def main() -> list[str]:
        pool = Pool([endpoint(max_in_flight=1)])
        queue, order = Queue(pool, FakeClock().now), []

        async def call(name: str, ticket: int) -> None:
            place = await queue.enter(ticket, 1)
            order.append(name)
            queue.leave(place, Ended(verdict="ok"))

        old = queue.ticket()
        first = await queue.enter(queue.ticket(), 1)
        tasks = [asyncio.create_task(call(f"new {number}", queue.ticket())) for number in range(3)]
        await settle()
        tasks.append(asyncio.create_task(call("again", old)))
        await settle()
        assert queue.waiting == 4
        queue.leave(first, Ended(verdict="ok"))
        await asyncio.gather(*tasks)
        assert pool.lanes[0].in_flight == 0
        return order

    assert asyncio.run(main()) == ["again", "new 0", "new 1", "new 2"]


@pytest.mark.parametrize("turns", range(4))
def test_a_cancelled_call_gives_its_place_back_whenever_it_is_cancelled(turns: Any) -> None:
    async def main() -> None:
        pool = Pool([endpoint(max_in_flight=1)])
        queue = Queue(pool, FakeClock().now)
        first = await queue.enter(queue.ticket(), 1)
        second = asyncio.create_task(queue.enter(queue.ticket(), 1))
        third = asyncio.create_task(queue.enter(queue.ticket(), 1))
        await settle()
        if turns < 3:
            queue.leave(first, Ended(verdict="ok"))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = second.cancel()
        if turns == 3:
            queue.leave(first, Ended(verdict="ok"))
        await settle()
        if cancelled:
            assert second.cancelled()
        else:
            queue.leave(second.result(), Ended(verdict="ok"))
        queue.leave(await third, Ended(verdict="ok"))
        assert pool.lanes[0].in_flight == 0
        assert queue.waiting == 0

    asyncio.run(main())


def test_when_every_key_is_refused_all_who_wait_are_told() -> None:
    async def main() -> None:
        queue = Queue(Pool([endpoint(max_in_flight=1)]), FakeClock().now)
        place = await queue.enter(queue.ticket(), 1)
        waiting = asyncio.create_task(queue.enter(queue.ticket(), 1))
        await settle()
        queue.leave(place, Ended(verdict="key"))
        with pytest.raises(FatalAnswer, match="check the keys"):
            await waiting

    asyncio.run(main())


def test_it_wakes_by_itself_when_a_cool_down_is_over() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue = Queue(Pool([endpoint()]), loop.time)
        place = await queue.enter(queue.ticket(), 1)
        queue.leave(place, Ended(verdict="rejected", retry_after=0.05, chance=0))
        began = loop.time()
        await queue.enter(queue.ticket(), 1)
        assert loop.time() - began >= 0.04

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------------------- budget


def test_the_budget_is_a_floor_and_a_share() -> None:
    budget = Budget(share=0.1, floor=5)
    for _ in range(1000):
        budget.began()
    taken = sum(budget.take() for _ in range(1000))
    assert 104 <= taken <= 105
    assert budget.used == taken


def test_backoff_grows_and_is_bounded() -> None:
    assert [backoff(number, 1.0) for number in (1, 2, 3, 40)] == [0.25, 0.5, 1.0, 8.0]
    assert backoff(3, 0.0) == 0.0
