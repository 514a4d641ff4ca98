from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import threading
import time
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import raddle
from raddle import errors
from raddle._attempt import attempt
from raddle._events import ChunkEnded, Event, Reported, RunFailed, StopAsked, WorkerLost
from raddle._model import Chunk
from raddle.backends._inbox import QueueInbox
from raddle.backends._loop import PATIENCE
from raddle.backends.asyncio import AsyncioBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

E = TypeVar("E")
SECONDS = 60.0
tint = contextvars.ContextVar("tint", default="none")


def chunk(items: list[Any], number: int = 0) -> Chunk:
    return Chunk(number, items, range(len(items)), attempt=1, run="r")


def only(events: list[Event], kind: type[E]) -> E:
    (event,) = events
    assert isinstance(event, kind), event
    return event


async def same(item: Any) -> Any:
    return item


Open = "Callable[..., AsyncioBackend]"


@pytest.fixture
def open_() -> Iterator[Callable[..., AsyncioBackend]]:
    made = []

    def open_(func: Callable[[Any], Any] = same, **options: Any) -> AsyncioBackend:
        backend = AsyncioBackend(func, **({"workers": 1} | options))
        made.append(backend)
        return backend

    before = set(threading.enumerate())
    yield open_
    for backend in made:
        backend.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(SECONDS)
        assert not thread.is_alive()


class Gate:
    """A coroutine function that waits at "stop" until it is cancelled, and does then as it was told."""

    def __init__(self, then: Callable[[], Any] | None = None) -> None:
        self.entered = threading.Semaphore(0)
        self.cancelled = threading.Event()
        self.then = then

    async def __call__(self, item: Any) -> Any:
        if item != "stop":
            return item
        self.entered.release()
        try:
            await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            self.cancelled.set()
            if self.then is None:
                raise
            return self.then()

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=SECONDS)


def test_capabilities(open_: Any) -> None:
    can = open_(workers=3).capabilities
    assert (can.name, can.worker_name, can.workers, can.enforces_timeout) == ("asyncio", "task", 3, True)


def test_no_workers_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match=r"workers=0 .*give at least 1"):
        AsyncioBackend(same, workers=0)


def test_news_go_to_the_inbox_that_was_given(open_: Any) -> None:
    inbox = QueueInbox()
    backend = open_(inbox=inbox)
    assert backend.inbox is inbox
    backend.start(0, chunk([1]))
    assert only(inbox.take(SECONDS), ChunkEnded).values == [1]


# --------------------------------------------------------------------------------------------------- kill and close


def test_a_kill_cancels_the_item_and_the_task_goes_on(open_: Any) -> None:
    gate, prepared = Gate(), []
    backend = open_(gate, initializer=lambda: prepared.append(1))
    backend.start(0, chunk([1, "stop", 2]))
    backend.start(0, chunk([3], 1))
    gate.wait_entered()
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(SECONDS), WorkerLost)
    assert (lost.chunks, lost.offset, lost.reason) == ((0, 1), 1, "cancelled where it awaited")
    assert lost.ended is not None
    assert (lost.ended.values, lost.started) == ([1], lost.ended.clock[1])
    assert gate.cancelled.is_set()
    backend.start(0, chunk([4], 2))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [4]
    assert prepared == [1]
    assert backend.abandoned == 0


def raises(error: BaseException) -> Callable[[], Any]:
    def then() -> Any:
        raise error

    return then


@pytest.mark.parametrize("then", [lambda: "late", raises(ConnectionError("lost")), raises(SystemExit(3))])
def test_an_item_is_lost_whatever_it_makes_of_its_cancellation(open_: Any, then: Callable[[], Any]) -> None:
    gate = Gate(then)
    backend = open_(gate)
    backend.start(0, chunk([1, "stop", 2]))
    gate.wait_entered()
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(SECONDS), WorkerLost)
    assert (lost.offset, lost.reason, lost.gone) == (1, "cancelled where it awaited", False)
    backend.start(0, chunk([4], 1))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [4]


def test_one_that_does_not_end_when_cancelled_is_abandoned(open_: Any) -> None:
    over = threading.Event()

    async def stubborn(item: Any) -> Any:
        while item == "stop" and not over.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                entered.set()
        return item

    entered = threading.Event()
    backend = open_(stubborn, workers=2)
    backend.start(0, chunk([1, "stop", 2]))
    backend.start(1, chunk([5]))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [5]
    while not backend.running():
        time.sleep(0.001)
    began = time.monotonic()
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(SECONDS), WorkerLost)
    assert PATIENCE * 0.9 < time.monotonic() - began < SECONDS / 2
    assert lost.reason == "abandoned: it did not end when it was cancelled"
    assert (lost.offset, backend.abandoned) == (1, 1)
    assert entered.is_set()
    backend.start(0, chunk([4], 2))  # a new task, beside the old one
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [4]
    over.set()
    assert backend.inbox.take(0.1) == []


