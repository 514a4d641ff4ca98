"""The machine under random histories; and machines with one fault each, to show that the judge finds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from raddle import _events as events
from raddle._engine import commands
from raddle._engine.machine import Machine
from raddle._engine.pending import ClassQueue, PriorityQueue, Queue
from raddle._policy.lanes import Lanes
from raddle.testing.simulation import BrokenPromise, simulate

if TYPE_CHECKING:
    from raddle._engine.pending import Lot
    from raddle._model import Chunk, ErrorInfo, Outcome

#: histories in one run of this file; `make test` sets 20,000 and `make chaos` 300,000
HISTORIES = int(os.environ.get("RADDLE_HISTORIES", "4000"))
BATCHES = 20


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_promise_holds_after_every_step(batch: int) -> None:
    steps = 0
    for seed in range(batch, HISTORIES, BATCHES):
        steps += simulate(seed).steps
    assert steps > HISTORIES / BATCHES


def test_the_same_seed_lives_the_same_history() -> None:
    for seed in range(200):
        first, second = simulate(seed), simulate(seed)
        assert first.delivered == second.delivered
        assert first.finished == second.finished


class NoLanes(Lanes):
    def enter(self, key: Any, ticket: Any) -> bool:
        return True

    def leave(self, key: Any) -> Any | None:
        return None


class ForgetsLanes(Machine):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting._lanes = NoLanes()


class IgnoresWindow(Machine):
    def _pull(self) -> None:
        if not self._source_ended and not self._stopping and not self._asked:
            self._asked += 50
            self._out.append(commands.Pull(50))


class NeverLooksAtTheClock(Machine):
    def _on_ticked(self, event: Any) -> None:
        self._tick_at = self._now + 100 if self.rules.timeout is not None else None

    _ON = {**Machine._ON, events.Ticked: _on_ticked}  # noqa: RUF012


class HasNoPatience(Machine):
    def _try_again(self, outcome: Outcome, error: ErrorInfo, lot: Lot) -> bool:
        again = super()._try_again(outcome, error, lot)
        self._waiting.wake(self._now + 100)
        return again


class StartsAfterAStop(Machine):
    def _give_back(self, chunk: Chunk, start: int) -> None:
        if self._stopping and start < len(chunk.items):
            self._out.append(commands.Start(0, chunk))
        super()._give_back(chunk, start)


class StartsBeforeTheLease(Machine):
    def _start(self, worker: int, lot: Lot) -> None:
        super()._start(worker, lot)
        if self.rules.journaled:
            self._out.append(commands.Start(worker, self._slots.held[worker][-1]))


class DeliversBeforeTheCommit(Machine):
    def handle(self, event: events.Event, now: float) -> list[commands.Command]:
        todo = super().handle(event, now)
        recorded: Any = next((c for c in todo if isinstance(c, commands.Commit) and c.record.outcomes), None)
        if recorded is not None:
            todo += super().handle(events.Recorded(recorded.record.ticket), now)
        return todo


class LosesWhatIsGivenBack(Machine):
    def _give_back(self, chunk: Chunk, start: int) -> None:
        pass


class RunsFinishedItemsAgain(Machine):
    def _on_chunk_ended(self, event: Any) -> None:
        chunk = self._slots.held[event.worker][0]
        super()._on_chunk_ended(event)
        if len(chunk.items) > 1 and not self._stopping:
            self._give_back(chunk, 1)

    _ON = {**Machine._ON, events.ChunkEnded: _on_chunk_ended}  # noqa: RUF012


class ForgetsPermits(Machine):
    """Counts none of them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._slots._permits = None


class KeepsPermitsOfTheLost(Machine):
    """Gives the permit of a worker that is gone never back."""

    def _on_worker_lost(self, event: Any) -> None:
        permits, self._slots._permits = self._slots._permits, None
        super()._on_worker_lost(event)
        self._slots._permits = permits

    _ON = {**Machine._ON, events.WorkerLost: _on_worker_lost}  # noqa: RUF012


class LooksAtTheFirstOnly(ClassQueue):
    """Lets nothing overtake an item that waits for its permit."""

    def _first(self) -> Queue | PriorityQueue | None:
        waiting = [queue for queue in (self._plain, *self._queues.values()) if queue.count]
        first = min(waiting, key=lambda queue: queue.rank, default=None)
        return first if first is super()._first() else None


class LetsNothingOvertake(Machine):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        waiting = self._waiting
        if waiting.permits is not None:
            waiting._classed = waiting._ready = LooksAtTheFirstOnly(waiting.permits, waiting._queue)


class TakesTheLast(Queue):
    """Last in, first out."""

    def add(self, lot: Lot) -> None:
        self.put_back(lot)


class StartsTheLatestOfAClass(Machine):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        waiting = self._waiting
        if waiting.permits is not None and not self.rules.prioritized:
            waiting._classed = waiting._ready = ClassQueue(waiting.permits, TakesTheLast)


class OverfillsWorkers(Machine):
    def _dispatch(self) -> None:
        while self._waiting.ready:
            lot = self._waiting.take(1)
            assert lot is not None
            self._start(0, lot)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (ForgetsLanes, "one item per key at a time|items of a key run in input order"),
        (IgnoresWindow, "never more between source and consumer than the window"),
        (NeverLooksAtTheClock, "the run goes on|a deadline frees its slot"),
        (HasNoPatience, "a retry waits its backoff"),
        (StartsAfterAStop, "nothing starts after a stop"),
        (StartsBeforeTheLease, "nothing starts before its lease"),
        (DeliversBeforeTheCommit, "nothing is delivered before it is recorded"),
        (LosesWhatIsGivenBack, "totals add up|every admitted item|the run goes on"),
        (RunsFinishedItemsAgain, "never runs again|nothing runs after its outcome|never runs twice"),
        (ForgetsPermits, "never more of a class under way than its permits"),
        (KeepsPermitsOfTheLost, "what has a permit and a worker starts|the run goes on"),
        (LetsNothingOvertake, "what has a permit and a worker starts"),
        (StartsTheLatestOfAClass, "items of a class start in input order"),
        (OverfillsWorkers, "no worker holds more than its depth|being killed"),
    ],
)
def test_a_broken_machine_is_found_out(broken: type[Machine], promise: str) -> None:
    found = None
    for seed in range(3000):
        try:
            simulate(seed, broken)
        except BrokenPromise as error:
            found = error
            break
    assert found is not None, f"{broken.__name__} lived through 3,000 histories"
    assert any(part in str(found) for part in promise.split("|")), str(found)
    assert f"seed={found.seed}" in str(found)
    with pytest.raises(BrokenPromise, match=f"seed={found.seed}"):
        simulate(found.seed, broken)
