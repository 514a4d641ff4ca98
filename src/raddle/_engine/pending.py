"""Items that may start now, and outcomes that wait for their turn."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raddle._model import Outcome
    from raddle._policy.permits import Permits

__all__ = ["ClassQueue", "Lot", "PriorityQueue", "Queue", "Reorder"]


class Lot(NamedTuple):
    """Items that are in the same situation. On the plain path one lot holds a whole pull."""

    positions: Sequence[int]
    items: list[Any]
    ids: list[bytes] | None
    #: the number of the try to come
    attempt: int = 1
    #: travels in a chunk of its own: a retry, or a suspect of having killed the program
    solo: bool = False
    #: runs while nothing else does, so that there is no doubt who is to blame
    alone: bool = False

    def split(self, n: int) -> tuple[Lot, Lot]:
        """Cut into the first `n` items and the rest."""
        ids = self.ids
        return (
            Lot(self.positions[:n], self.items[:n], ids and ids[:n], self.attempt, self.solo, self.alone),
            Lot(self.positions[n:], self.items[n:], ids and ids[n:], self.attempt, self.solo, self.alone),
        )


def _join(lots: list[Lot]) -> Lot:
    if len(lots) == 1:
        return lots[0]
    positions: list[int] = []
    items: list[Any] = []
    ids: list[bytes] | None = None if lots[0].ids is None else []
    for lot in lots:
        positions += lot.positions
        items += lot.items
        if ids is not None and lot.ids is not None:
            ids += lot.ids
    return Lot(positions, items, ids, lots[0].attempt)


def _may_follow(lot: Lot, following: Lot) -> bool:
    """Whether two lots may share a chunk. Positions in a chunk always ascend: `Reorder` relies on it."""
    return not following.solo and following.attempt == lot.attempt and following.positions[0] > lot.positions[-1]


class Queue:
    """First in, first out; what comes back goes to the front."""

    def __init__(self) -> None:
        self._lots: deque[Lot] = deque()
        self.count = 0

    def add(self, lot: Lot) -> None:
        """Append behind all others."""
        self._lots.append(lot)
        self.count += len(lot.items)

    @property
    def head(self) -> int | None:
        """Position of the item that is taken next."""
        return self._lots[0].positions[0] if self._lots else None

    @property
    def rank(self) -> int:
        """What says which of two queues goes first: the lower one. There must be an item."""
        return self._lots[0].positions[0]

    def put_back(self, lot: Lot) -> None:
        """Put in front of all others: it is older than what waits."""
        self._lots.appendleft(lot)
        self.count += len(lot.items)

    def take(self, most: int) -> Lot | None:
        """Remove up to `most` items that may share a chunk; None if there are none."""
        if not self._lots:
            return None
        first = self._lots.popleft()
        lots = [first]
        size = len(first.items)
        if size > most:
            lots[0], rest = first.split(most)
            self._lots.appendleft(rest)
            size = most
        while size < most and self._lots and not first.solo:
            lot = self._lots[0]
            if not _may_follow(lots[-1], lot):
                break
            self._lots.popleft()
            if size + len(lot.items) > most:
                lot, rest = lot.split(most - size)
                self._lots.appendleft(rest)
            lots.append(lot)
            size += len(lot.items)
        self.count -= size
        return _join(lots)

    def drain(self) -> list[Lot]:
        """Remove all."""
        lots = list(self._lots)
        self._lots.clear()
        self.count = 0
        return lots


class PriorityQueue:
    """Highest priority first; equal ones in input order.

    Args:
        priorities: that of each item by its position; looked at when an item comes in
    """

    def __init__(self, priorities: Mapping[int, Any]) -> None:
        self._priorities = priorities
        self._heap: list[tuple[_Reversed, int, Lot]] = []

    @property
    def count(self) -> int:
        """Items that wait."""
        return len(self._heap)

    @property
    def head(self) -> int | None:
        """Position of the item that is taken next."""
        return self._heap[0][1] if self._heap else None

    @property
    def rank(self) -> tuple[_Reversed, int]:
        """What says which of two queues goes first: the lower one. There must be an item."""
        return self._heap[0][:2]

    def add(self, lot: Lot) -> None:
        """Put each item in the place that its priority gives it."""
        while lot.items:
            one, lot = lot.split(1)
            position = one.positions[0]
            heapq.heappush(self._heap, (_Reversed(self._priorities[position]), position, one))

    put_back = add

    def take(self, most: int) -> Lot | None:
        """Remove up to `most` items that may share a chunk; None if there are none."""
        if not self._heap:
            return None
        lots = [heapq.heappop(self._heap)[2]]
        while len(lots) < most and self._heap and not lots[0].solo:
            if not _may_follow(lots[-1], self._heap[0][2]):
                break
            lots.append(heapq.heappop(self._heap)[2])
        return _join(lots)

    def drain(self) -> list[Lot]:
        """Remove all."""
        lots = [entry[2] for entry in sorted(self._heap, key=lambda entry: entry[1])]
        self._heap.clear()
        return lots


class ClassQueue:
    """A queue for each class, and one for items without. Gives out only what there is a permit for.

    Of these, what comes first among all queues. Items of a class travel one by one: behind another one in its chunk
    an item would wait though a permit and a worker are free.

    Args:
        permits: that there are, and the classes of items; looked at when an item comes in or back
        make: returns an empty queue
    """

    def __init__(self, permits: Permits, make: Callable[[], Queue | PriorityQueue]) -> None:
        self._permits = permits
        self._plain = make()
        self._queues = {name: make() for name in permits.free}

    @property
    def count(self) -> int:
        """Items that wait."""
        return self._plain.count + sum(queue.count for queue in self._queues.values())

    @property
    def startable(self) -> int:
        """Items that wait for nothing but a worker."""
        free = self._permits.free
        return self._plain.count + sum(min(queue.count, free[name]) for name, queue in self._queues.items())

    @property
    def head(self) -> int | None:
        """Position of the item that is taken next."""
        queue = self._first()
        return None if queue is None else queue.head

    def add(self, lot: Lot) -> None:
        """Append items, all of one class, behind the others of theirs."""
        self._of(lot).add(lot)

    def put_back(self, lot: Lot) -> None:
        """Put items, all of one class, in front of the others of theirs."""
        self._of(lot).put_back(lot)

    def take(self, most: int) -> Lot | None:
        """Remove up to `most` items that may share a chunk; None if none may start now."""
        queue = self._first()
        return None if queue is None else queue.take(most if queue is self._plain else 1)

    def drain(self) -> list[Lot]:
        """Remove all."""
        lots = [lot for queue in (self._plain, *self._queues.values()) for lot in queue.drain()]
        return sorted(lots, key=lambda lot: lot.positions[0])

    def _of(self, lot: Lot) -> Queue | PriorityQueue:
        name = self._permits.classes.get(lot.positions[0])
        return self._plain if name is None else self._queues[name]

    def _first(self) -> Queue | PriorityQueue | None:
        queues = [queue for name, queue in self._queues.items() if self._permits.free[name]]
        return min(
            (queue for queue in (self._plain, *queues) if queue.count), key=lambda queue: queue.rank, default=None
        )


class _Reversed:
    """Turns the order of a priority around without asking it to be a number."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]


class Reorder:
    """Gives outcomes out in input order. Works on runs of outcomes, so that the plain path costs nothing per item."""

    def __init__(self) -> None:
        self._runs: dict[int, Sequence[Outcome]] = {}
        self._next = 0

    def add(self, outcomes: Sequence[Outcome]) -> list[Sequence[Outcome]]:
        """Take outcomes in; return those whose turn it is, in order.

        Args:
            outcomes: at least one, in ascending order of position
        """
        first = outcomes[0].position
        if outcomes[-1].position - first == len(outcomes) - 1:
            self._runs[first] = outcomes
        else:
            for outcome in outcomes:
                self._runs[outcome.position] = (outcome,)
        due = []
        while (run := self._runs.pop(self._next, None)) is not None:
            self._next += len(run)
            due.append(run)
        return due

    def __len__(self) -> int:
        """Return how many outcomes wait."""
        return sum(map(len, self._runs.values()))
