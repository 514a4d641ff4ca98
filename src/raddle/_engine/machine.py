"""The machine: `handle(event, now) -> commands`. It decides everything and touches nothing.

    Pulled ──▶ lane (if keyed) ──▶ ready ──▶ held by a worker ──▶ settled ──▶ recorded ──▶ in order ──▶ delivered
                                     ▲              │ error, timeout, crash: wait for the next try
                                     └──────────────┘ unstarted: given back

What always holds, and is checked after every step of a simulation (`raddle.testing.simulate`):
one outcome per admitted item; nothing starts after a stop; one item per key at a time, in input order; no worker
holds more than its depth; never more between source and consumer than the window; a retry waits its backoff; a
deadline frees its slot; with a journal, nothing starts before its lease and nothing is delivered before its record.

The module is longer than the house's 300 lines because these rules share one state. What could be cut off is in
`waiting` (what is not with a worker), `ledger` (the way out), `outcomes`, `pending` and `_policy`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from raddle import _events as events
from raddle import errors
from raddle._engine.commands import Command, Emit, Finish, Pull, Start, Stop
from raddle._engine.ledger import Ledger
from raddle._engine.outcomes import of_ended, of_waiting
from raddle._engine.pending import Lot
from raddle._engine.waiting import Waiting
from raddle._model import Chunk, ErrorInfo, Outcome, Status, StopHow, Summary, error_of
from raddle._policy.chunking import ChunkSize
from raddle._policy.limits import FixedLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle._engine.rules import Rules

__all__ = ["Machine"]

#: smallest default window: enough that one slow item at the head of an ordered run does not stall the others
_WINDOW = 1024
#: workers that die one after another without having started any item, per slot, before the run gives up
_FUTILE = 3


class Machine:
    """All that is known of a run, and the rules that move it on."""

    def __init__(self, rules: Rules, *, chance: Callable[[], float]) -> None:
        self.rules = rules
        self._chance = chance
        self._limit = FixedLimit(rules.workers)
        self._chunks = ChunkSize(largest=rules.max_chunk)
        self._waiting = Waiting(rules)
        self._held: list[deque[Chunk]] = [deque() for _ in range(rules.workers)]
        #: workers told to kill, until their WorkerLost: what for, as (chunk, offset) of an overdue item, or None
        self._killing: dict[int, tuple[int, int] | None] = {}
        self._resumed = self._attempts = self._workers_lost = 0
        self._admitted = self._asked = 0
        self._chunk_number = self._futile = 0
        self._skim = 1
        self._source_ended = self._finished = self._stopping = self._unheard = False
        self._stopped: str | None = None
        self._error: BaseException | None = None
        self._grace_end: float | None = None
        self._tick_at: float | None = None
        self._began: float | None = None
        self._now = 0.0
        self._out: list[Command] = []
        self._ledger = Ledger(rules, self._out)

    # ------------------------------------------------------------------------------------------------- the face

    def handle(self, event: events.Event, now: float) -> list[Command]:
        """Take one event in and return what is to be done about it, in order."""
        self._now = now
        self._out.clear()  # holds something only if the call before was cut off by a Ctrl-C: it must not come late
        if self._began is None:
            self._began = now
        if not self._finished:
            self._ON[type(event)](self, event)
            self._advance()
        out = self._out.copy()
        self._out.clear()
        return out

    def begin(self, now: float) -> list[Command]:
        """Return the first commands."""
        return self.handle(events.Ticked([]), now)

    @property
    def wake_at(self) -> float | None:
        """When a `Ticked` is wanted at the latest."""
        times = [self._tick_at, self._grace_end, self._waiting.next_retry]
        return min((time for time in times if time is not None), default=None)

    @property
    def summary(self) -> Summary:
        """The totals so far."""
        counts, rules = self._ledger.counts, self.rules
        return Summary(
            name=rules.name,
            backend=rules.backend,
            workers=rules.workers,
            admitted=self._admitted,
            ok=counts[Status.OK],
            failed=counts[Status.FAILED],
            timed_out=counts[Status.TIMED_OUT],
            crashed=counts[Status.CRASHED],
            cancelled=counts[Status.CANCELLED],
            resumed=self._resumed,
            attempts=self._attempts,
            workers_lost=self._workers_lost,
            source_ended=self._source_ended and self._error is None,
            stopped=self._stopped or "",
            seconds=self._now - (self._now if self._began is None else self._began),
        )

    # ------------------------------------------------------------------------------------------------ the source

    def _on_pulled(self, event: events.Pulled) -> None:
        first, count = self._admitted, len(event.items)
        self._admitted += count
        self._asked -= count
        positions = range(first, first + count)
        self._waiting.note(event, positions)
        # A journal that knows every item is skimmed in growing steps: there is nothing to measure by then.
        self._skim = min(2 * self._skim, _WINDOW) if len(event.resumed) == count else 1
        if event.resumed or event.interruptions or self.rules.keyed:
            self._admit_each(event, positions)
        else:
            self._waiting.add(Lot(positions, event.items, event.ids))
        if self._stopping:
            self._cancel_waiting()

    def _admit_each(self, event: events.Pulled, positions: range) -> None:
        resumed: list[Outcome] = []
        for offset, position in enumerate(positions):
            item = event.items[offset]
            known = event.resumed.get(offset)
            if known is not None:
                key = self._waiting.pass_by(position)
                resumed.append(known._replace(position=position, item=item, key=key))
                continue
            interruptions = event.interruptions.get(offset, 0)
            ids = None if event.ids is None else [event.ids[offset]]
            lot = Lot(positions[offset : offset + 1], [item], ids, interruptions + 1, solo=interruptions > 0)
            if interruptions < self.rules.max_interruptions:
                self._waiting.add(lot)
            else:
                key = self._waiting.pass_by(position)
                error = error_of(errors.WorkerCrashed, f"the whole program died during {interruptions} attempts of it")
                self._record([of_waiting(lot, Status.CRASHED, error, None)[0]._replace(key=key)], [b""])
        self._resumed += len(resumed)
        self._ledger.deliver(resumed)

    def _on_source_ended(self, event: events.SourceEnded) -> None:
        self._source_ended = True
        if event.error is not None:
            # What was admitted is still worth its outcome; the error is raised after the last one.
            self._error = self._error or event.error
            self._stopped = self._stopped or f"the source raised {type(event.error).__name__}"

    def _on_consumed(self, event: events.Consumed) -> None:
        self._ledger.consumed += event.count

    # ----------------------------------------------------------------------------------------------- the workers

    def _on_chunk_ended(self, event: events.ChunkEnded) -> None:
        held = self._held[event.worker]
        chunk = next((chunk for chunk in held if chunk.number == event.chunk), None)
        if chunk is None:
            # Never guess: values of another chunk would be given to the wrong items.
            what = f"chunk={event.chunk} was answered by {self._name(event.worker)}, which does not hold it"
            self._fail(errors.BackendError(f"{what}: the backend is broken"))
            return
        held.remove(chunk)
        self._settle(event.worker, chunk, event)
        self._give_back(chunk, len(event.values))

    def _on_worker_lost(self, event: events.WorkerLost) -> None:
        worker, asked = event.worker, event.worker in self._killing
        overdue = self._killing.pop(worker, None)
        chunks = [chunk for chunk in self._held[worker] if chunk.number in event.chunks]
        self._held[worker] = deque(chunk for chunk in self._held[worker] if chunk.number not in event.chunks)
        if not chunks:
            return
        self._workers_lost += 1
        self._out.append(Emit(events.WorkerReplaced(self._name(worker), event.reason)))
        head = chunks.pop(0)
        ended = event.ended or events.ChunkEnded(worker, head.number, [], [self._now])
        begun = len(ended.values)
        for chunk in reversed(chunks):
            self._give_back(chunk, 0)
        self._give_back(head, begun + (event.offset is not None))
        self._settle(worker, head, ended, also_ended=[chunk.number for chunk in chunks])
        if event.offset is not None:
            self._judge_lost(head, event, asked=asked, overdue=overdue)
        elif not asked and not ended.values:
            self._futile += 1
            if self._futile > _FUTILE * self.rules.workers:
                what = f"workers die before they start an item ({event.reason})"
                self._fail(errors.BackendError(f"{what}: try backend='threads', or look at what the function imports"))

    def _judge_lost(
        self, chunk: Chunk, event: events.WorkerLost, *, asked: bool, overdue: tuple[int, int] | None
    ) -> None:
        """Say what becomes of the item that was under way when its worker went."""
        offset = event.offset or 0
        lot = _lot_of(chunk).split(offset)[1].split(1)[0]
        if asked and overdue is not None and overdue != (chunk.number, offset):
            # The overdue item ended just before the kill arrived: this one is innocent, and its try does not count.
            if not self._stopping:
                self._waiting.put_back(lot)
            else:
                self._cancel(lot)
            return
        self._attempts += 1
        seconds = max(0.0, self._now - event.started)
        if asked and overdue is None:
            error = error_of(errors.ItemCancelled, f"still running {self.rules.grace:g} s after the run was stopped")
            status = Status.CANCELLED
        elif asked:
            status = Status.TIMED_OUT
            error = error_of(errors.ItemTimedOut, f"timeout={self.rules.timeout:g} s passed; {event.reason}")
        else:
            status = Status.CRASHED
            error = error_of(errors.WorkerCrashed, event.reason)
        outcome = of_waiting(lot, status, error, self._waiting.keys)[0]._replace(
            attempts=chunk.attempt, started=event.started, seconds=seconds, worker=self._name(event.worker)
        )
        if status is Status.CANCELLED:
            self._waiting.forget([outcome])
            self._ledger.deliver([outcome])
        elif self._try_again(outcome, error, lot):
            self._record([], [], retried=[outcome])
        else:
            self._record([outcome], [b""])

    def _settle(
        self, worker: int, chunk: Chunk, ended: events.ChunkEnded, *, also_ended: list[int] | None = None
    ) -> None:
        """Turn what a worker sent into outcomes and tries to come."""
        count = len(ended.values)
        outcomes = of_ended(chunk, ended, self._name(worker), self._waiting.keys)
        stored = ended.stored if ended.stored is not None else [b""] * count if self.rules.journaled else []
        retried: list[Outcome] = []
        if count:
            self._futile = 0
            self._attempts += count
            self._chunks.observe(count, ended.clock[-1] - ended.clock[0])
        if ended.errors:
            finals: list[Outcome] = []
            kept: list[bytes] = []
            lot = _lot_of(chunk)
            for offset, outcome in enumerate(outcomes):
                error = ended.errors.get(offset)
                if error is not None:
                    outcome = outcome._replace(status=Status.FAILED, value=None, error=error)  # noqa: PLW2901
                    if self._try_again(outcome, error, lot.split(offset)[1].split(1)[0]):
                        retried.append(outcome)
                        continue
                finals.append(outcome)
                kept.append(stored[offset] if stored and error is None else b"")
            outcomes, stored = finals, kept
        self._record(outcomes, stored, retried=retried, ended=[chunk.number, *(also_ended or ())])

    def _try_again(self, outcome: Outcome, error: ErrorInfo, lot: Lot) -> bool:
        if self._stopping:
            return False
        wait = self.rules.retry.wait(outcome.attempts, error, self._chance())
        if wait is None:
            return False
        again = Lot(lot.positions, lot.items, lot.ids, outcome.attempts + 1, solo=True)
        self._waiting.try_later(again, self._now + wait)
        failed = events.AttemptFailed(outcome.position, outcome.item, outcome.attempts, error, wait)
        self._out.append(Emit(failed))
        return True

    def _give_back(self, chunk: Chunk, start: int) -> None:
        if start < len(chunk.items):
            lot = _lot_of(chunk).split(start)[1]
            if not self._stopping:
                self._waiting.put_back(lot)
            else:
                self._cancel(lot)

    # ----------------------------------------------------------------------------------- recording and delivering

    def _record(
        self,
        outcomes: list[Outcome],
        stored: list[bytes],
        *,
        retried: list[Outcome] | None = None,
        ended: list[int] | None = None,
    ) -> None:
        """Make outcomes final, and draw the consequences."""
        if self.rules.on_error == "fail" and not self._stopping:
            bad = next((o for o in outcomes if o.status is not Status.OK and o.status is not Status.CANCELLED), None)
            if bad is not None:
                self._stop(f"on_error='fail': item {bad.position} ended {bad.status.value}", "close")
        self._waiting.forget(outcomes)
        self._ledger.record(outcomes, stored, retried=retried, ended=ended)

    def _on_recorded(self, event: events.Recorded) -> None:
        for worker, chunk in self._ledger.recorded(event.ticket):
            if not self._stopping and worker not in self._killing:
                self._out.append(Start(worker, chunk))
            else:
                self._held[worker].remove(chunk)
                self._ledger.record([], [], ended=[chunk.number])
                self._give_back(chunk, 0)

    # -------------------------------------------------------------------------------------------------- stopping

    def _on_stop_asked(self, event: events.StopAsked) -> None:
        if event.discard:
            self._unheard = True
            self._ledger.discard()
        self._stop(event.reason, event.how)

    def _on_run_failed(self, event: events.RunFailed) -> None:
        self._fail(event.error)

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        reason = str(error).partition("\n")[0]
        if isinstance(error, errors.BackendError):
            # Workers of a broken backend may never answer: what they hold ends here.
            chunks = [chunk for held in self._held for chunk in held]
            for held in self._held:
                held.clear()
            self._ledger.drop_leases()
            self._stop(reason, "kill")
            self._ledger.record([], [], ended=[chunk.number for chunk in chunks])
            for chunk in chunks:
                self._cancel(_lot_of(chunk))
            return
        self._stop(reason, "kill")
        for worker, chunk in self._ledger.lose_journal():
            self._held[worker].remove(chunk)
            self._cancel(_lot_of(chunk))

    def _stop(self, reason: str, how: StopHow) -> None:
        if not self._stopping:
            self._stopped = self._stopped or reason
            self._stopping = True
            self._grace_end = self._now + self.rules.grace
            self._out.append(Emit(events.RunStopping(reason)))
            self._out.extend(Stop(worker, "close") for worker, held in enumerate(self._held) if held)
            self._cancel_waiting()
        if how == "kill":
            self._kill_all()

    def _kill_all(self) -> None:
        self._grace_end = None
        leasing = {chunk.number for chunk in self._ledger.leasing}
        for worker, held in enumerate(self._held):
            if worker not in self._killing and any(chunk.number not in leasing for chunk in held):
                self._killing[worker] = None
                self._out.append(Stop(worker, "kill"))

    def _cancel_waiting(self) -> None:
        for lot, in_lane in self._waiting.drain():
            self._cancel(lot, in_lane=in_lane)

    def _cancel(self, lot: Lot, *, in_lane: bool = True) -> None:
        """Give items that will not start the outcome "cancelled". It is not recorded: a resume runs them."""
        error = error_of(errors.ItemCancelled, f"not run: {self._stopped}")
        outcomes = of_waiting(lot, Status.CANCELLED, error, self._waiting.keys)
        if in_lane:
            self._waiting.forget(outcomes)
        else:
            for position in lot.positions:
                self._waiting.pass_by(position)
        self._ledger.deliver(outcomes)

    # --------------------------------------------------------------------------------------------- time, and on

    def _on_ticked(self, event: events.Ticked) -> None:
        timeout = self.rules.timeout
        self._tick_at = None
        if timeout is None:
            return
        due: list[float] = []
        seen = set()
        for running in event.running:
            held = self._held[running.worker]
            if not held or held[0].number != running.chunk or running.worker in self._killing:
                continue
            seen.add(running.worker)
            if running.started + timeout <= self._now:
                self._killing[running.worker] = (running.chunk, running.offset)
                self._out.append(Stop(running.worker, "kill"))
            else:
                due.append(running.started + timeout)
        if any(held and worker not in seen and worker not in self._killing for worker, held in enumerate(self._held)):
            due.append(self._now + timeout)
        self._tick_at = min(due, default=None)

    def _advance(self) -> None:
        """Do all that can be done now."""
        if self._grace_end is not None and self._now >= self._grace_end:
            self._kill_all()
        self._waiting.wake(self._now)
        if not self._stopping:
            self._dispatch()
        self._pull()
        if self._is_over():
            self._finished = True
            self._grace_end = self._tick_at = None
            summary = self.summary
            self._out += [Emit(events.RunEnded(summary)), Finish(summary, self._error)]

    def _dispatch(self) -> None:
        depth = self._chunks.depth(self.rules.depth)
        while self._waiting.ready:
            free = [
                (len(held), worker)
                for worker, held in enumerate(self._held[: self._limit.value])
                if len(held) < depth and worker not in self._killing
            ]
            if not free:
                return
            most = self._chunks.size
            if self._source_ended:
                # Near the end, smaller chunks: no worker should be left with all the rest.
                most = min(most, -(-self._waiting.ready // self.rules.workers))
            lot = self._waiting.take(most)
            if lot is None:
                return
            self._start(min(free)[1], lot)
            # The first answers say how long an item takes; until then a worker gets one.
            depth = self._chunks.depth(self.rules.depth)

    def _start(self, worker: int, lot: Lot) -> None:
        self._chunk_number += 1
        budget = self._chunks.budget if len(lot.items) > 1 else float("inf")
        chunk = Chunk(self._chunk_number, lot.items, lot.positions, lot.attempt, lot.ids, budget, self.rules.run_id)
        self._held[worker].append(chunk)
        self._out.append(Emit(events.ChunkStarted(self._name(worker), len(lot.items), lot.attempt)))
        if self.rules.timeout is not None and self._tick_at is None:
            self._tick_at = self._now + self.rules.timeout
        if self.rules.journaled:
            self._ledger.lease(worker, self._name(worker), chunk)
        else:
            self._out.append(Start(worker, chunk))

    def _pull(self) -> None:
        if self._source_ended or (self._stopping and not self._reads_on):
            return
        size, workers = self._chunks.size, self.rules.workers
        depth = self._chunks.depth(self.rules.depth)
        window = self.rules.window or max(_WINDOW, 8 * workers * size)
        room = window - (self._admitted - self._ledger.consumed) - self._asked
        if self._stopping or self.rules.prioritized:
            want = room  # by priority: from all that the window holds
        else:
            free = sum(max(0, depth - len(held)) for held in self._held)
            ahead = workers if depth > 1 else 0
            want = (free + ahead) * max(size, self._skim) - self._waiting.ready - self._asked
        count = min(want, room)
        if count > 0:
            self._asked += count
            self._out.append(Pull(count))

    @property
    def _reads_on(self) -> bool:
        return self.rules.report_unread and not self._unheard and self._error is None

    def _is_over(self) -> bool:
        return (
            (self._source_ended or (self._stopping and not self._reads_on))
            and self._waiting.nothing
            and self._ledger.settled
            and not any(self._held)
        )

    def _name(self, worker: int) -> str:
        return f"{self.rules.worker_name}-{worker}"

    _ON: ClassVar[dict[type, Any]] = {
        events.Pulled: _on_pulled,
        events.SourceEnded: _on_source_ended,
        events.Consumed: _on_consumed,
        events.ChunkEnded: _on_chunk_ended,
        events.WorkerLost: _on_worker_lost,
        events.Recorded: _on_recorded,
        events.StopAsked: _on_stop_asked,
        events.RunFailed: _on_run_failed,
        events.Ticked: _on_ticked,
    }


def _lot_of(chunk: Chunk) -> Lot:
    return Lot(chunk.positions, chunk.items, chunk.ids, chunk.attempt, solo=chunk.attempt > 1)
