from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from raddle import Outcome, Status
from raddle._engine.pending import ClassQueue, Lot, PriorityQueue, Queue, Reorder
from raddle._policy.permits import Permits


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
    order: list[int] = []
    while (taken := queue.take(1)) is not None:
        order += taken.positions
    assert order == sorted(range(len(priorities)), key=lambda p: (-priorities[p], p))


@given(
    st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 3)), max_size=30),
    st.integers(1, 3),
    st.booleans(),
    st.data(),
)
def test_a_class_queue_gives_out_the_first_that_has_a_permit(
    items: list[tuple[str | None, int]], most: int, prioritized: bool, data: st.DataObject
) -> None:
    permits = Permits({"a": most, "b": 1})
    permits.note(range(len(items)), [name for name, _ in items])
    priorities = {position: priority if prioritized else 0 for position, (_, priority) in enumerate(items)}
    queue = ClassQueue(permits, (lambda: PriorityQueue(priorities)) if prioritized else Queue)
    for position in range(len(items)):
        queue.add(lot(position))
    waiting, held = set(range(len(items))), set[int]()
    while waiting:
        in_use = Counter(items[position][0] for position in held)
        may = [p for p in waiting if (name := items[p][0]) is None or in_use[name] < {"a": most, "b": 1}[name]]
        first = min(may, key=lambda p: (-priorities[p], p), default=None)
        assert queue.count == len(waiting)
        assert queue.head == first
        assert (queue.startable > 0) == bool(may)
        if first is None or (held and data.draw(st.booleans())):
            position = data.draw(st.sampled_from(sorted(held)))
            held.remove(position)
            permits.give_back(position)
            continue
        taken = queue.take(1)
        assert taken is not None
        assert list(taken.positions) == [first]
        permits.take(first, first)
        waiting.remove(first)
        held.add(first)
    for position in held:
        permits.give_back(position)
    assert permits.free == {"a": most, "b": 1}


def test_items_of_a_class_travel_one_by_one_and_others_together() -> None:
    permits = Permits({"a": 3})
    permits.note(range(6), [None, "a", "a", None, None, None])
    queue = ClassQueue(permits, Queue)
    for position in range(6):
        queue.add(lot(position))
    sizes = []
    while (taken := queue.take(9)) is not None:
        sizes.append(list(taken.positions))
    assert sizes == [[0, 3, 4, 5], [1], [2]]


def test_a_class_queue_is_drained_in_input_order() -> None:
    permits = Permits({"a": 1, "b": 1})
    permits.note(range(4), ["a", "b", None, "a"])
    queue = ClassQueue(permits, Queue)
    for position in (1, 0, 3, 2):
        queue.add(lot(position))
    assert [list(one.positions) for one in queue.drain()] == [[0], [1], [2], [3]]
    assert queue.count == queue.startable == 0


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
