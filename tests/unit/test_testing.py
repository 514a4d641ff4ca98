"""The test kit: a clock that is told, a backend that is planned."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle._events import ChunkEnded, Event, StopAsked, Ticked, WorkerLost
from raddle._model import Chunk
from raddle.testing import FakeClock, SimulatedBackend, Step

INFINITY = float("inf")


def chunk(items: list[Any], number: int = 0, *, attempt: int = 1, budget: float = INFINITY) -> Chunk:
    return Chunk(number, items, range(100 * number, 100 * number + len(items)), attempt, budget=budget)


def seconds(item: float, attempt: int) -> Step:
    return Step(item, value=item)


def as_planned(item: Step, attempt: int) -> Step:
    return item


def open_backend(plan: Any = seconds, **options: Any) -> tuple[SimulatedBackend, FakeClock]:
    clock = FakeClock(10.0)
    options.setdefault("workers", 2)
    return SimulatedBackend(plan, clock=clock, **options), clock


# ------------------------------------------------------------------------------------------------------- the clock


def test_clock_moves_when_told() -> None:
    clock = FakeClock(5.0)
    wall = clock.wall()
    assert clock.now() == 5.0
    clock.advance(2.5)
    clock.advance(0)
    assert (clock.now(), clock.wall() - wall) == (7.5, 2.5)
    clock.advance_to(7.0)
    assert clock.now() == 7.5
    clock.advance_to(8.1)
    assert clock.now() == 8.1


def test_clock_never_goes_back() -> None:
    with pytest.raises(ValueError, match=r"seconds=-1 .*give 0 or more"):
        FakeClock().advance(-1)


# ----------------------------------------------------------------------------------------------------- the backend


def test_take_moves_the_clock_to_the_next_answer_and_no_further() -> None:
    backend, clock = open_backend()
    backend.start(0, chunk([1.0, 2.0]))
    backend.start(1, chunk([2.5], 1))
    (first,) = backend.inbox.take(None)
    assert (clock.now(), first) == (12.5, ChunkEnded(1, 1, [2.5], [10.0, 12.5]))
    (second,) = backend.inbox.take(None)
    assert (clock.now(), second) == (13.0, ChunkEnded(0, 0, [1.0, 2.0], [10.0, 11.0, 13.0]))


def test_take_with_a_timeout_moves_the_clock_by_it() -> None:
    backend, clock = open_backend()
    backend.start(0, chunk([5.0]))
    assert backend.inbox.take(2.0) == []
    assert clock.now() == 12.0
    assert [running.started for running in backend.running()] == [10.0]
    assert backend.inbox.take(-1.0) == []
    assert clock.now() == 12.0
    assert len(backend.inbox.take(INFINITY)) == 1
    assert clock.now() == 15.0


def test_take_gives_what_was_put_before_any_time_passes() -> None:
    backend, clock = open_backend()
    backend.start(0, chunk([5.0]))
    asked = StopAsked("close", "test")
    backend.inbox.put(asked)
    assert backend.inbox.take(None) == [asked]
    assert clock.now() == 10.0


def test_take_that_would_wait_for_ever_is_an_error() -> None:
    backend, _ = open_backend(as_planned)
    with pytest.raises(AssertionError, match="would wait for ever"):
        backend.inbox.take(None)
    backend.start(0, chunk([Step(fate="hang")]))
    with pytest.raises(AssertionError, match="would wait for ever"):
        backend.inbox.take(None)


def test_plan_is_asked_with_the_attempt_and_history_is_kept() -> None:
    backend, _ = open_backend(lambda item, attempt: Step(1.0, error=ValueError(item) if attempt < 3 else None))
    backend.start(0, chunk(["a"], 1, attempt=2))
    backend.start(0, chunk(["a"], 2, attempt=3))
    first, *_ = backend.inbox.take(None)
    assert isinstance(first, ChunkEnded)
    assert first.errors[0].type == "ValueError"
    assert isinstance(first.errors[0].exception, ValueError)
    (second,) = backend.inbox.take(None)
    assert second == ChunkEnded(0, 2, [None], [11.0, 12.0])
    assert backend.started == [(10.0, 0, 100, 2), (11.0, 0, 200, 3)]
    assert backend.ended == [(11.0, 0, 100, 2, "raise"), (12.0, 0, 200, 3, "return")]


def test_budget_gives_the_rest_back_and_the_next_chunk_begins() -> None:
    backend, _ = open_backend()
    backend.start(0, chunk([1.0, 1.0, 1.0], budget=1.5))
    backend.start(0, chunk([1.0], 1))
    (first,) = backend.inbox.take(None)
    assert first == ChunkEnded(0, 0, [1.0, 1.0], [10.0, 11.0, 12.0])
    assert [(place.chunk, place.offset, place.started) for place in backend.running()] == [(1, 0, 12.0)]


def test_close_of_a_slot_answers_the_chunks_in_order() -> None:
    backend, _ = open_backend(depth=3)
    for number in range(3):
        backend.start(0, chunk([1.0, 1.0], number))
    assert backend.inbox.take(0.5) == []
    backend.stop(0, "close")
    backend.stop(0, "close")
    assert backend.inbox.take(None) == [
        ChunkEnded(0, 0, [1.0], [10.0, 11.0]),
        ChunkEnded(0, 1, [], [11.0]),
        ChunkEnded(0, 2, [], [11.0]),
    ]
    assert len(backend.started) == 1


def test_kill_takes_the_item_under_way_and_all_that_waits() -> None:
    backend, clock = open_backend(as_planned)
    backend.start(0, chunk([Step(1.0, value="x"), Step(fate="hang")]))
    backend.start(0, chunk([Step()], 1))
    assert backend.inbox.take(3.0) == []
    backend.stop(0, "kill")
    (lost,) = backend.inbox.take(None)
    ended = ChunkEnded(0, 0, ["x"], [10.0, 11.0])
    assert lost == WorkerLost(0, (0, 1), ended, 1, "killed by the simulation", 11.0)
    assert backend.ended[-1] == (13.0, 0, 1, 1, "kill")
    backend.start(0, chunk([Step(value="y")], 2))
    assert backend.inbox.take(None) == [ChunkEnded(0, 2, ["y"], [13.0, 13.0])]
    assert clock.now() == 13.0


def test_what_is_due_ended_before_the_kill() -> None:
    backend, clock = open_backend()
    backend.start(0, chunk([1.0]))
    clock.advance(1.0)
    backend.stop(0, "kill")
    ended, lost = backend.inbox.take(None)
    assert ended == ChunkEnded(0, 0, [1.0], [10.0, 11.0])
    assert isinstance(lost, WorkerLost)
    assert (lost.chunks, lost.ended, lost.offset) == ((), None, None)


def test_a_crash_comes_in_its_time() -> None:
    backend, clock = open_backend(as_planned)
    backend.start(1, chunk([Step(value=1), Step(2.0, fate="crash"), Step()]))
    backend.start(1, chunk([Step()], 1))
    (lost,) = backend.inbox.take(None)
    ended = ChunkEnded(1, 0, [1], [10.0, 10.0])
    assert lost == WorkerLost(1, (0, 1), ended, 1, "crashed by the simulation", 10.0)
    assert clock.now() == 12.0
    assert backend.running() == []


def test_an_error_need_not_be_given_to_raise() -> None:
    backend, _ = open_backend(as_planned)
    backend.start(0, chunk([Step(fate="raise", value=1)]))
    (ended,) = backend.inbox.take(None)
    assert isinstance(ended, ChunkEnded)
    assert (ended.values, str(ended.errors[0])) == ([None], "RuntimeError: raised by the simulation")


def test_what_is_to_be_stored_and_cannot_be_is_an_error() -> None:
    backend, _ = open_backend(lambda item, _: Step(value=item), stored=True)
    backend.start(0, chunk([lambda: None, 2]))
    (ended,) = backend.inbox.take(None)
    assert isinstance(ended, ChunkEnded)
    assert ended.stored is not None
    assert (ended.values, ended.stored[0]) == ([None, 2], b"")
    assert "function" in ended.errors[0].message
    assert "a journal needs results that can be pickled" in ended.errors[0].message


@pytest.mark.parametrize(
    ("worker", "given", "breach"),
    [
        (2, chunk([1.0], 9), r"worker=2 is not a slot: there are 2"),
        (-1, chunk([1.0], 9), r"worker=-1 is not a slot"),
        (1, chunk([1.0]), r"chunk=0 was started before"),
        (1, chunk([], 9), r"chunk=9 has 0 items: give 1 to 3"),
        (1, chunk([1.0] * 4, 9), r"chunk=9 has 4 items: give 1 to 3"),
        (1, Chunk(9, [1.0], [], 1), r"chunk=9 has 0 positions for 1"),
        (1, Chunk(9, [1.0], [0], 1, ids=[]), r"chunk=9 needs one id for each item"),
        (1, chunk([1.0], 9, attempt=0), r"attempt=0: the first is 1"),
        (0, chunk([1.0], 9), r"worker=0 holds 2 chunks: .*depth=2"),
    ],
)
def test_a_breach_of_the_contract_is_caught_where_it_is_made(worker: int, given: Chunk, breach: str) -> None:
    backend, _ = open_backend(max_chunk=3)
    backend.start(0, chunk([1.0]))
    backend.start(0, chunk([1.0], 1))
    with pytest.raises(AssertionError, match=f"the contract of Backend is broken: .*{breach}"):
        backend.start(worker, given)


def test_nothing_starts_after_close() -> None:
    backend, _ = open_backend()
    backend.start(0, chunk([1.0]))
    backend.close()
    backend.close()
    assert backend.running() == []
    assert backend.inbox.take(5.0) == []
    with pytest.raises(AssertionError, match=r"chunk=1 was started after close\(\)"):
        backend.start(0, chunk([1.0], 1))


def test_put_adds_to_what_happens() -> None:
    backend, _ = open_backend()
    backend.start(0, chunk([0.0]))
    backend.inbox.put(Ticked([]))
    assert [type(event) for event in backend.inbox.take(0)] == [Ticked, ChunkEnded]


steps = st.builds(
    Step,
    st.sampled_from([0.0, 0.1, 1.0, 3.7]),
    value=st.integers(),
    error=st.none() | st.builds(ValueError, st.just("no")),
    fate=st.sampled_from(["return", "return", "return", "raise", "hang", "crash"]),
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 2), st.lists(steps, min_size=1, max_size=4), st.floats(0, 5)),
        st.tuples(st.sampled_from(["close", "kill"]), st.integers(0, 2)),
        st.tuples(st.just("take"), st.floats(0, 4)),
    ),
    max_size=40,
)


def play(script: list[Any]) -> tuple[SimulatedBackend, list[Event], list[Chunk]]:
    """Play a script, skipping starts on slots that are full; then kill and take until all is answered."""
    backend, _ = open_backend(as_planned, workers=3)
    heard: list[Event] = []
    given: list[Chunk] = []
    held: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}

    def take(timeout: float) -> None:
        for event in backend.inbox.take(timeout):
            heard.append(event)
            if isinstance(event, ChunkEnded):
                held[event.worker].remove(event.chunk)
            elif isinstance(event, WorkerLost):
                held[event.worker] -= set(event.chunks)

    def start(worker: int, items: list[Step], budget: float) -> None:
        if len(held[worker]) < 2:
            given.append(chunk(items, len(given), budget=budget))
            held[worker].add(given[-1].number)
            backend.start(worker, given[-1])

    do: dict[str, Any] = {
        "start": start,
        "close": lambda worker: backend.stop(worker, "close"),
        "kill": lambda worker: backend.stop(worker, "kill"),
        "take": take,
    }
    for name, *arguments in script:
        do[name](*arguments)
    for worker in held:
        backend.stop(worker, "kill")
    take(0)
    assert not any(held.values())
    return backend, heard, given


@settings(max_examples=200, deadline=None)
@given(moves)
def test_any_history_accounts_for_every_chunk_and_replays(script: list[Any]) -> None:
    backend, heard, given = play(script)
    chunks = {one.number: one for one in given}
    answered: list[int] = []
    run: list[int] = []
    for event in heard:
        ended = event if isinstance(event, ChunkEnded) else event.ended if isinstance(event, WorkerLost) else None
        numbers = event.chunks if isinstance(event, WorkerLost) else () if ended is None else (ended.chunk,)
        answered += numbers
        if ended is not None:
            positions = chunks[ended.chunk].positions
            count = len(ended.values) + (isinstance(event, WorkerLost) and event.offset is not None)
            run += positions[:count]
            assert len(ended.clock) == len(ended.values) + 1
            assert ended.clock == sorted(ended.clock)
    assert sorted(answered) == list(chunks)
    assert sorted(run) == sorted(started.position for started in backend.started)
    assert sorted(run) == sorted(ended.position for ended in backend.ended)
    again, heard_again, _ = play(script)
    assert again.started == backend.started
    assert again.ended == backend.ended
    assert [type(event) for event in heard_again] == [type(event) for event in heard]


def test_the_kit_needs_no_pytest() -> None:
    program = "import raddle.testing, sys; print(sorted({'pytest', 'hypothesis'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"
