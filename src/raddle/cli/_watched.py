"""A run in another process, as its journal tells of it: one look after another."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._model import Status
from raddle.cli._history import total_of
from raddle.errors import ConfigError
from raddle.progress._text import one_line
from raddle.progress.stats import Snapshot

if TYPE_CHECKING:
    from raddle.journal.history import Bucket, Happening, History, Lease, Mark, OutcomeRow, RunRow

__all__ = ["Busy", "Look", "Pace", "Watched", "busy", "problem"]

_NOT_OK = (Status.FAILED, Status.TIMED_OUT, Status.CRASHED)
_PROBLEMS = 3
#: seconds that a rate looks back
_WINDOW = 10.0
#: happenings read at once
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Busy:
    """What a worker has had in hand since `seconds` ago."""

    worker: str
    seconds: float
    items: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment."""

    state: str
    snapshot: Snapshot
    #: who has been at it for longest first
    workers: tuple[Busy, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.snapshot.ended

    @property
    def all_ok(self) -> bool:
        """Whether it came to its end and every item ended ok."""
        return self.state == "ended" and self.snapshot.ok == self.snapshot.done


class Pace:
    """How many items a second of late. Told of counts at times; starts with what was recorded before."""

    def __init__(self, before: list[Bucket], done: int, now: float) -> None:
        late: list[Bucket] = []
        for bucket in reversed(before):
            if late and now - late[-1].at >= _WINDOW:
                break
            late.append(bucket)
        self._samples: deque[tuple[float, int]] = deque()
        if late:
            self._samples.append((late[-1].at, done - sum(bucket.ok + bucket.not_ok for bucket in late)))
        self.add(done, now)

    def add(self, done: int, now: float) -> None:
        """Take a count; the oldest ones are forgotten."""
        self._samples.append((now, done))
        while len(self._samples) > 1 and now - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()

    def rate(self, now: float) -> float | None:
        """Return items per second; None until it can be told."""
        then, before = self._samples[0]
        ran = self._samples[-1][1] - before
        return ran / (now - then) if ran > 0 and now > then else None


class Watched:
    """Reads the journal again when something in it has changed.

    Args:
        history: of the journal
        run: which run
    """

    def __init__(self, history: History, run: RunRow) -> None:
        self._history = history
        self._run = run
        self._mark: Mark | None = None
        self._counts: dict[Status, int] = {}
        self._retries = 0
        self._leases: list[Lease] = []
        self._problems: dict[Status, tuple[int, list[OutcomeRow]]] = {}
        self._latest: OutcomeRow | None = None
        self._happened = 0
        self._limit: Happening | None = None
        self._stopping: Happening | None = None
        self._workers_lost = 0
        self._pace: Pace | None = None

    def look(self, now: float) -> Look:
        """Return how the run stands at `now`, seconds since 1970.

        Raises:
            JournalError: the journal cannot be read now
            ConfigError: it is another one than at the first look, or the run is not in it any more
        """
        # Taken before the rest is read: what changes in between is seen by the next look.
        mark = self._history.mark()
        if self._mark is not None and mark.file != self._mark.file:
            raise ConfigError(f"journal={self._history.path}: another file has taken its place; watch again")
        if mark != self._mark:
            self._read(now)
            self._mark = mark
        if self._pace is not None:
            self._pace.add(sum(self._counts.values()), now)
        return Look(self._run.state, self._snapshot(now), busy(self._leases, now))

    def _read(self, now: float) -> None:
        history, run = self._history, self._history.run(self._run.uid)
        if run is None:
            raise ConfigError(f"RUN={self._run.name}: is not in {history.path} any more")
        self._run = run
        self._counts = history.counts(run.id)
        earlier = history.earlier_attempts(run.id)
        self._retries = sum(count for status, count in earlier.items() if status != "interrupted")
        self._leases = history.under_way(run.id) if run.state == "running" else []
        for status in _NOT_OK:
            count = self._counts.get(status, 0)
            if count != self._problems.get(status, (0, []))[0]:
                self._problems[status] = (count, history.page(run.id, status=status, order="newest", limit=3).rows)
        self._latest = next(iter(history.page(run.id, order="newest", limit=1).rows), None)
        while happenings := history.happenings(run.id, after=self._happened, limit=_PAGE):
            self._happened = happenings[-1].id
            self._hear(happenings)
        if self._pace is None:
            buckets = history.throughput(run.id) if run.state == "running" else []
            self._pace = Pace(buckets, sum(self._counts.values()), now)

    def _hear(self, happenings: list[Happening]) -> None:
        for each in happenings:
            if each.kind in {"limit", "choice"} and each.number is not None:
                self._limit = each
            elif each.kind == "stopping":
                self._stopping = each
            elif each.kind == "worker":
                self._workers_lost += 1

    def _snapshot(self, now: float) -> Snapshot:
        run, counts = self._run, self._counts
        ended = run.state != "running"
        cancelled = int((run.summary or {}).get("cancelled", 0)) if ended and run.state != "interrupted" else 0
        done = sum(counts.values()) + cancelled
        total = _total(run, done)
        elapsed = max(0.0, (self._end() if ended else now) - run.created)
        rate = self._rate(now, done - cancelled, elapsed, ended=ended)
        stopping = self._why_stopping()
        waits = ended or stopping or not rate or total is None
        return Snapshot(
            name=run.name,
            backend=run.backend,
            workers=run.workers,
            total=total,
            ok=counts.get(Status.OK, 0),
            failed=counts.get(Status.FAILED, 0),
            timed_out=counts.get(Status.TIMED_OUT, 0),
            crashed=counts.get(Status.CRASHED, 0),
            cancelled=cancelled,
            running=len({lease.worker for lease in self._leases}),
            retries=self._retries,
            workers_lost=self._workers_lost,
            rate=rate,
            eta=None if waits or not rate or total is None else (total - done) / rate,
            elapsed=elapsed,
            stopping=stopping,
            ended=ended,
            problems=self._last_problems(),
            limit=None if self._limit is None or self._limit.number is None else int(self._limit.number),
            limit_reason="" if self._limit is None else self._limit.text,
        )

    def _rate(self, now: float, ran: int, elapsed: float, *, ended: bool) -> float | None:
        if not ended:
            return None if self._pace is None else self._pace.rate(now)
        # Of several sessions it is not known how long nothing ran in between.
        return ran / elapsed if ran and elapsed and self._run.sessions == 1 else None

    def _end(self) -> float:
        """Return when it ended; of a run that was killed, when it last gave a sign of life."""
        if self._run.ended is not None:
            return self._run.ended
        return self._run.created if self._latest is None else self._latest.started + self._latest.seconds

    def _why_stopping(self) -> str:
        run = self._run
        if run.state == "interrupted":
            return f"interrupted: process {run.pid} on {run.host} is gone and said no goodbye"
        if run.state != "running":
            return str((run.summary or {}).get("stopped", ""))
        stopping = self._stopping
        if stopping is None:
            return ""
        # It may have been said by an earlier session: after it nothing starts in the same one.
        began = [lease.started for lease in self._leases] + ([self._latest.started] if self._latest else [])
        return "" if any(at > stopping.at for at in began) else stopping.text or "stopped"

    def _last_problems(self) -> tuple[str, ...]:
        rows = sorted((row for _, rows in self._problems.values() for row in rows), key=lambda row: row.id)
        return tuple(map(problem, rows[-_PROBLEMS:]))


def busy(leases: list[Lease], now: float) -> tuple[Busy, ...]:
    """Return what each worker has in hand, who has been at it for longest first."""
    found: dict[str, Busy] = {}
    for lease in leases:
        # A worker is given its next chunk before it is through with the one it works on.
        had = found.get(lease.worker, Busy(lease.worker, 0.0, 0, 1))
        seconds = max(had.seconds, now - lease.started)
        found[lease.worker] = Busy(lease.worker, seconds, had.items + lease.items, max(had.attempt, lease.attempt))
    return tuple(sorted(found.values(), key=lambda each: -each.seconds))


def problem(row: OutcomeRow) -> str:
    """Say how an item ended, in one line."""
    error = f"{row.error_type or ''}: {row.error_message or ''}".strip(": ")
    tries = f" ({row.attempts} attempts)" if row.attempts > 1 else ""
    status = row.status.value.replace("_", " ")
    return one_line(f"item {row.position} {row.label} {status}{tries}: {error}")


def _total(run: RunRow, done: int) -> int | None:
    """A source may give more items than its length said, or (all read) fewer."""
    if run.state != "running" and (run.summary or {}).get("source_ended"):
        return done
    total = total_of(run)
    return None if total is None else max(total, done)
