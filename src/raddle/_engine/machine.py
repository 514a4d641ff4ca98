"""The machine: `handle(event, now) -> commands`. It decides everything and touches nothing.

    Pulled ──▶ lane (if keyed) ──▶ ready ──▶ held by a worker ──▶ settled ──▶ recorded ──▶ in order ──▶ delivered
                                     ▲              │ error, timeout, crash: wait for the next try
                                     └──────────────┘ unstarted: given back

What always holds, and is checked after every step of a simulation (`raddle.testing.simulate`):
one outcome per admitted item; nothing starts after a stop; one item per key at a time, in input order; never more of
a class under way than its permits; no worker holds more than its depth; never more between source and consumer than
the window; a retry waits its backoff; a deadline frees its slot; nothing starts while a gate is closed, a rate used
up or memory short; what was killed for memory runs alone; with a journal, nothing starts before its lease and nothing
is delivered before its record.

The module is longer than the house's 300 lines because these rules share one state. What could be cut off is in
`waiting` (what is not with a worker), `slots` (what is), `limiter` (how much may start), `ledger` (the way out),
`outcomes`, `pending` and `_policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from raddle import _events as events
from raddle import errors
from raddle._engine.commands import Command, Emit, Finish, Pull, Start, Stop
from raddle._engine.ledger import Ledger
from raddle._engine.limiter import Limiter
from raddle._engine.outcomes import of_ended, of_lost, of_waiting
from raddle._engine.pending import Lot
from raddle._engine.slots import Slots
from raddle._engine.waiting import Waiting
from raddle._model import Batch, Chunk, ErrorInfo, Outcome, Status, StopHow, Summary, error_of, qualified_name
from raddle._policy.chunking import ChunkSize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle._engine.rules import Rules
    from raddle._model import Running

__all__ = ["Machine"]

#: smallest default window: enough that one slow item at the head of an ordered run does not stall the others
_WINDOW = 1024
#: largest one, whatever the number of workers: so small items are in flat memory
_WIDEST = 32_768
#: chunks per worker that are read ahead of what the workers could take now, if they are quick
_AHEAD = 4
#: chunks per worker that the window holds: two with the worker, two on their way to the consumer
_CHUNKS = 4
#: workers that die one after another without having started any item, per slot, before the run gives up
_FUTILE = 3
_REJECTED = qualified_name(errors.Rejected)


class Machine:
    """All that is known of a run, and the rules that move it on."""

    def __init__(self, rules: Rules, *, chance: Callable[[], float]) -> None:
        self.rules = rules
        self._chance = chance
        self._limiter = Limiter(rules)
        self._chunks = ChunkSize(largest=1, prefetch_below=rules.prefetch_below)
        self._fit_chunks()
        self._waiting = Waiting(rules)
        self._slots = Slots(rules.workers, rules.depth, self._waiting.permits)
        #: workers told to kill, until their WorkerLost: what for, as (chunk, offset) of one item, or None for all
        self._killing: dict[int, tuple[int, int] | None] = {}
        #: rejections, by position, of items without an outcome
        self._rejections: dict[int, int] = {}
        self._resumed = self._attempts = self._workers_lost = self._rejected = 0
        self._admitted = self._asked = 0
        self._chunk_number = self._futile = 0
        self._skim = 1
        self._source_ended = self._finished = self._stopping = self._unheard = False
        #: whether more would be pulled if the consumer had taken more
        self.window_is_full = False
        self._alone = False
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

    def begin(self, now: float, memory: events.Memory | None = None) -> list[Command]:
        """Return the first commands."""
        return self.handle(events.Ticked([], memory), now)

    @property
    def wake_at(self) -> float | None:
        """When a `Ticked` is wanted at the latest."""
        times = [self._tick_at, self._grace_end, self._waiting.next_retry, self._limiter.wake_at]
        return min((time for time in times if time is not None), default=None)

    @property
    def stopping(self) -> bool:
        """Whether nothing more will start."""
        return self._stopping

    def wants_memory(self, now: float) -> bool:
        """Whether a `Ticked` should say what memory is like."""
        return self._limiter.wants_memory(now)

    @property
    def summary(self) -> Summary:
        """The totals so far."""
        counts, rules = self._ledger.counts, self.rules
        return Summary(
            name=rules.name,
            backend=self._limiter.backend,
            workers=self._limiter.workers,
            admitted=self._admitted,
            ok=counts[Status.OK],
            failed=counts[Status.FAILED],
            timed_out=counts[Status.TIMED_OUT],
            crashed=counts[Status.CRASHED],
            cancelled=counts[Status.CANCELLED],
            resumed=self._resumed,
            attempts=self._attempts,
            rejected=self._rejected,
            workers_lost=self._workers_lost,
            memory_peak=self._limiter.memory_peak,
            decision=self._limiter.decision,
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
        if event.resumed or event.interruptions or self.rules.keyed or event.classes:
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
            # Interrupted once, it was one of many in flight. Twice, it is a suspect: nothing runs beside it.
            solo, alone = interruptions > 0, interruptions > 1
            lot = Lot(positions[offset : offset + 1], [item], ids, interruptions + 1, solo=solo, alone=alone)
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
        self._ledger.consumed += event.outcomes

    # ----------------------------------------------------------------------------------------------- the workers

    def _on_chunk_ended(self, event: events.ChunkEnded) -> None:
        chunk = self._slots.find(event.worker, event.chunk)
        if chunk is None:
            # Never guess: values of another chunk would be given to the wrong items.
            what = f"chunk={event.chunk} was answered by {self._name(event.worker)}, which does not hold it"
            self._fail(errors.BackendError(f"{what}: the backend is broken"))
            return
        self._limiter.ended(self._now, len(event.values), self._slots.busy)
        self._slots.remove(event.worker, chunk)
        self._settle(event.worker, chunk, event)
        self._give_back(chunk, len(event.values))

    def _on_worker_lost(self, event: events.WorkerLost) -> None:
        worker, asked = event.worker, event.worker in self._killing
        meant = self._killing.pop(worker, None)
        starved = self._limiter.lost(worker, "" if asked else event.reason)
        self._slots.open(worker)
        chunks = [chunk for chunk in self._slots.held[worker] if chunk.number in event.chunks]
        for chunk in chunks:
            self._slots.remove(worker, chunk)
        if not chunks:
            return
        if event.gone:
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
            self._judge_lost(head, event, asked=asked, meant=meant, starved=starved)
        elif not asked and not ended.values:
            self._futile += 1
            if self._futile > _FUTILE * self.rules.workers:
                what = f"workers die before they start an item ({event.reason})"
                self._fail(errors.BackendError(f"{what}: try backend='threads', or look at what the function imports"))

    def _judge_lost(
        self, chunk: Chunk, event: events.WorkerLost, *, asked: bool, meant: tuple[int, int] | None, starved: str
    ) -> None:
        """Say what becomes of the item that was under way when its worker went."""
        offset = event.offset or 0
        lot = _lot_of(chunk).split(offset)[1].split(1)[0]
        if asked and meant is not None and meant != (chunk.number, offset):
            # The item that was meant ended just before the kill arrived: this one is innocent, and its try does not
            # count.
            if not self._stopping:
                self._waiting.put_back(lot)
            else:
                self._cancel(lot)
            return
        self._attempts += 1
        if self._limiter.throttled:
            self._limiter.accepted(self._now, 1, event.started, busy=self._slots.busy + 1)
        guilty = meant is not None or not asked
        if starved and guilty and not self._stopping and self._limiter.again(lot.positions[0]):
            self._waiting.put_alone(lot)
            return
        seconds = max(0.0, self._now - event.started)
        stopped = asked and (meant is None or (bool(starved) and self._stopping))
        status, error = of_lost(self.rules, event.reason, asked=asked, starved=starved, stopped=stopped)
        outcome = of_waiting(lot, status, error, self._waiting.keys)[0]._replace(
            attempts=chunk.attempt, started=event.started, seconds=seconds, worker=self._name(event.worker)
        )
        if status is Status.CANCELLED:
            self._forget([outcome])
            self._ledger.deliver([outcome])
        elif not starved and self._try_again(outcome, error, lot):
            self._record([], [], retried=[outcome])
        else:
            self._record([outcome], [b""])

    def _settle(
        self, worker: int, chunk: Chunk, ended: events.ChunkEnded, *, also_ended: list[int] | None = None
    ) -> None:
        """Turn what a worker sent into outcomes and tries to come."""
        count = len(ended.values)
        outcomes: Sequence[Outcome] = of_ended(chunk, ended, self._name(worker), self._waiting.keys)
        stored = ended.stored if ended.stored is not None else [b""] * count if self.rules.journaled else []
        retried: list[Outcome] = []
        if count:
            self._futile = 0
            self._attempts += count
            if not self._waiting.needs_permit(chunk):  # items of a class say nothing of those that share chunks
                self._chunks.observe(count, ended.clock[-1] - ended.clock[0])
        rejected = self._rejected
        if ended.errors:
            outcomes, stored, retried = self._sort_out(chunk, ended, outcomes, stored)
        accepted = count - (self._rejected - rejected)
        if accepted and self._limiter.throttled:
            self._limiter.accepted(self._now, accepted, ended.clock[0], busy=self._slots.busy + 1)
        self._record(outcomes, stored, retried=retried, ended=[chunk.number, *(also_ended or ())])

    def _sort_out(
        self, chunk: Chunk, ended: events.ChunkEnded, outcomes: Sequence[Outcome], stored: list[bytes]
    ) -> tuple[list[Outcome], list[bytes], list[Outcome]]:
        """Return the outcomes that are final, the stored value of each, and the tries that will be repeated."""
        finals: list[Outcome] = []
        kept: list[bytes] = []
        retried: list[Outcome] = []
        lot = _lot_of(chunk)
        for offset, outcome in enumerate(outcomes):
            error = ended.errors.get(offset)
            if error is not None:
                outcome = outcome._replace(status=Status.FAILED, value=None, error=error)  # noqa: PLW2901
                one = lot.split(offset)[1].split(1)[0]
                if _REJECTED in error.lineage and self._was_rejected(outcome, error, one):
                    continue
                if self._try_again(outcome, error, one):
                    retried.append(outcome)
                    continue
            finals.append(outcome)
            kept.append(stored[offset] if stored and error is None else b"")
        return finals, kept, retried

    def _was_rejected(self, outcome: Outcome, error: ErrorInfo, lot: Lot) -> bool:
        """Let an item wait that its service refused for now; False if that has happened too often.

        This try does not count, so that an upstream at its limit costs time and no items.
        """
        self._rejected += 1
        busy = self._slots.busy + 1  # its own worker too
        self._limiter.rejected(self._now, outcome.started, error.retry_after, busy=busy, chance=self._chance())
        count = self._rejections.pop(outcome.position, 0) + 1
        if count > self.rules.max_rejections:
            return False
        if self._stopping:
            self._cancel(lot)
        else:
            self._rejections[outcome.position] = count
            self._waiting.put_back(lot)
        return True

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
        outcomes: Sequence[Outcome],
        stored: list[bytes],
        *,
        retried: list[Outcome] | None = None,
        ended: list[int] | None = None,
    ) -> None:
        """Make outcomes final, and draw the consequences."""
        if self.rules.on_error == "fail" and not self._stopping and not isinstance(outcomes, Batch):
            bad = next((o for o in outcomes if o.status is not Status.OK and o.status is not Status.CANCELLED), None)
            if bad is not None:
                self._stop(f"on_error='fail': item {bad.position} ended {bad.status.value}", "close")
        self._forget(outcomes)
        self._ledger.record(outcomes, stored, retried=retried, ended=ended)

    def _forget(self, outcomes: Sequence[Outcome]) -> None:
        self._waiting.forget(outcomes)
        self._limiter.settled(outcomes)
        if self._rejections:
            for outcome in outcomes:
                self._rejections.pop(outcome.position, None)

    def _on_recorded(self, event: events.Recorded) -> None:
        for worker, chunk in self._ledger.recorded(event.ticket):
            if not self._stopping and worker not in self._killing:
                self._out.append(Start(worker, chunk))
            else:
                self._slots.remove(worker, chunk)
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
            chunks = self._slots.clear()
            self._ledger.drop_leases()
            self._stop(reason, "kill")
            self._ledger.record([], [], ended=[chunk.number for chunk in chunks])
            for chunk in chunks:
                self._cancel(_lot_of(chunk))
            return
        self._stop(reason, "kill")
        for worker, chunk in self._ledger.lose_journal():
            self._slots.remove(worker, chunk)
            self._cancel(_lot_of(chunk))

    def _stop(self, reason: str, how: StopHow) -> None:
        if not self._stopping:
            self._stopped = self._stopped or reason
            self._stopping = True
            self._grace_end = self._now + self.rules.grace
            self._out.append(Emit(events.RunStopping(reason)))
            self._out.extend(Stop(worker, "close") for worker, _ in self._slots.holding())
            self._cancel_waiting()
        if how == "kill":
            self._kill_all()

    def _kill_all(self) -> None:
        self._grace_end = None
        leasing = {chunk.number for chunk in self._ledger.leasing}
        for worker, held in self._slots.holding():
            if worker not in self._killing and any(chunk.number not in leasing for chunk in held):
                self._kill(worker, None)

    def _kill(self, worker: int, meant: tuple[int, int] | None) -> None:
        self._killing[worker] = meant
        self._slots.close(worker)
        self._out.append(Stop(worker, "kill"))

    def _cancel_waiting(self) -> None:
        for lot, in_lane in self._waiting.drain():
            self._cancel(lot, in_lane=in_lane)

    def _cancel(self, lot: Lot, *, in_lane: bool = True) -> None:
        """Give items that will not start the outcome "cancelled". It is not recorded: a resume runs them."""
        error = error_of(errors.ItemCancelled, f"not run: {self._stopped}")
        outcomes = of_waiting(lot, Status.CANCELLED, error, self._waiting.keys)
        if in_lane:
            self._forget(outcomes)
        else:
            for position in lot.positions:
                self._waiting.pass_by(position)
        self._ledger.deliver(outcomes)

    # --------------------------------------------------------------------------------------------- time, and on

    def _on_ticked(self, event: events.Ticked) -> None:
        # Only what is still to be believed: the worker may have ended the item since, or be on its way out.
        current = [
            running
            for running in event.running
            if running.worker not in self._killing
            and (held := self._slots.held[running.worker])
            and held[0].number == running.chunk
        ]
        if self.rules.timeout is not None:
            self._end_overdue(current, self.rules.timeout)
        if event.memory is not None:
            victim = self._limiter.saw(self._now, event.memory, current)
            if victim is not None and victim.worker not in self._killing:
                self._kill(victim.worker, (victim.chunk, victim.offset))

    def _end_overdue(self, current: list[Running], timeout: float) -> None:
        due: list[float] = []
        dying = sum(bool(self._slots.held[worker]) for worker in self._killing)
        if self._slots.busy > len(current) + dying:
            due.append(self._now + timeout)  # some were between two items
        for running in current:
            if running.started + timeout <= self._now:
                self._kill(running.worker, (running.chunk, running.offset))
            else:
                due.append(running.started + timeout)
        self._tick_at = min(due, default=None)

    def _on_measured(self, event: events.Measured) -> None:
        self._limiter.measured(event)

    def _on_reported(self, event: events.Reported) -> None:
        chunk = self._slots.find(event.worker, event.chunk)
        if chunk is not None and event.offset < len(chunk.items):
            position, item = chunk.positions[event.offset], chunk.items[event.offset]
            said = events.AttemptReported(position, item, chunk.attempt, event.percent, event.note)
            self._out.append(Emit(said))

    def _advance(self) -> None:
        """Do all that can be done now."""
        if self._grace_end is not None and self._now >= self._grace_end:
            self._kill_all()
        self._waiting.wake(self._now)
        if not self._stopping:
            self._dispatch()
        self._limiter.look_again(self._now, busy=self._slots.busy > 0)
        changed = self._limiter.changed()
        if changed is not None:
            self._fit_chunks()
            self._out.append(Emit(changed))
        self._pull()
        if self._is_over():
            self._finished = True
            self._grace_end = self._tick_at = None
            summary = self.summary
            self._out += [Emit(events.RunEnded(summary)), Finish(summary, self._error)]

    def _dispatch(self) -> None:
        waiting, limiter = self._waiting, self._limiter
        if self._alone and self._slots.busy:
            return
        self._alone = False
        if waiting.alone:
            self._start_alone()
            return
        depth = self._chunks.depth(self.rules.depth)
        while waiting.ready:
            worker = limiter.pick(self._slots, depth)
            if worker is None:
                return
            permits = limiter.permits(self._now, waiting.next_cost)
            if permits < 1:
                return
            most = min(self._chunks.size, permits)
            if self._source_ended:
                # Near the end, smaller chunks: no worker should be left with all the rest.
                most = min(most, -(-waiting.ready // limiter.workers))
            lot = waiting.take(most)
            if lot is None:
                return
            limiter.took(self._now, len(lot.items), waiting.cost(lot))
            self._start(worker, lot)
            # The first answers say how long an item takes; until then a worker gets one.
            depth = self._chunks.depth(self.rules.depth)

    def _fit_chunks(self) -> None:
        """Let no chunk be so large that the window does not hold enough of them to keep all workers busy."""
        widest = self.rules.window or _WIDEST
        self._chunks.largest = max(1, min(self.rules.max_chunk, widest // (_CHUNKS * self._limiter.workers)))

    def _start_alone(self) -> None:
        """Start an item that must run alone, as soon as nothing runs; nothing else starts before it has ended."""
        worker = self._slots.pick(self._limiter.first, self._limiter.end, 1)
        if worker is not None and not self._slots.busy and self._limiter.permits(self._now):
            self._alone = True
            lot = self._waiting.take_alone()
            self._limiter.took(self._now, len(lot.items), self._waiting.cost(lot))
            self._start(worker, lot)

    def _start(self, worker: int, lot: Lot) -> None:
        self._chunk_number += 1
        budget = self._chunks.budget if len(lot.items) > 1 else float("inf")
        chunk = Chunk(self._chunk_number, lot.items, lot.positions, lot.attempt, lot.ids, budget, self.rules.run_id)
        self._slots.add(worker, chunk)
        self._out.append(Emit(events.ChunkStarted(self._name(worker), len(lot.items), lot.attempt)))
        if self.rules.timeout is not None and self._tick_at is None:
            self._tick_at = self._now + self.rules.timeout
        if self.rules.journaled:
            self._ledger.lease(worker, self._name(worker), chunk)
        else:
            self._out.append(Start(worker, chunk))

    def _pull(self) -> None:
        self.window_is_full = False
        if self._source_ended or (self._stopping and not self._reads_on):
            return
        size, workers = self._chunks.size, self._limiter.workers
        depth = self._chunks.depth(self.rules.depth)
        window = self.rules.window or max(_WINDOW, _CHUNKS * workers * size)
        room = window - (self._admitted - self._ledger.consumed) - self._asked
        if self._stopping or self.rules.prioritized:
            want = room  # by priority: from all that the window holds
        else:
            free = max(0, depth * workers - self._slots.chunks)
            ahead = _AHEAD * workers if depth > 1 else 0
            step = max(size, self._skim)
            want = (free + ahead) * step - self._waiting.ready - self._asked
            if 2 * want < ahead * step:
                return  # half of what was read ahead is left: reading on wakes the source, so it is done in bulk
        count = min(want, room)
        self.window_is_full = room <= want
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
            and not self._slots.chunks
        )

    def _name(self, worker: int) -> str:
        return self.rules.names[worker] if self.rules.names else f"worker-{worker}"

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
        events.Measured: _on_measured,
        events.Reported: _on_reported,
    }


def _lot_of(chunk: Chunk) -> Lot:
    return Lot(chunk.positions, chunk.items, chunk.ids, chunk.attempt, solo=chunk.attempt > 1)
