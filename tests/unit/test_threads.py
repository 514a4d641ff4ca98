from __future__ import annotations

import contextvars
import gc
import random
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from raddle import errors
from raddle._attempt import attempt
from raddle._events import ChunkEnded, Event, RunFailed, Ticked, WorkerLost
from raddle._model import Chunk
from raddle.backends._inbox import QueueInbox
from raddle.backends.threads import ThreadBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raddle._model import StopHow

E = TypeVar("E")
SECONDS = 60.0
tint = contextvars.ContextVar("tint", default="none")


def chunk(items: list[Any], number: int = 0) -> Chunk:
    return Chunk(number, items, range(len(items)), attempt=1)


class Gate:
    """A function that stops at the item "stop" until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()
        self.left: list[bool] = []

    def __call__(self, item: Any) -> Any:
        if item == "stop":
            self.entered.release()
            self.opened.wait(SECONDS)
            self.left.append(attempt().cancelled)
        return item


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def only(events: list[Event], kind: type[E]) -> E:
    (event,) = events
    assert isinstance(event, kind)
    return event


def wait_entered(gate: Gate) -> None:
    assert gate.entered.acquire(timeout=SECONDS)


def thread_of(backend: ThreadBackend, worker: int) -> threading.Thread:
    mine = backend._workers[worker]
    assert mine is not None
    return mine.thread


def test_capabilities() -> None:
    can = ThreadBackend(abs, workers=3).capabilities
    assert (can.name, can.worker_name, can.workers, can.depth) == ("threads", "thread", 3, 2)
    assert (can.enforces_timeout, can.max_chunk) == (True, 8192)


def test_no_workers_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match=r"workers=0 .*give at least 1"):
        ThreadBackend(abs, workers=0)


def test_threads_start_with_their_first_chunk_and_end_with_close() -> None:
    before = set(threading.enumerate())
    backend = ThreadBackend(abs, workers=8)
    assert set(threading.enumerate()) <= before
    backend.start(5, chunk([-1]))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [1]
    (thread,) = set(threading.enumerate()) - before
    assert (thread.name, thread.daemon) == ("raddle-thread-5", True)
    backend.close()
    assert not thread.is_alive()


def test_close_of_a_slot_lets_the_item_under_way_end(gate: Gate) -> None:
    backend = ThreadBackend(gate, workers=1)
    backend.start(0, chunk(["stop", 1, 2]))
    backend.start(0, chunk([3], 1))
    wait_entered(gate)
    backend.stop(0, "close")
    assert backend.inbox.take(0) == []
    gate.opened.set()
    first = only(backend.inbox.take(SECONDS)[:1], ChunkEnded)
    assert (first.chunk, first.values) == (0, ["stop"])
    assert gate.left == [True]
    backend.close()


def test_a_late_thread_says_nothing_starts_nothing_and_ends(gate: Gate) -> None:
    backend = ThreadBackend(gate, workers=1)
    backend.start(0, chunk([1, "stop", 2]))
    backend.start(0, chunk(["stop"], 1))
    wait_entered(gate)
    thread = thread_of(backend, 0)
    backend.stop(0, "kill")
    lost = only(backend.inbox.take(0), WorkerLost)
    assert lost.chunks == (0, 1)
    assert (lost.offset, lost.reason) == (1, "abandoned: the thread is still running its item")
    assert lost.ended is not None
    assert (lost.ended.chunk, lost.ended.values, len(lost.ended.clock)) == (0, [1], 2)
    assert lost.started == lost.ended.clock[1]
    assert backend.abandoned == 1
    gate.opened.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert backend.inbox.take(0) == []
    assert lost.ended.values == [1]
    assert gate.left == [True]  # attempt().cancelled told it
    assert not gate.entered.acquire(blocking=False)
    backend.start(0, chunk([4], 2))
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [4]
    backend.close()


def test_kill_before_the_thread_is_ready_loses_nobody() -> None:
    ready = threading.Event()
    backend = ThreadBackend(abs, workers=1, initializer=lambda: ready.wait(SECONDS))
    backend.start(0, chunk([-1, -2]))
    backend.start(0, chunk([-3], 1))
    backend.stop(0, "kill")
    *events, lost = backend.inbox.take(0)
    assert isinstance(lost, WorkerLost)
    assert (lost.chunks, lost.offset) == ((), None)
    ends = [event for event in events if isinstance(event, ChunkEnded)]
    assert [(end.chunk, end.values, len(end.clock)) for end in ends] == [(0, [], 1), (1, [], 1)]
    assert backend.abandoned == 0
    backend.start(0, chunk([-4], 2))
    ready.set()
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [4]
    backend.close()


def test_an_answer_that_a_kill_meets_is_heard_before_the_loss() -> None:
    class SlowInbox(QueueInbox):
        """Answers wait here for a loss to overtake them."""

        __slots__ = ("answering", "lost")

        def __init__(self) -> None:
            super().__init__()
            self.answering = threading.Event()
            self.lost = threading.Event()

        def put(self, event: Event) -> None:
            if isinstance(event, ChunkEnded):
                self.answering.set()
                self.lost.wait(0.2)
            super().put(event)
            self.lost.set()

    backend = ThreadBackend(abs, workers=1)
    backend.inbox = inbox = SlowInbox()
    backend.start(0, chunk([-1]))
    assert inbox.answering.wait(SECONDS)
    backend.stop(0, "kill")
    assert [type(event) for event in inbox.take(0)] == [ChunkEnded, WorkerLost]
    backend.close()


def test_too_many_abandoned_threads_end_the_run(gate: Gate) -> None:
    backend = ThreadBackend(gate, workers=1, max_abandoned=2)
    for number in range(3):
        backend.start(0, chunk(["stop"], number))
        wait_entered(gate)
        backend.stop(0, "kill")
    backend.start(0, chunk(["next"], 3))
    *lost, failure, ended = backend.inbox.take(0)
    assert [type(event) for event in lost] == [WorkerLost] * 3
    assert isinstance(failure, RunFailed)
    assert isinstance(ended, ChunkEnded)
    assert (ended.chunk, ended.values) == (3, [])
    assert isinstance(failure.error, errors.BackendError)
    assert "abandoned=3" in str(failure.error)
    assert "use backend='processes'" in str(failure.error)


def test_abandoned_threads_that_ended_do_not_count() -> None:
    backend = ThreadBackend(gate := Gate(), workers=1, max_abandoned=1)
    for number in range(3):
        gate.opened.clear()
        backend.start(0, chunk(["stop"], number))
        wait_entered(gate)
        thread = thread_of(backend, 0)
        backend.stop(0, "kill")
        gate.opened.set()
        thread.join(SECONDS)
    assert [type(event) for event in backend.inbox.take(0)] == [WorkerLost] * 3
    assert backend.abandoned == 3


def test_close_abandons_what_hangs_and_waits_for_the_rest(gate: Gate) -> None:
    backend = ThreadBackend(gate, workers=2)
    backend.start(0, chunk(["stop", 1]))
    backend.start(1, chunk([2], 1))
    wait_entered(gate)
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [2]
    hanging, idle = thread_of(backend, 0), thread_of(backend, 1)
    backend.close()
    assert (hanging.is_alive(), idle.is_alive()) == (True, False)
    assert backend.abandoned == 1
    assert backend.running() == []


def test_interpreter_exit_is_not_blocked_by_an_abandoned_thread() -> None:
    program = """