def test_too_many_abandoned_ones_end_the_run(open_: Any) -> None:
    over = threading.Event()
    entered = threading.Event()

    async def blocks(item: Any) -> None:
        entered.set()
        over.wait(SECONDS)

    backend = open_(blocks, max_abandoned=0)
    backend.start(0, chunk([1]))
    assert entered.wait(SECONDS)
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(SECONDS), WorkerLost)
    assert lost.gone
    backend.start(0, chunk([2], 1))
    failure, ended = backend.inbox.take(SECONDS)
    assert isinstance(failure, RunFailed)
    assert "max_abandoned=0" in str(failure.error)
    assert "compute in threads or processes" in str(failure.error)
    assert isinstance(ended, ChunkEnded)
    assert (ended.chunk, ended.values) == (1, [])
    over.set()


def test_a_blocked_own_loop_is_left_for_a_new_one_and_the_others_come_back(open_: Any) -> None:
    over, blocked = threading.Event(), threading.Event()

    async def func(item: Any) -> Any:
        if item == "block":
            blocked.set()
            over.wait(SECONDS)
        if item == "wait":
            await asyncio.sleep(0.05)
        return item

    backend = open_(func, workers=2)
    backend.start(1, chunk(["wait"], 1))
    while not backend.running():
        time.sleep(0.001)
    backend.start(0, chunk([1, "block", 2]))
    assert blocked.wait(SECONDS)
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(SECONDS), WorkerLost)
    assert (lost.chunks, lost.offset, lost.reason) == ((0,), 1, "abandoned: the event loop is blocked")
    backend.start(0, chunk([3], 2))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [3]
    over.set()  # the blocked loop comes back, and with it the innocent one; the guilty one says nothing more
    innocent = only(backend.inbox.take(SECONDS), ChunkEnded)
    assert (innocent.chunk, innocent.values) == (1, ["wait"])
    assert backend.inbox.take(0.1) == []


def test_kills_at_random_moments_lose_and_double_nothing(open_: Any) -> None:
    async def func(item: float) -> float:
        if item > 0:
            await asyncio.sleep(item)
        return item

    chance = random.Random(5)
    backend = open_(func, workers=4)
    number, answered = 0, Counter[int]()
    for _ in range(150):
        started = {}
        for worker in range(4):
            for _ in range(chance.randint(0, 2)):
                items = [chance.choice([0.0, 0.0005, 0.002]) for _ in range(chance.randint(1, 4))]
                backend.start(worker, chunk(items, number))
                started[number] = worker
                number += 1
        time.sleep(chance.random() * 0.004)
        for worker in range(4):
            backend.stop(worker, "kill")
        losses = Counter[int]()
        while losses.total() < 4:
            for event in backend.inbox.take(SECONDS):
                if isinstance(event, WorkerLost):
                    losses[event.worker] += 1
                    answered.update(event.chunks)
                    assert event.chunks or event.reason.startswith("not needed")
                else:
                    assert isinstance(event, ChunkEnded)
                    answered[event.chunk] += 1
                    assert losses[event.worker] == 0
        assert set(losses.values()) == {1}
    assert answered == Counter(range(number))
    assert backend.abandoned == 0


def test_close_ends_loop_thread_and_generators(open_: Any) -> None:
    closed = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            closed.append("generator")

    kept = []

    async def func(item: Any) -> Any:
        kept.append(numbers())
        await anext(kept[0])
        entered.set()
        try:
            await asyncio.sleep(SECONDS)
        finally:
            closed.append("item")

    entered = threading.Event()
    before = set(threading.enumerate())
    backend = open_(func)
    backend.start(0, chunk([1]))
    assert entered.wait(SECONDS)
    (thread,) = set(threading.enumerate()) - before
    assert (thread.name, thread.daemon) == ("raddle-loop", True)
    backend.close()
    backend.close()
    assert not thread.is_alive()
    assert closed == ["item", "generator"]
    assert backend._host.loop.is_closed()
    assert (backend.running(), backend.inbox.take(0)) == ([], [])


