"""The promises of a backend, as tests.

Bind them to yours and run it with pytest:

    class TestMine(BackendSuite):
        def make(self, func, **options):
            return MyBackend(func, **options)

`pytest.register_assert_rewrite("raddle.testing.backend_suite")` in a conftest makes failures say more. Nothing here
imports pytest.
"""

from __future__ import annotations

import itertools
import pickle
import threading
import time
import unittest
from typing import TYPE_CHECKING, Any, TypeVar

from raddle._events import ChunkEnded, RunFailed, Ticked, WorkerLost
from raddle._model import Chunk, Running
from raddle.errors import BackendError
from raddle.testing.items import (
    DIE,
    EXIT,
    HANG,
    INTERRUPT,
    LOCK,
    NAP,
    NAP_SECONDS,
    RAISE,
    begin,
    fail_to_prepare,
    prepare,
    release,
    tell_attempt,
    tell_prepared,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._events import Event
    from raddle._ports import Backend

__all__ = ["BackendSuite"]

_TURN = 0.02

E = TypeVar("E")


class BackendSuite:
    """Subclass, give `make`, set to False what your backend cannot do."""

    #: attempts see `raddle.attempt()`
    knows_attempt = True
    #: `initializer` runs in each worker
    initializes = True
    #: what derives from BaseException alone is an item's error too
    contains_exit = True
    #: even KeyboardInterrupt
    contains_interrupt = True
    #: `start` comes back before the chunk has ended
    runs_beside = True
    #: other threads may put into the inbox
    shared_inbox = True
    #: a worker may die of an item and costs that item alone
    survives_death = False
    #: seconds to wait for something that must come
    patience = 30.0

    _made: list[Backend]

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        """Return a backend that runs `func`. Closed by the suite.

        Options, each only where a test needs it: workers (int; you may have fewer), initializer, timeout (seconds),
        stored (bool).
        """
        raise NotImplementedError

    def setup_method(self) -> None:
        """Begin a test."""
        self._made = []
        begin()

    def teardown_method(self) -> None:
        """Release what hangs, close what was made."""
        for backend in self._made:
            backend.close()
        release()

    # ------------------------------------------------------------------------------------------- what must hold

    def test_capabilities_are_usable(self) -> None:
        can = self._open().capabilities
        assert can.name
        assert can.worker_name
        assert min(can.workers, can.max_chunk, can.depth) >= 1

    def test_each_chunk_is_answered_exactly_once_in_every_slot(self) -> None:
        backend = self._open()
        can = backend.capabilities
        chunks = [_chunk(number, [number, number + 1]) for number in range(can.workers * can.depth)]
        for chunk in chunks:
            backend.start(chunk.number % can.workers, chunk)
        ends = self._ends(backend, len(chunks))
        assert sorted(end.chunk for end in ends) == [chunk.number for chunk in chunks]
        assert all(end.worker == end.chunk % can.workers for end in ends)
        assert all(end.values == [end.chunk * 2, end.chunk * 2 + 2] for end in ends)
        self._quiet(backend)

    def test_clock_has_the_start_and_the_end_of_each_item(self) -> None:
        backend = self._open()
        end = self._run(backend, [1, NAP, 3])
        assert end.values == [2, NAP * 2, 6]
        assert end.errors == {}
        assert len(end.clock) == 4
        assert end.clock == sorted(end.clock)
        assert end.clock[2] - end.clock[1] >= NAP_SECONDS * 0.99

    def test_an_error_costs_its_own_item(self) -> None:
        end = self._run(self._open(), [1, RAISE, 3])
        assert end.values == [2, None, 6]
        assert len(end.clock) == 4
        assert list(end.errors) == [1]
        error = end.errors[1]
        assert (error.type, error.message) == ("ValueError", RAISE)
        assert "Exception" in error.lineage
        assert "ValueError: raise" in error.traceback

    def test_exit_is_an_items_error(self) -> None:
        self._needs(can=self.contains_exit)
        end = self._run(self._open(), [1, EXIT, 3])
        assert end.values == [2, None, 6]
        assert {offset: error.type for offset, error in end.errors.items()} == {1: "SystemExit"}

    def test_interrupt_is_an_items_error(self) -> None:
        self._needs(can=self.contains_interrupt)
        end = self._run(self._open(), [1, INTERRUPT, 3])
        assert end.values == [2, None, 6]
        assert {offset: error.type for offset, error in end.errors.items()} == {1: "KeyboardInterrupt"}

    def test_a_used_up_budget_gives_the_rest_back(self) -> None:
        backend = self._open()
        end = self._run(backend, [NAP] * 100, budget=NAP_SECONDS * 2.5)
        assert 1 <= len(end.values) < 100
        assert len(end.clock) == len(end.values) + 1
        assert end.clock[-1] - end.clock[0] >= NAP_SECONDS * 2.5
        assert end.clock[-2] - end.clock[0] < NAP_SECONDS * 2.5
        assert self._run(backend, [5], number=1).values == [10]

    def test_a_budget_of_nothing_still_runs_one_item(self) -> None:
        assert self._run(self._open(), [1, 2, 3], budget=0.0).values == [2]

    def test_chunks_of_a_slot_run_in_the_order_given(self) -> None:
        backend = self._open()
        depth = backend.capabilities.depth
        for number in range(depth):
            backend.start(0, _chunk(number, [NAP, number]))
        ends = self._ends(backend, depth)
        assert [end.chunk for end in ends] == list(range(depth))
        assert all(before.clock[-1] <= after.clock[0] for before, after in itertools.pairwise(ends))

    def test_running_names_the_item_under_way(self) -> None:
        backend = self._open_killable()
        assert backend.running() == []
        backend.start(0, _chunk(7, [1, 2, HANG, 4]))
        place = self._wait_for(backend, offset=2)
        assert (place.worker, place.chunk, place.offset) == (0, 7, 2)
        assert place.started > 0

    def test_close_of_a_slot_gives_back_all_it_has_not_started(self) -> None:
        self._needs(can=self.runs_beside)
        backend = self._open()
        depth = backend.capabilities.depth
        for number in range(depth):
            backend.start(0, _chunk(number, [NAP] * 200))
        self._wait_for(backend, offset=0)
        backend.stop(0, "close")
        ends = self._ends(backend, depth)
        assert [end.chunk for end in ends] == list(range(depth))
        assert 1 <= len(ends[0].values) < 200
        assert ends[0].values == [NAP * 2] * len(ends[0].values)
        assert all(end.values == [] and len(end.clock) == 1 for end in ends[1:])
        assert self._run(backend, [5], number=depth).values == [10]

    def test_close_of_an_idle_slot_answers_nothing(self) -> None:
        backend = self._open()
        self._run(backend, [1])
        backend.stop(0, "close")
        self._quiet(backend)
        assert self._run(backend, [5], number=1).values == [10]

    def test_kill_of_an_idle_slot_is_answered_once_and_blames_no_item(self) -> None:
        backend = self._open()
        for number in range(2):  # first a slot that never ran anything
            backend.stop(0, "kill")
            lost = _only(self._answers(backend, 1), WorkerLost)
            assert (lost.worker, lost.chunks, lost.ended, lost.offset) == (0, (), None, None)
            assert self._run(backend, [5], number=number).values == [10]
        self._quiet(backend)

    def test_kill_that_meets_the_end_of_a_chunk_loses_and_doubles_nothing(self) -> None:
        backend = self._open()
        for number in range(30):
            backend.start(0, _chunk(number, [number] * (number % 7 + 1)))
            backend.stop(0, "kill")
            *ends, lost = self._answers_until_lost(backend)
            reported = [end.chunk for end in ends if isinstance(end, ChunkEnded)] + list(lost.chunks)
            assert reported == [number]
            done = lost.ended if lost.ended is not None else ends[0] if ends else None
            if isinstance(done, ChunkEnded):
                assert done.values == [number * 2] * len(done.values)
                assert len(done.clock) == len(done.values) + 1
                assert lost.offset in {None, len(done.values)}
        self._quiet(backend)

    def test_kill_names_the_item_and_keeps_what_was_finished(self) -> None:
        backend = self._open_killable()
        backend.start(0, _chunk(0, [1, RAISE, HANG, 4]))
        if backend.capabilities.depth > 1:
            backend.start(0, _chunk(1, [5]))
        place = self._wait_for(backend, offset=2)
        backend.stop(0, "kill")
        lost = _only(self._answers(backend, 1), WorkerLost)
        assert (lost.worker, lost.offset) == (0, 2)
        assert lost.chunks == tuple(range(backend.capabilities.depth))[:2]
        assert lost.reason
        assert lost.ended is not None
        assert (lost.ended.worker, lost.ended.chunk, lost.ended.values) == (0, 0, [2, None])
        assert (list(lost.ended.errors), len(lost.ended.clock)) == ([1], 3)
        assert lost.started == place.started
        assert backend.running() == []
        assert self._run(backend, [6, 7], number=2).values == [12, 14]
        self._quiet(backend)

    def test_kill_leaves_other_slots_alone(self) -> None:
        backend = self._open_killable()
        self._needs(can=backend.capabilities.workers > 1)
        backend.start(0, _chunk(0, [HANG]))
        self._wait_for(backend, offset=0)
        backend.start(1, _chunk(1, [NAP] * 5))
        backend.stop(0, "kill")
        answers = self._answers(backend, 2)
        assert [answer.offset for answer in answers if isinstance(answer, WorkerLost)] == [0]
        assert [answer.values for answer in answers if isinstance(answer, ChunkEnded)] == [[NAP * 2] * 5]

    def test_a_worker_that_dies_costs_the_item_under_way(self) -> None:
        self._needs(can=self.survives_death)
        backend = self._open()
        backend.start(0, _chunk(0, [1, 2, DIE, 4]))
        lost = _only(self._answers(backend, 1), WorkerLost)
        assert (lost.worker, lost.chunks, lost.offset) == (0, (0,), 2)
        assert lost.ended is not None
        assert (lost.ended.chunk, lost.ended.values) == (0, [2, 4])
        assert self._run(backend, [6], number=1).values == [12]

    def test_stored_values_can_be_loaded(self) -> None:
        end = self._run(self._open(stored=True), [1, RAISE, LOCK, 4])
        assert end.stored is not None
        assert end.values == [2, None, None, 8]
        assert [pickle.loads(image) if image else None for image in end.stored] == end.values  # noqa: S301 - our own
        assert sorted(end.errors) == [1, 2]
        assert "lock" in end.errors[2].message
        assert "pickle" in end.errors[2].message

    def test_nothing_is_stored_unasked(self) -> None:
        assert self._run(self._open(), [1]).stored is None

    def test_attempt_tells_the_function_where_it_is(self) -> None:
        self._needs(can=self.knows_attempt)
        timeout = 1000.0 if self._open().capabilities.enforces_timeout else None
        backend = self._open(tell_attempt, timeout=timeout)
        backend.start(0, Chunk(0, ["a", "b"], [10, 12], attempt=3, run="r1"))
        in_time = timeout is not None
        end = _only(self._answers(backend, 1), ChunkEnded)
        assert end.values == [("a", 3, "r1/10", in_time, False), ("b", 3, "r1/12", in_time, False)]
        backend.start(0, Chunk(1, ["c"], [13], attempt=1, ids=[b"\x01\xff"], run="r1"))
        assert _only(self._answers(backend, 1), ChunkEnded).values == [("c", 1, "r1/01ff", in_time, False)]

    def test_initializer_runs_before_the_first_item_of_each_worker(self) -> None:
        self._needs(can=self.initializes)
        backend = self._open(tell_prepared, initializer=prepare)
        workers = backend.capabilities.workers
        for worker in range(workers):
            backend.start(worker, _chunk(worker, [worker]))
        assert sorted(end.values for end in self._ends(backend, workers)) == [[(n, True)] for n in range(workers)]

    def test_a_failing_initializer_ends_the_run_and_says_why(self) -> None:
        self._needs(can=self.initializes)
        backend = self._open(work, initializer=fail_to_prepare)
        backend.start(0, _chunk(0, [1]))
        failure = next(answer for answer in self._answers(backend, 1) if isinstance(answer, RunFailed))
        assert isinstance(failure.error, BackendError)
        assert "initializer" in str(failure.error)
        assert "OSError: no model file" in str(failure.error)

    def test_take_comes_back_without_news(self) -> None:
        backend = self._open()
        assert backend.inbox.take(0.0) == []
        assert backend.inbox.take(0.01) == []

    def test_put_of_another_thread_wakes_take(self) -> None:
        self._needs(can=self.shared_inbox)
        backend = self._open()
        news = Ticked([])
        thread = threading.Timer(0.02, backend.inbox.put, [news])
        thread.start()
        assert self._answers(backend, 1, turn=self.patience) == [news]
        thread.join()

    def test_close_ends_everything_at_once_and_twice(self) -> None:
        backend = self._open_killable()
        backend.start(0, _chunk(0, [HANG]))
        self._wait_for(backend, offset=0)
        began = time.monotonic()
        backend.close()
        backend.close()
        assert time.monotonic() - began < self.patience / 2
        assert backend.running() == []

    # -------------------------------------------------------------------------------------------------- means

    def _open(self, func: Callable[[Any], Any] = work, **options: Any) -> Backend:
        backend = self.make(func, **({"workers": 2} | options))
        self._made.append(backend)
        return backend

    def _open_killable(self) -> Backend:
        backend = self._open()
        self._needs(can=backend.capabilities.enforces_timeout)
        return backend

    def _needs(self, *, can: bool) -> None:
        if not can:
            raise unittest.SkipTest("this backend does not promise it")

    def _answers(self, backend: Backend, count: int, *, turn: float = _TURN) -> list[Event]:
        """Take until so many events have come."""
        answers: list[Event] = []
        for _ in range(int(self.patience / turn)):
            answers += backend.inbox.take(turn)
            if len(answers) >= count:
                return answers
        raise AssertionError(f"{len(answers)} of {count} answers came within patience={self.patience} s: {answers}")

    def _answers_until_lost(self, backend: Backend) -> Any:
        answers = self._answers(backend, 1)
        while not isinstance(answers[-1], WorkerLost):
            answers += self._answers(backend, 1)
        return answers

    def _ends(self, backend: Backend, count: int) -> list[ChunkEnded]:
        answers = self._answers(backend, count)
        assert len(answers) == count, answers
        return [_only([answer], ChunkEnded) for answer in answers]

    def _run(self, backend: Backend, items: list[Any], *, number: int = 0, budget: float = float("inf")) -> ChunkEnded:
        backend.start(0, _chunk(number, items, budget=budget))
        return _only(self._answers(backend, 1), ChunkEnded)

    def _wait_for(self, backend: Backend, *, offset: int) -> Running:
        """Let time pass until slot 0 is at this item or beyond."""
        for _ in range(int(self.patience / _TURN)):
            for place in backend.running():
                if place.worker == 0 and place.offset >= offset:
                    return place
            assert backend.inbox.take(_TURN) == []
        raise AssertionError(f"offset={offset} was not reached: running={backend.running()}")

    def _quiet(self, backend: Backend) -> None:
        assert backend.inbox.take(_TURN * 2) == []


def _chunk(number: int, items: list[Any], *, budget: float = float("inf")) -> Chunk:
    return Chunk(number, items, range(len(items)), attempt=1, budget=budget)


def _only(answers: Sequence[object], kind: type[E]) -> E:
    assert len(answers) == 1, answers
    assert isinstance(answers[0], kind), answers
    return answers[0]