import time
from raddle._model import Chunk
from raddle.backends.threads import ThreadBackend
backend = ThreadBackend(time.sleep, workers=1)
backend.start(0, Chunk(0, [3600], range(1), 1))
while not backend.running():
    pass
backend.stop(0, "kill")
print(backend.inbox.take(0)[0].reason)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert done.stdout == "abandoned: the thread is still running its item\n"
    assert done.stderr == ""


def test_each_thread_has_its_own_copy_of_the_makers_context() -> None:
    def func(item: str) -> str:
        seen = tint.get()
        tint.set(item)
        return seen

    token = tint.set("madder")
    backend = ThreadBackend(func, workers=2)
    tint.reset(token)
    for worker in (0, 1):
        backend.start(worker, chunk(["woad", "weld"], worker))
        assert only(backend.inbox.take(SECONDS), ChunkEnded).values == ["madder", "woad"]
    backend.close()


def test_failed_initializer_ends_the_run_and_still_answers() -> None:
    def initializer() -> None:
        raise KeyboardInterrupt

    backend = ThreadBackend(abs, workers=1, initializer=initializer)
    backend.start(0, chunk([1]))
    backend.start(0, chunk([2], 1))
    events: list[Event] = []
    while len(events) < 3:
        events += backend.inbox.take(SECONDS)
    assert isinstance(events[0], RunFailed)
    assert "KeyboardInterrupt" in str(events[0].error)
    assert [event.values for event in events if isinstance(event, ChunkEnded)] == [[], []]
    backend.close()