def test_close_does_not_wait_for_what_does_not_end(open_: Any) -> None:
    over, entered = threading.Event(), threading.Event()

    async def blocks(item: Any) -> None:
        entered.set()
        over.wait(SECONDS)

    backend = open_(blocks)
    backend.start(0, chunk([1]))
    assert entered.wait(SECONDS)
    began = time.monotonic()
    backend.close()
    assert time.monotonic() - began < SECONDS / 2
    over.set()


# ----------------------------------------------------------------------------------------------- errors of an item


def test_a_cancelled_error_of_its_own_is_the_items_failure(open_: Any) -> None:
    async def func(item: Any) -> Any:
        if item == "raise":
            raise asyncio.CancelledError
        if item == "child":
            child = asyncio.ensure_future(asyncio.sleep(SECONDS))
            child.cancel()
            await child
        if item == "self":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(SECONDS)
        if item == "timeout":
            async with asyncio.timeout(0):
                await asyncio.sleep(SECONDS)
        return item

    backend = open_(func)
    backend.start(0, chunk([1, "raise", "child", "self", "timeout", 2]))
    ended = only(backend.inbox.take(SECONDS), ChunkEnded)
    assert ended.values == [1, None, None, None, None, 2]
    cancelled = "asyncio.exceptions.CancelledError"
    assert [ended.errors[n].type for n in range(1, 5)] == [cancelled, cancelled, cancelled, "TimeoutError"]


def test_a_plain_function_fails_item_by_item(open_: Any) -> None:
    backend = open_(abs)
    backend.start(0, chunk([-1]))
    assert "await" in only(backend.inbox.take(SECONDS), ChunkEnded).errors[0].message


def test_an_async_initializer_prepares_the_context_of_its_slot(open_: Any) -> None:
    async def prepare() -> None:
        await asyncio.sleep(0)
        tint.set(tint.get() + "-" + asyncio.current_task().get_name())  # type: ignore[union-attr]

    async def func(item: Any) -> str:
        return tint.get()

    tint.set("caller")
    backend = open_(func, workers=2, initializer=prepare)
    tint.set("later")
    backend.start(1, chunk([1]))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == ["caller-raddle-task-1"]
    assert tint.get() == "later"


def test_an_async_initializer_that_fails_ends_the_run(open_: Any) -> None:
    async def prepare() -> None:
        raise OSError("no model file")

    backend = open_(initializer=prepare)
    backend.start(0, chunk([1]))
    events = backend.inbox.take(SECONDS)
    while len(events) < 2:
        events += backend.inbox.take(SECONDS)
    assert isinstance(events[0], RunFailed)
    assert "OSError: no model file" in str(events[0].error)


def test_items_of_a_chunk_are_let_go(open_: Any) -> None:
    class Thing:
        pass

    async def fails(item: Any) -> None:
        raise ValueError

    thing = Thing()
    seen = weakref.ref(thing)
    backend = open_(fails)
    backend.start(0, chunk([thing]))
    ended = only(backend.inbox.take(SECONDS), ChunkEnded)
    del thing
    # The error's own traceback holds the frame of `fails`, and so its item; that is the caller's to drop.
    assert ended.errors[0].exception is not None
    ended.errors[0].exception.__traceback__ = None
    began = time.monotonic()
    while seen() is not None and time.monotonic() - began < SECONDS:
        backend.running()  # the driver drops answered jobs when it looks
        gc.collect()
    assert seen() is None


# -------------------------------------------------------------------------------------------------- inside an item


def test_attempt_knows_its_own_item_among_many_in_one_thread(open_: Any) -> None:
    async def func(item: int) -> Any:
        await asyncio.sleep(0.001 * (item % 3))
        child = await asyncio.gather(ask(), asyncio.to_thread(lambda: attempt().idempotency_key))
        return [attempt().idempotency_key, *child]

    async def ask() -> str:
        await asyncio.sleep(0)
        return attempt().idempotency_key

    backend = open_(func, workers=4)
    for worker in range(4):
        backend.start(worker, Chunk(worker, [0, 1, 2], [worker * 10 + n for n in range(3)], attempt=1, run="r"))
    ends: list[Any] = []
    while len(ends) < 4:
        ends += backend.inbox.take(SECONDS)
    for end in ends:
        assert end.values == [[f"r/{end.worker * 10 + n}"] * 3 for n in range(3)], end.errors
    with pytest.raises(LookupError, match="no attempt"):
        attempt()


