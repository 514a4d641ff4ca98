"""A world in which a machine lives through a random history, with every promise checked after every step.

    for seed in range(20_000):
        simulate(seed)          # raises BrokenPromise(seed=..., ...) with the last steps; the same seed replays it

Workers, source, journal, consumer and time are all virtual: a history of some fifty items takes about a millisecond.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from raddle import _events as events
from raddle._engine import commands
from raddle._engine.machine import Machine
from raddle._model import Chunk, ErrorInfo, Outcome, Running, Status, Summary, qualified_name
from raddle.errors import BackendError, JournalError, Rejected
from raddle.testing.permit_judge import PermitJudge
from raddle.testing.scenario import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BrokenPromise", "World", "simulate"]

_SLACK = 1e-6
_ERROR = ErrorInfo("ValueError", "no", "", ("ValueError", "Exception", "BaseException"))


class BrokenPromise(AssertionError):
    """A promise of the machine did not hold; `seed` replays the history."""

    def __init__(self, promise: str, seed: int, trail: list[str]) -> None:
        self.seed = seed
        super().__init__(f"{promise} (seed={seed})\nlast steps:\n  " + "\n  ".join(trail))


@dataclass(slots=True)
class _Worker:
    queue: deque[Chunk] = field(default_factory=deque)
    values: list[Any] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)
    errors: dict[int, ErrorInfo] = field(default_factory=dict)
    #: the item under way: its fate, or None between items
    fate: str | None = None
    started: float = 0.0
    #: changes whenever what was scheduled for this worker no longer counts
    turn: int = 0
    closing: bool = False
    #: from the machine's "kill" until it hears WorkerLost
    kill_asked: bool = False
    #: when its last message arrives: messages of one worker do not overtake each other
    due: float = 0.0
    #: what it has of the memory
    memory: float = 0.0


class World:
    """Everything outside of the machine, and the judge of what it says."""

    def __init__(self, seed: int, make: Callable[..., Machine] = Machine) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.scenario = draw(self.rng)
        self.rules = self.scenario.rules
        self.machine = make(self.rules, chance=self.rng.random)
        self.now = 0.0
        self.trail: deque[tuple[float, str, object]] = deque(maxlen=40)
        self._future: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.workers = [_Worker() for _ in range(self.rules.workers)]
        self.steps = 0
        # the source
        self.given = self.let = 0
        self.source_ended = False
        self._source_busy = False
        # what was seen
        self.keys: dict[int, int] = {}
        self.known: set[int] = set()
        self.given_up: set[int] = set()
        self.running: dict[int, int] = {}
        self.last_of_key: dict[int, int] = {}
        self.tries: dict[int, int] = {}
        self.succeeded: set[int] = set()
        self.not_before: dict[int, float] = {}
        self.final: dict[int, Outcome] = {}
        self.delivered: list[Outcome] = []
        self.unconsumed = self.consumed = 0
        self.stopping = False
        self.broken = False
        self.finished: Summary | None = None
        self.leased: set[int] = set()
        #: nothing starts before that: a service said so
        self.gate = 0.0
        #: what memory was like at the last look, and whether that means that nothing more starts
        self.short = False
        #: when items started
        self.starts: list[float] = []
        self._costly = self.rules.rate is not None and self.rules.rate.cost is not None
        #: chunks that the machine takes to be with a worker
        self.open: set[int] = set()
        #: items that were killed for want of memory: the (chunk, offset) meant, and those that run alone from then on
        self.meant: dict[int, tuple[int, int]] = {}
        self.alone: set[int] = set()
        self.recorded: set[int] = set()
        self._commits: deque[commands.Commit] = deque()
        self._discarding = False
        self.permits = PermitJudge(self)

    # ---------------------------------------------------------------------------------------------- the history

    def live(self) -> World:
        """Go through the whole history.

        Raises:
            BrokenPromise: at the first step after which a promise does not hold
        """
        if self.scenario.stop is not None:
            at, how = self.scenario.stop
            stop = events.StopAsked("kill" if how == "kill" else "close", "test", discard=how == "discard")
            self.later(at, lambda: self.say(stop))
        if self.scenario.breaks is not None:
            at, what = self.scenario.breaks
            self.later(at, lambda: self._break(what))
        for at, wall, cpu, lag in self.scenario.measured:
            self.later(at, partial(self.say, events.Measured(8, 8 * wall, 8 * cpu, lag, 8, 0.01)))
        self.obey(self.machine.begin(self.now, self._look()))
        while self.finished is None:
            wake_at = self.machine.wake_at
            if self._future and (wake_at is None or self._future[0][0] <= wake_at):
                self.now, _, happen = heapq.heappop(self._future)
                happen()
            elif wake_at is not None:
                self.now = max(self.now, wake_at)
                self.say(events.Ticked(self._under_way(), self._look()))
            else:
                self.fail("the run goes on: nothing is left to happen, and it is not over")
            self.steps += 1
            if self.steps > 50_000:
                self.fail("the run ends: 50,000 steps were not enough")
        self._judge_end()
        return self

    def later(self, delay: float, happen: Callable[[], None]) -> None:
        """Let something happen after `delay` seconds."""
        self.at(self.now + delay, happen)

    def at(self, instant: float, happen: Callable[[], None]) -> None:
        """Let something happen at exactly this instant; what was said first happens first."""
        self._count += 1
        heapq.heappush(self._future, (instant, self._count, happen))

    def soon(self) -> float:
        """Return a short time."""
        return self.rng.choice([0.0, 0.0001, 0.01 * self.rng.random()])

    def say(self, event: events.Event) -> None:
        """Let the machine hear an event, and do what it wants."""
        if self.finished is not None:
            return
        self.trail.append((self.now, "heard", event))
        match event:
            case events.StopAsked(discard=True):
                self._discarding = True
            case events.ChunkEnded():
                self._note_end(event)
            case events.WorkerLost():
                self.open.difference_update(event.chunks)
                if event.ended is not None:
                    self._note_end(event.ended)
        self.obey(self.machine.handle(event, self.now))

    def obey(self, todo: list[commands.Command]) -> None:
        """Do what the machine wants, and judge it."""
        for command in todo:
            self.trail.append((self.now, "wants", command))
            match command:
                case commands.Pull():
                    self._let_source(command.items)
                case commands.Start():
                    self.open.add(command.chunk.number)
                    self.permits.opened(command.chunk.number, command.worker, command.chunk.positions)
                    self._start(command.worker, command.chunk)
                case commands.Stop():
                    self._stop(command.worker, command.how)
                case commands.Commit():
                    self._commit(command)
                case commands.Deliver():
                    self._deliver(command.outcomes)
                case commands.Emit():
                    self._see(command.event)
                case commands.Finish():
                    self.check(self.finished is None, "a run ends once")
                    self.finished = command.summary
        self._judge_step()
        self.permits.step()

    def check(self, holds: bool, promise: str) -> None:  # noqa: FBT001 - an assertion
        """Raise BrokenPromise unless it holds."""
        if not holds:
            self.fail(promise)

    def fail(self, promise: str) -> None:
        """Raise BrokenPromise."""
        trail = [f"{at:.4f} {verb} {_brief(what)}" for at, verb, what in self.trail]
        raise BrokenPromise(promise, self.seed, trail)

    # ----------------------------------------------------------------------------------------------- the source

    def _let_source(self, count: int) -> None:
        self.check(count > 0, "a pull asks for something")
        self.check(not (self.stopping and not self.rules.report_unread), "nothing is pulled after a stop")
        self.let += count
        window = self.rules.window
        if window is not None:
            out = self.given + self.let - (self.consumed + (self.unconsumed if self._discarding else 0))
            self.check(out <= window, f"never more between source and consumer than the window ({out} > {window})")
        if not self._source_busy:
            self._source_busy = True
            self.later(self.soon(), self._give)

    def _give(self) -> None:
        self._source_busy = False
        scenario, rng = self.scenario, self.rng
        error_at = scenario.source_error_at
        left = (scenario.items if error_at is None else min(error_at, scenario.items)) - self.given
        count = min(left, rng.randint(1, self.let)) if self.let else 0
        if count:
            self.let -= count
            positions = range(self.given, self.given + count)
            self.given += count
            keys = [rng.randrange(scenario.keys) for _ in positions]
            self.keys.update(zip(positions, keys, strict=True))
            resumed, interruptions = {}, {}
            for offset, position in enumerate(positions):
                if rng.random() < scenario.resumed:
                    self.known.add(position)
                    resumed[offset] = Outcome(-1, None, Status.OK, position, None, 1, 0.0, 0.0, "old", resumed=True)
                elif rng.random() < scenario.interrupted:
                    interruptions[offset] = rng.randint(1, 3)
                    if interruptions[offset] >= self.rules.max_interruptions:
                        self.given_up.add(position)
            self.say(
                events.Pulled(
                    list(positions),
                    keys if self.rules.keyed else None,
                    [rng.randrange(3) for _ in positions] if self.rules.prioritized else None,
                    [b"%d" % position for position in positions] if self.rules.journaled else None,
                    resumed,
                    interruptions,
                    [float(position % 7) for position in positions] if self._costly else None,
                    self.permits.draw(rng, positions),
                )
            )
        if count == left and self.let and not self.source_ended:
            self.source_ended = True
            error = RuntimeError("source") if error_at is not None and error_at < scenario.items else None
            self.say(events.SourceEnded(error))
        elif self.let and not self._source_busy and not self.source_ended:
            self._source_busy = True
            self.later(self.soon(), self._give)

    # ---------------------------------------------------------------------------------------------- the workers

    def _start(self, number: int, chunk: Chunk) -> None:
        worker = self.workers[number]
        self.check(not self.stopping, "nothing starts after a stop")
        self.check(not worker.kill_asked, "nothing starts on a worker that is being killed")
        self.check(0 < len(chunk.items) <= self.rules.max_chunk, "a chunk is no larger than allowed")
        self.check(len(worker.queue) < self.rules.depth, "no worker holds more than its depth")
        self.check(not self.rules.journaled or chunk.number in self.leased, "nothing starts before its lease")
        worker.queue.append(chunk)
        if len(worker.queue) == 1:
            self._begin_chunk(number)

    def _begin_chunk(self, number: int) -> None:
        worker = self.workers[number]
        worker.values, worker.clock, worker.errors = [], [self.now], {}
        self._begin_item(number)

    def _begin_item(self, number: int) -> None:
        worker = self.workers[number]
        chunk = worker.queue[0]
        offset = len(worker.values)
        spent = self.now - worker.clock[0]
        if offset == len(chunk.items) or worker.closing or (offset and spent > chunk.budget):
            self._end_chunk(number)
            return
        position = chunk.positions[offset]
        self._judge_begin(position, chunk)
        self.permits.begins(position)
        self.running[position] = number
        worker.started = self.now
        rng, scenario = self.rng, self.scenario
        roll = rng.random()
        fates = (
            ("hang", scenario.hangs),
            ("crash", scenario.crashes),
            ("fail", scenario.fails),
            ("reject", scenario.rejects),
        )
        worker.memory = scenario.memory * rng.random()
        for fate, probability in fates:
            if roll < probability:
                worker.fate = fate
                break
            roll -= probability
        else:
            worker.fate = "return"
        if worker.fate == "hang":
            return
        seconds = rng.choice([0.0, 0.001, 0.004, 0.05, rng.random()])
        turn = worker.turn
        self.later(seconds, lambda: self._end_item(number) if worker.turn == turn else None)

    def _end_item(self, number: int) -> None:
        worker = self.workers[number]
        chunk = worker.queue[0]
        offset = len(worker.values)
        position = chunk.positions[offset]
        if worker.fate == "crash":
            self._lose(number, "killed by SIGSEGV")
            return
        del self.running[position]
        if worker.fate in ("fail", "reject"):
            worker.errors[offset] = _ERROR if worker.fate == "fail" else self._rejection
            worker.values.append(None)
        else:
            self.succeeded.add(position)
            worker.values.append(position)
        worker.clock.append(self.now)
        worker.fate = None
        self._begin_item(number)

    def _end_chunk(self, number: int) -> None:
        worker = self.workers[number]
        chunk = worker.queue.popleft()
        ended = events.ChunkEnded(number, chunk.number, worker.values, worker.clock, worker.errors)
        self._answer(number, ended)
        if worker.queue:
            self._begin_chunk(number)

    def _answer(self, number: int, event: events.Event) -> None:
        worker = self.workers[number]
        worker.due = max(self.now + self.soon(), worker.due)
        self.at(worker.due, lambda: self._hear(number, event))

    def _hear(self, number: int, event: events.Event) -> None:
        if isinstance(event, events.WorkerLost):
            self.workers[number].kill_asked = False
        if not self.broken:
            self.say(event)

    def _stop(self, number: int, how: str) -> None:
        worker = self.workers[number]
        if how == "close":
            worker.closing = True
            return
        self.check(not worker.kill_asked, "a worker is killed once")
        worker.kill_asked = True
        if self.rules.guarded and not self.stopping and worker.queue:
            self.meant[number] = (worker.queue[0].number, len(worker.values))
        # The kill takes a moment: the worker may go on, and end what it was killed for.
        turn = worker.turn
        self.later(self.soon(), lambda: self._lose(number, "killed by SIGKILL") if worker.turn == turn else None)

    def _lose(self, number: int, reason: str) -> None:
        worker = self.workers[number]
        worker.turn += 1
        ended, offset = None, None
        chunks = tuple(chunk.number for chunk in worker.queue)
        if worker.queue:
            chunk = worker.queue[0]
            ended = events.ChunkEnded(number, chunk.number, worker.values, worker.clock, worker.errors)
            if worker.fate is not None:
                offset = len(worker.values)
                self.running.pop(chunk.positions[offset])
                if self.meant.pop(number, None) == (chunk.number, offset) and not self.stopping:
                    self.alone.add(chunk.positions[offset])
                self.last_of_key[self.keys[chunk.positions[offset]]] = chunk.positions[offset] - 1
        # One that died by itself with a kill on the way is lost once: the kill finds another turn.
        self._answer(number, events.WorkerLost(number, chunks, ended, offset, reason, worker.started))
        worker.queue.clear()
        worker.fate = None
        worker.values, worker.clock, worker.errors = [], [], {}

    @property
    def _rejection(self) -> ErrorInfo:
        name = qualified_name(Rejected)
        return ErrorInfo(name, "no", lineage=(name, "Exception"), retry_after=self.scenario.retry_after)

    def _note_end(self, ended: events.ChunkEnded) -> None:
        self.open.discard(ended.chunk)
        after = [error.retry_after for error in ended.errors.values() if error.retry_after is not None]
        if after:
            self.gate = max(self.gate, self.now + max(after))

    def _look(self) -> events.Memory | None:
        if not self.machine.wants_memory(self.now):
            return None
        workers = {number: int(worker.memory * 1000) for number, worker in enumerate(self.workers) if worker.fate}
        used = 100 + sum(workers.values())
        self.short = used >= (700 if self.short else 800)
        return events.Memory(used, 1000, 0.0, workers)

    def _under_way(self) -> list[Running]:
        return [
            Running(number, worker.queue[0].number, len(worker.values), worker.started, 1000 + number)
            for number, worker in enumerate(self.workers)
            if worker.queue and worker.fate is not None
        ]

    def _break(self, what: str) -> None:
        if what == "backend":
            self.broken = True
            for worker in self.workers:
                worker.turn += 1
                worker.queue.clear()
                worker.fate = None
            self.running.clear()
            self.say(events.RunFailed(BackendError("test")))
        else:
            self._commits.clear()
            self.say(events.RunFailed(JournalError("test")))

    # --------------------------------------------------------------------------------- the journal, the consumer

    def _commit(self, command: commands.Commit) -> None:
        lease = command.record.lease
        if lease is not None:
            self.open.add(lease.chunk)
            self.permits.opened(lease.chunk, int(lease.worker.partition("-")[2]), list(map(int, lease.ids)))
        self.permits.decided([outcome.position for outcome, _ in command.record.outcomes])
        self.open.difference_update(command.record.ended)
        self._commits.append(command)
        if len(self._commits) == 1:
            self.later(self.soon(), self._commit_all)

    def _commit_all(self) -> None:
        if not self._commits:
            return
        for command in self._commits:
            record = command.record
            if record.lease is not None:
                self.leased.add(record.lease.chunk)
            for outcome, _ in record.outcomes:
                self.check(outcome.position not in self.recorded, "one outcome is recorded per item")
                self.recorded.add(outcome.position)
        ticket = self._commits[-1].record.ticket
        self._commits.clear()
        self.say(events.Recorded(ticket))

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if self.rules.ordered:
                self.check(outcome.position == len(self.delivered), "outcomes come in input order")
            self.delivered.append(outcome)
        self.unconsumed += len(outcomes)
        delay = self.scenario.slow_consumer * self.rng.random()
        self.later(delay, lambda: self._consume(len(outcomes)))

    def _consume(self, count: int) -> None:
        self.unconsumed -= count
        self.consumed += count
        if not self._discarding:
            self.say(events.Consumed(count))

    def _see(self, event: events.Observed) -> None:
        match event:
            case events.ItemsEnded():
                for outcome in event.outcomes:
                    self._judge_outcome(outcome)
            case events.AttemptFailed():
                self.not_before[event.position] = self.now + event.wait
                self.check(0 <= event.wait <= 3, "a wait is within its bounds")
            case events.ChunkStarted():
                if self.rules.trial:
                    threads = self.machine.summary.backend == "threads"
                    slot = int(event.worker.partition("-")[2])
                    self.check((slot >= self.rules.trial) == threads, "items start where it was chosen")
                self.check(self.now >= self.gate - _SLACK, "nothing starts while the gate is closed")
                self.check(not (self.short and self.open), "nothing starts beside others while memory is short")
                self._judge_rate(event.items)
            case events.RunStopping():
                self.stopping = True

    # ------------------------------------------------------------------------------------------------- the judge

    def _judge_begin(self, position: int, chunk: Chunk) -> None:
        self.check(position not in self.running, "an item never runs twice at the same time")
        self.check(position not in self.succeeded, "what ended well never runs again")
        self.check(position not in self.final, "nothing runs after its outcome")
        self.check(position not in self.known, "what the journal knows is not run again")
        self.check(position not in self.given_up, "what killed the program too often is not run again")
        self.check(self.now >= self.not_before.get(position, 0.0) - _SLACK, "a retry waits its backoff")
        beside = self.alone.intersection([position, *self.running]) if self.running else None
        self.check(not beside, "what was killed for memory runs alone")
        if self.rules.retry.attempts < chunk.attempt:
            self.check(bool(self.scenario.interrupted), "no more attempts than asked for")
        if self.rules.keyed:
            key = self.keys[position]
            same = [other for other in self.running if self.keys[other] == key]
            self.check(not same, "one item per key at a time")
            self.check(position >= self.last_of_key.get(key, -1), "items of a key run in input order")
            self.last_of_key[key] = position

    def _judge_rate(self, items: int) -> None:
        rate = self.rules.rate
        if rate is None or rate.items is None:
            return
        self.starts += [self.now] * items
        recent = sum(at > self.now - rate.per for at in self.starts)
        most = rate.items + max(1.0, rate.burst * rate.items / rate.per) + 1
        self.check(recent <= most, f"never more starts than the rate ({recent} > {most})")

    def _judge_outcome(self, outcome: Outcome) -> None:
        position = outcome.position
        self.check(position not in self.final, "one outcome per item")
        self.check(position not in self.running or self.broken, "no outcome while the item runs")
        self.final[position] = outcome
        if outcome.resumed:
            self.check(position in self.known, "resumed means known")
        elif self.rules.journaled and outcome.status is not Status.CANCELLED:
            self.check(position in self.recorded, "nothing is delivered before it is recorded")
        if outcome.ok:
            self.check(outcome.value == position == outcome.item, "a value belongs to its item")
        elif outcome.status is Status.CANCELLED:
            self.check(self.stopping, "nothing is cancelled unless the run was stopped")

    def _judge_step(self) -> None:
        timeout = self.rules.timeout
        if timeout is None or self.finished is not None:
            return
        for worker in self.workers:
            if worker.fate is not None and worker.queue and not worker.kill_asked:
                late = self.now - worker.started - timeout
                self.check(late <= timeout + _SLACK, "a deadline frees its slot")

    def _judge_end(self) -> None:
        summary = self.finished
        if summary is None:
            return
        counts = [summary.ok, summary.failed, summary.timed_out, summary.crashed, summary.cancelled]
        self.check(summary.admitted == sum(counts) == len(self.final), "totals add up")
        self.check(sorted(self.final) == list(range(summary.admitted)), "every admitted item has its outcome")
        self.check(self._discarding or len(self.delivered) == summary.admitted, "every outcome is delivered")
        if not self.stopping and self.scenario.source_error_at is None:
            self.check(summary.admitted == self.scenario.items, "every item of the source is admitted")
            self.check(summary.source_ended, "the source was read to its end")
        if self.stopping and self.rules.report_unread and not self._discarding and not self.broken:
            whole = summary.admitted == self.scenario.items or self.scenario.source_error_at is not None
            self.check(whole or self.scenario.breaks is not None, "what was not read is reported")


def simulate(seed: int, make: Callable[..., Machine] = Machine) -> World:
    """Live through the history of a seed.

    Args:
        seed: any integer
        make: what to build instead of a `Machine`, to see that a broken one is found out

    Raises:
        BrokenPromise: naming the promise, the seed and the last steps
    """
    return World(seed, make).live()


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
