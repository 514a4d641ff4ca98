"""All that is admitted and not with a worker: ready, in a lane behind its key, or waiting for its next try."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any

from raddle._engine.pending import ClassQueue, Lot, PriorityQueue, Queue
from raddle._policy.lanes import Lanes
from raddle._policy.permits import Permits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raddle._engine.rules import Rules
    from raddle._events import Pulled
    from raddle._model import Chunk, Outcome

__all__ = ["Waiting"]


class Waiting:
    """Knows keys, priorities and classes by position, for as long as an item has no outcome."""

    def __init__(self, rules: Rules) -> None:
        self.keys: dict[int, Any] | None = {} if rules.keyed else None
        self._priorities: dict[int, Any] | None = {} if rules.prioritized else None
        self._lanes = Lanes()
        self.permits = None if rules.permits is None else Permits(rules.permits)
        self._classed = None if self.permits is None else ClassQueue(self.permits, self._queue)
        self._ready = self._classed or self._queue()
        self._retries: list[tuple[float, int, Lot]] = []
        self._alone: deque[Lot] = deque()
        #: by position, of the second quantity that a rate limits; None without one
        self.costs: dict[int, float] | None = {} if rules.rate is not None and rules.rate.cost is not None else None

        # What is known by position and goes when an item has its outcome; `keys` goes by the lanes.
        classes = None if self.permits is None else self.permits.classes
        self._notes: list[dict[int, Any]] = [
            notes for notes in (self._priorities, self.costs, classes) if notes is not None
        ]

    @property
    def ready(self) -> int:
        """How many items could start now."""
        return self._ready.count if self._classed is None else self._classed.startable

    @property
    def nothing(self) -> bool:
        """Whether no item waits."""
        return not self._ready.count and not self._lanes.count and not self._retries and not self._alone

    @property
    def alone(self) -> bool:
        """Whether an item waits for all others to end."""
        return bool(self._alone)

    @property
    def next_retry(self) -> float | None:
        """When the next try of an item is due."""
        return self._retries[0][0] if self._retries else None

    @property
    def next_cost(self) -> float:
        """Return what the next item to start takes of the second quantity of the rate."""
        if not self.costs:
            return 0.0
        head = self._ready.head
        return 0.0 if head is None else self.costs[head]

    def cost(self, lot: Lot) -> float:
        """Return what these items take of it."""
        return sum(self.costs[position] for position in lot.positions) if self.costs else 0.0

    def note(self, event: Pulled, positions: range) -> None:
        """Remember keys, priorities and classes of what was pulled."""
        if self.keys is not None:
            self.keys.update(zip(positions, event.keys or (), strict=True))
        if self._priorities is not None:
            self._priorities.update(zip(positions, event.priorities or (), strict=True))
        if self.costs is not None:
            self.costs.update(zip(positions, event.costs or (), strict=True))
        if self.permits is not None:
            self.permits.note(positions, event.classes or ())

    def needs_permit(self, chunk: Chunk) -> bool:
        """Whether the items of a chunk are of a class; they have no outcome yet."""
        return self.permits is not None and chunk.positions[0] in self.permits.classes

    def add(self, lot: Lot) -> None:
        """Let new items wait; with keys, one at a time."""
        if self.keys is None or self._lanes.enter(self.keys[lot.positions[0]], lot):
            self._admit(lot)

    def put_back(self, lot: Lot) -> None:
        """Let items wait that were taken and not run. They keep their lane."""
        self._ready.put_back(lot)

    def _queue(self) -> Queue | PriorityQueue:
        return Queue() if self._priorities is None else PriorityQueue(self._priorities)

    def _admit(self, lot: Lot) -> None:
        if lot.alone:
            self._alone.append(lot)
        else:
            self._ready.add(lot)

    def put_alone(self, lot: Lot) -> None:
        """Let an item wait until nothing else runs. It keeps its lane."""
        self._alone.append(lot)

    def take_alone(self) -> Lot:
        """Remove the first of these."""
        return self._alone.popleft()

    def take(self, most: int) -> Lot | None:
        """Remove up to `most` items that may travel together."""
        return self._ready.take(most)

    def try_later(self, lot: Lot, at: float) -> None:
        """Let an item wait for its next try. It keeps its lane."""
        heapq.heappush(self._retries, (at, lot.positions[0], lot))

    def wake(self, now: float) -> None:
        """Move the tries that are due."""
        while self._retries and self._retries[0][0] <= now:
            self._ready.put_back(heapq.heappop(self._retries)[2])

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """Take note that items have their outcome: the next of their lane may go on."""
        for notes in self._notes:
            for outcome in outcomes:
                notes.pop(outcome.position, None)
        if self.keys is not None:
            for outcome in outcomes:
                if outcome.position in self.keys:
                    following = self._lanes.leave(self.keys.pop(outcome.position))
                    if following is not None:
                        self._admit(following)

    def pass_by(self, position: int) -> Any:
        """Return the key of an item that will not use its lane, and forget it."""
        for notes in self._notes:
            notes.pop(position, None)
        return None if self.keys is None else self.keys.pop(position)

    def drain(self) -> Iterator[tuple[Lot, bool]]:
        """Remove all; for each lot, whether it is the one that its lane is waiting for."""
        for lot in self._lanes.drain():
            yield lot, False
        for lot in self._ready.drain():
            yield lot, True
        retries, self._retries = sorted(self._retries), []
        for _, _, lot in retries:
            yield lot, True
        while self._alone:
            yield self._alone.popleft(), True
