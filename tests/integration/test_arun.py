"""Runs that are awaited: over coroutine functions and plain ones, plain sources and async ones."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle import Outcome, Retry, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

SECONDS = 60.0


def arun(func: Callable[[Any], Any], items: Any, *, workers: int = 4, **options: Any) -> Any:
    backend = "asyncio" if inspect.iscoroutinefunction(func) else "threads"
    return raddle.arun(func, items, backend=backend, workers=workers, **options)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """No thread, no task that was never awaited, no loop that was not closed."""
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(SECONDS)
        assert not thread.is_alive(), thread


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Asyncio logs tasks that are destroyed while pending, and errors that nobody looked at."""
    yield
    gc.collect()
    assert caplog.messages == []


async def double(item: int) -> int:
    await asyncio.sleep(0)
    return item * 2


def plain_double(item: int) -> int:
    return item * 2


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def collect(source: Any, into: list[Any]) -> None:
    async for thing in source:
        into.append(thing)  # noqa: PERF401 - what came before an error counts


def leftovers() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


# ------------------------------------------------------------------------------------------------------ iterating


@pytest.mark.parametrize("source", [lambda: range(2000), lambda: iter(range(2000)), lambda: numbers(2000)])
@pytest.mark.parametrize("func", [double, plain_double])
def test_outcomes_come_in_input_order(func: Any, source: Any) -> None:
    async def main() -> None:
        async with arun(func, source()) as run:
            assert [outcome.value async for outcome in run] == [n * 2 for n in range(2000)]
        assert run.summary.all_ok
        assert run.summary.admitted == 2000
        assert run.snapshot().done == 2000
        assert leftovers() == []

    asyncio.run(main())


def test_without_a_block_and_by_hand() -> None:
    async def main() -> None:
        run = arun(double, range(5))
        first = await anext(run)
        assert isinstance(first, Outcome)
        assert [first.value, *[value async for value in run.values()]] == [0, 2, 4, 6, 8]
        with pytest.raises(StopAsyncIteration):
            await anext(run)
        await run.close()
        await run.close()
        assert leftovers() == []

    asyncio.run(main())