def test_a_kept_error_does_not_keep_the_values_of_its_chunk() -> None:
    class Value:
        pass

    def func(item: int) -> Value:
        if item:
            raise ValueError(item) from KeyError(item)
        return Value()

    backend = ThreadBackend(func, workers=1)
    backend.start(0, chunk([0, 7]))
    end = only(backend.inbox.take(SECONDS), ChunkEnded)
    error, value = end.errors[1], weakref.ref(end.values[0])
    assert isinstance(error.exception, ValueError)
    assert "raise ValueError(item) from KeyError(item)" in error.traceback
    backend.close()
    gc.disable()
    try:
        del end
        assert value() is None
    finally:
        gc.enable()


def test_an_idle_thread_keeps_no_items_and_values() -> None:
    class Value:
        pass

    backend = ThreadBackend(lambda item: item, workers=1)
    item = Value()
    seen = weakref.ref(item)
    backend.start(0, chunk([item]))
    end = only(backend.inbox.take(SECONDS), ChunkEnded)
    del item, end
    backend.running()
    backend.start(0, chunk([1], 1))  # the thread has let go of the first chunk when it takes the second
    assert only(backend.inbox.take(SECONDS), ChunkEnded).values == [1]
    assert seen() is None
    backend.close()


def test_take_accepts_any_timeout() -> None:
    inbox = QueueInbox()
    news = [Ticked([]), Ticked([])]
    for timeout in (None, float("inf"), -1.0, 0.0):
        for event in news:
            inbox.put(event)
        assert inbox.take(timeout) == news
    assert inbox.take(-1.0) == []


class Ledger:
    """Hands out chunks of small items to all slots, stops slots at random, and keeps account of each item."""

    def __init__(self, seed: int, func: Callable[[int], int]) -> None:
        self.dice = random.Random(seed)
        self.backend = ThreadBackend(func, workers=3, max_abandoned=10_000)
        self.open: dict[int, Chunk] = {}
        self.owner: dict[int, int] = {}
        self.held = [0, 0, 0]
        self.finished: list[int] = []
        self.lost: list[int] = []
        self.given_back: list[int] = []
        self.number = 0
        self.kills = 0

    def start(self, worker: int) -> None:
        first = self.number * 1000
        size = self.dice.randint(1, 60)
        given = Chunk(self.number, list(range(first, first + size)), range(first, first + size), attempt=1)
        self.open[self.number] = given
        self.owner[self.number] = worker
        self.number += 1
        self.held[worker] += 1
        self.backend.start(worker, given)

    def hear(self, timeout: float) -> None:
        for event in self.backend.inbox.take(timeout):
            if isinstance(event, ChunkEnded):
                self.account(event, 0)
                self.held[event.worker] -= 1
            else:
                assert isinstance(event, WorkerLost)
                self.kills += 1
                if event.ended is None:
                    assert (event.chunks, event.offset, self.held[event.worker]) == ((), None, 0)
                    continue
                assert [number for number in self.open if self.owner[number] == event.worker] == list(event.chunks)
                assert event.offset == len(event.ended.values)
                items = self.account(event.ended, 1)
                self.lost.append(items[event.offset])
                self.held[event.worker] = 0
                for number in event.chunks[1:]:
                    self.given_back += self.open.pop(number).items

    def account(self, end: ChunkEnded, under_way: int) -> list[int]:
        items = self.open.pop(end.chunk).items  # KeyError: answered twice
        done = len(end.values)
        assert end.values == items[:done]
        assert len(end.clock) == done + 1
        self.finished += items[:done]
        self.given_back += items[done + under_way :]
        return items


@pytest.mark.parametrize("seed", range(4))
def test_stops_at_any_moment_lose_and_double_nothing(seed: int) -> None:
    called: list[int] = []

    def func(item: int) -> int:
        called.append(item)
        return item

    ledger = Ledger(seed, func)
    kills = 0
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(600):
            worker = ledger.dice.randrange(3)
            while ledger.held[worker] < 2:
                ledger.start(worker)
            for _ in range(ledger.dice.randrange(40)):
                ledger.backend.running()
            if ledger.dice.random() < 0.7:
                how: StopHow = ledger.dice.choice(["close", "kill", "kill"])
                ledger.backend.stop(worker, how)
                kills += how == "kill"
            ledger.hear(0)
        while ledger.open or ledger.kills < kills:
            ledger.hear(SECONDS)
    finally:
        sys.setswitchinterval(interval)
    ledger.backend.close()
    for thread in ledger.backend._left_behind:
        thread.join(SECONDS)
    assert ledger.backend.inbox.take(0) == []
    assert len(called) == len(set(called))
    assert set(called) == set(ledger.finished) | set(ledger.lost)
    assert not set(called) & set(ledger.given_back)
    total = len(ledger.finished) + len(ledger.lost) + len(ledger.given_back)
    assert total == len({*ledger.finished, *ledger.lost, *ledger.given_back})
    assert len(ledger.lost) == ledger.backend.abandoned