def test_attempt_is_the_innermost_one(open_: Any) -> None:
    def inner(item: int) -> int:
        return attempt().number + 10 * item

    async def middle(item: Any) -> list[Any]:
        found: list[Any] = [attempt().idempotency_key]
        for backend in ("serial", "threads"):
            with raddle.run(inner, [item, item + 1], backend=backend, workers=1) as run:
                found.append(list(run.values()))
        return [*found, attempt().idempotency_key]

    expected = ["r/0", [11, 21], [11, 21], "r/0"]
    backend = open_(middle)
    backend.start(0, chunk([1]))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [expected]

    def outer(item: Any) -> Any:
        return asyncio.run(on_this_thread()), attempt().number

    async def on_this_thread() -> Any:
        mine = AsyncioBackend(middle, workers=1, loop=asyncio.get_running_loop())
        mine.start(0, chunk([1]))
        while not (events := mine.inbox.take(0)):  # noqa: ASYNC110 - an inbox is for threads
            await asyncio.sleep(0.001)
        mine.close()
        return only(events, ChunkEnded).values

    with raddle.run(outer, [0], backend="threads", workers=1) as run:
        assert list(run.values()) == [([expected], 1)]


def test_attempt_can_report_and_sees_that_it_should_end(open_: Any) -> None:
    async def func(item: Any) -> bool:
        attempt().report(100, "half")
        entered.set()
        while not attempt().cancelled:  # noqa: ASYNC110 - what a function would do
            await asyncio.sleep(0.001)
        return attempt().cancelled

    entered = threading.Event()
    backend = open_(func)
    backend.start(0, chunk([1, 2], 7))
    assert entered.wait(SECONDS)
    assert backend.inbox.take(SECONDS) == [Reported(0, 7, 0, 100.0, "half")]
    backend.stop(0, "close")
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [True]


# ----------------------------------------------------------------------------------------------- the caller's loop


def test_many_busy_tasks_let_the_callers_own_go_on() -> None:
    async def main() -> float:
        backend = AsyncioBackend(same, workers=50, loop=asyncio.get_running_loop())
        for worker in range(50):
            backend.start(worker, chunk([1] * 8000, worker))
        ended, worst, last = 0, 0.0, time.thread_time()
        while ended < 50:
            await asyncio.sleep(0)
            ended += len(backend.inbox.take(0))
            now = time.thread_time()  # of this thread alone: the machine may be busy with others
            worst, last = max(worst, now - last), now
        backend.close()
        return worst

    assert asyncio.run(main()) < 0.1  # without pauses it is all of 400,000 items


def test_a_closed_loop_ends_the_run_with_a_reason() -> None:
    loop = asyncio.new_event_loop()
    backend = AsyncioBackend(same, workers=1, loop=loop)
    loop.close()
    backend.start(0, chunk([1, 2], 3))
    failure, ended = backend.inbox.take(0)
    assert isinstance(failure, RunFailed)
    assert "worker=0" in str(failure.error)
    assert "keep it open" in str(failure.error)
    assert isinstance(ended, ChunkEnded)
    assert (ended.chunk, ended.values) == (3, [])
    backend.stop(0, "kill")
    assert only(backend.inbox.take(0), WorkerLost).chunks == ()
    backend.close()


def test_a_loop_that_cancels_all_its_tasks_ends_the_run() -> None:
    gate, backends = Gate(), []

    async def main() -> None:
        backends.append(AsyncioBackend(gate, workers=2, loop=asyncio.get_running_loop()))
        backends[0].start(0, chunk([1, "stop", 2]))
        backends[0].start(1, chunk([3], 1))
        while not gate.entered.acquire(blocking=False):  # noqa: ASYNC110 - the gate is for threads
            await asyncio.sleep(0.001)

    asyncio.run(main())  # cancels what is left at its end, and waits for it
    events = backends[0].inbox.take(0)
    assert any(isinstance(event, StopAsked) and "shutting down" in event.reason for event in events)
    (lost,) = [event for event in events if isinstance(event, WorkerLost)]
    assert (lost.chunks, lost.offset) == ((0,), 1)
    assert "cancelled from outside" in lost.reason
    backends[0].close()


def test_a_ctrl_c_on_the_callers_loop_is_the_callers() -> None:
    backends = []

    async def func(item: Any) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        backends.append(AsyncioBackend(func, workers=1, loop=asyncio.get_running_loop()))
        backends[0].start(0, chunk([1]))
        await asyncio.sleep(SECONDS)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert any(isinstance(event, StopAsked) for event in backends[0].inbox.take(0))
    backends[0].close()
    gc.collect()