def test_values_raise_the_first_failure() -> None:
    async def func(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    async def main() -> list[int]:
        got: list[int] = []
        async with arun(func, range(10)) as run:
            with pytest.raises(ValueError, match="three"):
                await collect(run.values(), got)
        return got

    assert asyncio.run(main()) == [0, 1, 2]


def test_a_blocking_run_over_coroutines() -> None:
    with raddle.run(double, range(1000), workers=4) as run:
        assert list(run.values()) == [n * 2 for n in range(1000)]
    assert run.summary.all_ok


def test_timeouts_and_retries() -> None:
    tried = Counter[int]()

    async def func(item: int) -> int:
        tried[item] += 1
        if item == 7:
            await asyncio.sleep(SECONDS)
        if item == 5 and tried[item] < 3:
            raise ConnectionError("not yet")
        return item

    async def main() -> Any:
        retry = Retry(attempts=3, wait_initial=0.001)
        async with arun(func, range(20), timeout=0.1, retry=retry) as run:
            return [outcome async for outcome in run], run.summary

    outcomes, summary = asyncio.run(main())
    assert [outcome.status for outcome in outcomes] == [Status.TIMED_OUT if n == 7 else Status.OK for n in range(20)]
    assert (outcomes[5].attempts, outcomes[7].attempts) == (3, 3)
    assert "timeout=0.1 s passed; cancelled where it awaited" in str(outcomes[7].error)
    assert summary.ok + summary.timed_out == summary.admitted == 20


def test_slots_are_as_many_as_workers() -> None:
    now, most = 0, 0

    async def func(item: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1

    async def main() -> None:
        async with arun(func, range(200), workers=7) as run:
            async for outcome in run:
                assert outcome.ok

    asyncio.run(main())
    assert most == 7


@pytest.mark.parametrize("asynchronous", [True, False])
def test_no_more_is_pulled_than_the_window_holds(asynchronous: bool) -> None:
    pulled = consumed = 0

    def pull() -> Iterator[int]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled

    async def apull() -> AsyncIterator[int]:
        for number in pull():
            yield number

    async def main() -> None:
        nonlocal consumed
        async with arun(double, apull() if asynchronous else pull(), window=10) as run:
            async for outcome in run:
                assert outcome.ok
                consumed += 1
                if consumed % 20 == 0:
                    await asyncio.sleep(0.005)  # a slow consumer
                assert pulled <= consumed + 21  # what was taken in one go counts as consumed with the next
                if consumed == 200:
                    break
        assert leftovers() == []

    asyncio.run(main())


def test_a_consumer_that_never_waits_lets_others_go_on() -> None:
    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        async with arun(plain_double, range(20_000)) as run:
            async for _ in run:
                pass
        task.cancel()
        assert turns > 2

    asyncio.run(main())


def test_two_tasks_share_one_run() -> None:
    async def main() -> None:
        got: list[int] = []

        async def consume() -> None:
            async for outcome in run:
                got.append(outcome.value)
                await asyncio.sleep(0)

        async with arun(double, range(500)) as run:
            await asyncio.gather(consume(), consume(), consume())
        assert sorted(got) == [n * 2 for n in range(500)]

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------- stopping


class Watched:
    """A coroutine function whose items hang, and that counts how they end."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.begun = asyncio.Event()

    @property
    def func(self) -> Callable[[int], Any]:
        async def hang(item: int) -> int:
            if item < 2:
                return item
            self.ends["begun"] += 1
            self.begun.set()
            try:
                await asyncio.sleep(SECONDS)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)  # tidies up
                self.ends["cancelled"] += 1
                raise
            return item

        return hang


@pytest.mark.parametrize("block", [True, False])
def test_cancelling_the_consumer_kills_the_run(block: bool) -> None:
    async def main() -> None:
        watched = Watched()
        runs = []

        async def consume() -> None:
            run = arun(watched.func, numbers(100))
            runs.append(run)
            if block:
                async with run:
                    async for _ in run:
                        pass
            else:
                async for _ in run:
                    pass

        task = asyncio.ensure_future(consume())
        await watched.begun.wait()
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < SECONDS / 2
        assert watched.ends["cancelled"] == watched.ends["begun"] > 0
        assert "cancelled" in runs[0].summary.stopped
        assert leftovers() == []
        assert not [thread for thread in threading.enumerate() if thread.name == "raddle-driver"]

    asyncio.run(main())


def test_cancelling_while_the_block_does_something_else() -> None:
    async def main() -> None:
        watched = Watched()

        async def consume() -> None:
            async with arun(watched.func, range(100)) as run:
                await anext(run)
                await asyncio.sleep(SECONDS)

        task = asyncio.ensure_future(consume())
        await watched.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert watched.ends["cancelled"] == watched.ends["begun"] > 0
        assert leftovers() == []

    asyncio.run(main())


def test_cancelling_a_run_on_threads_abandons_them() -> None:
    over = threading.Event()

    async def main() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hang(item: int) -> None:
            loop.call_soon_threadsafe(begun.set)
            over.wait(SECONDS)

        async def consume() -> None:
            async for _ in arun(hang, range(10)):
                pass

        task = asyncio.ensure_future(consume())
        await begun.wait()
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < SECONDS / 2

    asyncio.run(main())
    over.set()


def test_a_time_limit_over_the_whole_run() -> None:
    async def main() -> None:
        watched = Watched()

        async def limited() -> None:
            async with asyncio.timeout(None) as limit, arun(watched.func, range(100)) as run:
                await watched.begun.wait()
                limit.reschedule(asyncio.get_running_loop().time() + 0.05)
                await collect(run, [])

        with pytest.raises(TimeoutError):
            await limited()
        assert watched.ends["cancelled"] == watched.ends["begun"] > 0

    asyncio.run(main())


def test_leaving_early_gives_running_items_their_grace() -> None:
    async def main() -> None:
        ended = []

        async def func(item: int) -> None:
            await asyncio.sleep(0.05 if item else 0)
            ended.append(item)

        async with arun(func, range(1000)) as run:
            async for _ in run:
                break
        assert 0 in ended
        assert len(ended) < 500
        assert run.summary.stopped == "the run was closed"
        assert run.summary.workers_lost == 0

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_all_outcomes_come_after_a_stop(how: str) -> None:
    async def main() -> None:
        watched = Watched()
        async with arun(watched.func, range(50), grace=0.05) as run:
            await watched.begun.wait()
            getattr(run, how)("enough")
            statuses = Counter([outcome.status async for outcome in run])
        assert statuses.total() == 50
        assert statuses[Status.OK] <= 2
        assert statuses[Status.CANCELLED] >= 48
        assert run.summary.stopped == "enough"

    asyncio.run(main())


def test_a_run_that_is_dropped_is_killed() -> None:
    async def main() -> None:
        watched = Watched()
        run = arun(watched.func, numbers(100))
        await watched.begun.wait()
        thread = run._thread
        dropped = weakref.ref(run)
        del run
        gc.collect()
        assert dropped() is None
        while thread.is_alive():  # noqa: ASYNC110 - a thread rings no event
            await asyncio.sleep(0.001)
        assert watched.ends["cancelled"] == watched.ends["begun"] > 0
        assert leftovers() == []

    asyncio.run(main())


async def cancel_at_a_random_moment(chance: random.Random) -> None:
    """One run whose consumer is cancelled: no item goes on, none runs beside itself, nothing is left behind."""
    under_way, overlaps = Counter[int](), 0

    async def func(item: int) -> int:
        nonlocal overlaps
        under_way[item] += 1
        overlaps += under_way[item] > 1
        try:
            await asyncio.sleep(chance.choice([0, 0, 0.0005, 0.003, 0.03]))
            if item % 7 == 0:
                raise ValueError(item)
        finally:
            try:
                if chance.random() < 0.2:
                    await asyncio.sleep(0.001)  # tidies up
            finally:
                under_way[item] -= 1
        return item

    async def consume() -> None:
        source = numbers(10_000) if chance.random() < 0.5 else range(10_000)
        retry = Retry(attempts=2, wait_initial=0.001)
        async with arun(func, source, workers=chance.choice([1, 3, 20]), timeout=0.01, retry=retry) as run:
            async for outcome in run:
                assert outcome.item == outcome.position
                if chance.random() < 0.01:
                    await asyncio.sleep(0)

    task = asyncio.ensure_future(consume())
    await asyncio.sleep(chance.random() ** 2 * 0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert under_way.total() == overlaps == 0
    assert leftovers() == []


@pytest.mark.parametrize("count", [20, pytest.param(2000, marks=[pytest.mark.chaos, pytest.mark.timeout(1200)])])
def test_cancelled_at_random_moments(count: int) -> None:
    async def main() -> None:
        for seed in range(count):
            try:
                await cancel_at_a_random_moment(random.Random(seed))
            except BaseException as error:
                error.add_note(f"seed={seed}")
                raise

    asyncio.run(main())


# -------------------------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_error_of_the_source_comes_after_what_it_gave(asynchronous: bool) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise OSError("the disk is gone")

    async def abroken() -> AsyncIterator[int]:
        for number in broken():
            yield number

    async def main() -> None:
        got: list[Outcome] = []
        run = arun(double, abroken() if asynchronous else broken())
        with pytest.raises(OSError, match="the disk is gone"):
            await collect(run, got)
        assert [outcome.value for outcome in got] == [0, 2, 4, 6, 8]
        assert not run.summary.source_ended
        assert leftovers() == []

    asyncio.run(main())


def test_a_slow_async_source_is_read_as_it_comes_and_closed() -> None:
    closed = []

    async def ticks() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
                await asyncio.sleep(0.001 if number < 5 else SECONDS)
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main() -> None:
        async with arun(double, ticks(), grace=0) as run:
            assert [(await anext(run)).value for _ in range(6)] == [0, 2, 4, 6, 8, 10]
            assert closed == []
        assert closed == [True]
        assert leftovers() == []

    asyncio.run(main())


def test_an_async_iterator_that_is_no_generator_and_cancels_itself() -> None:
    class Mine:
        count = 0

        def __aiter__(self) -> Mine:
            return self

        async def __anext__(self) -> int:
            self.count += 1
            if self.count > 3:
                raise asyncio.CancelledError
            return self.count

    async def main() -> None:
        run = arun(double, Mine())
        with pytest.raises(RuntimeError, match="the source was cancelled"):
            await collect(run, [])
        assert run.summary.ok == 3

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------- a whole program

PROGRAM = """
import asyncio, os, signal, sys
sys.path.insert(0, {folder!r})
from test_arun import arun

async def hang(item):
    print("begin", item, flush=True)
    try:
        if item == 3:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(600 if item else 0)
    finally:
        print("end", item, flush=True)

async def main():
    {body}

asyncio.run(main(), debug={debug})
"""

BODIES = {
    "iterated": "async for outcome in arun(hang, range(100)): pass",
    "block": """async with arun(hang, range(100)) as run:
        await asyncio.sleep(600)""",
    "forgotten": """global run
    run = arun(hang, range(100))
    await asyncio.sleep(600)""",
}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_ctrl_c_ends_a_program_in_good_order(name: str, debug: bool) -> None:
    folder = os.path.dirname(__file__)  # noqa: PTH120 - goes into a program as text
    program = PROGRAM.format(folder=folder, body=BODIES[name], debug=debug)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS * 2)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt"), done.stderr
    assert "was never" not in done.stderr  # awaited, retrieved; a traceback may show a line that says "never"
    assert "destroyed" not in done.stderr
    assert "Warning" not in done.stderr
    lines = done.stdout.splitlines()
    begun = {line.removeprefix("begin ") for line in lines if line.startswith("begin")}
    assert begun >= set("0123")
    assert sorted(lines) == sorted(f"{what} {item}" for what in ("begin", "end") for item in begun)
