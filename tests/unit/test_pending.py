from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raddle import Outcome, Status
from raddle._engine.pending import Lot, PriorityQueue, Queue, Reorder


def lot(*positions: int, attempt: int = 1, solo: bool = False) -> Lot:
    return Lot(list(positions), [f"item {p}" for p in positions], None, attempt, solo)


def outcome(position: int) -> Outcome:
    return Outcome(position, None, Status.OK, None, None, 1, 0.0, 0.0, "")


def test_a_take_joins_and_cuts_lots() -> None:
    queue = Queue()
    for one in (lot(0, 1, 2), lot(3), lot(4, 5, 6)):
        queue.add(one)
    taken = queue.take(5)
    assert taken is not None
    assert list(taken.positions) == [0, 1, 2, 3, 4]
    assert taken.items == [f"item {n}" for n in range(5)]
    assert queue.count == 2


def test_a_retry_travels_alone() -> None:
    queue = Queue()
    queue.add(lot(0))
    queue.add(lot(1, attempt=2, solo=True))
    queue.add(lot(2))
    sizes = []
    while (taken := queue.take(10)) is not None:
        sizes.append((list(taken.positions), taken.attempt))
    assert sizes == [([0], 1), ([1], 2), ([2], 1)]


def test_what_comes_back_goes_first() -> None:
    queue = Queue()
    queue.add(lot(5, 6))
    queue.put_back(lot(3, 4))
    taken = queue.take(1)
    assert taken is not None
    assert list(taken.positions) == [3]
    assert [list(rest.positions) for rest in queue.drain()] == [[4], [5, 6]]
    assert queue.count == 0


@given(st.lists(st.integers(0, 3), max_size=30))
def test_the_highest_priority_starts_first_and_equal_ones_in_order(priorities: list[int]) -> None:
    queue = PriorityQueue(dict(enumerate(priorities)))
    queue.add(lot(*range(len(priorities))))
    order = []
    while (taken := queue.take(1)) is not None:
        order += taken.positions
    assert order == sorted(range(len(priorities)), key=lambda p: (-priorities[p], p))


@given(st.permutations(range(12)), st.lists(st.integers(1, 4), min_size=12, max_size=12))
def test_outcomes_leave_in_input_order_whatever_order_they_come_in(order: list[int], sizes: list[int]) -> None:
    reorder, given_out, start = Reorder(), [], 0
    while start < 12:
        batch = sorted(order[start : start + sizes[start]])
        start += len(batch)
        given_out += [o.position for run in reorder.add([outcome(p) for p in batch]) for o in run]
        assert given_out == list(range(len(given_out)))
        assert len(given_out) + len(reorder) == start
    assert given_out == list(range(12))
