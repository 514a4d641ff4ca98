"""Events summed up: what a run has done so far, and how fast. Pure: time comes in as an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from raddle._events import (
    AttemptFailed,
    AttemptReported,
    ChunkStarted,
    ItemsEnded,
    LimitChanged,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle._model import Batch, Status
from raddle.progress._text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._events import Observed
    from raddle._model import Outcome, Summary

__all__ = ["Report", "Snapshot", "Stats"]

#: seconds that the rate looks back, as long as there are enough samples in them
_WINDOW = 30.0
_FEWEST_SAMPLES = 8
#: seconds between two samples
_SPACING = 0.25
_PROBLEMS_KEPT = 5
_LABEL = 60
_NOT_OK = tuple(status for status in Status if status is not Status.OK)

# Outcomes come by the thousand; these take their columns at C speed.
_status_of = itemgetter(2)
_resumed_of = itemgetter(11)


@dataclass(frozen=True, slots=True)
class Report:
    """What an item that is under way said of itself last: `raddle.attempt().report(...)`."""

    position: int
    #: short text of the item
    label: str
    #: 0 to 100
    percent: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `done` is the sum of the five statuses and never more than `total`."""

    name: str = ""
    backend: str = ""
    workers: int = 0
    #: None: the source has no length
    total: int | None = None
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    crashed: int = 0
    cancelled: int = 0
    #: of the above, read from the journal
    resumed: int = 0
    #: items under way now, at most one per worker; an estimate: unstarted rests of chunks are given back silently
    running: int = 0
    #: attempts that ended badly and are tried again
    retries: int = 0
    workers_lost: int = 0
    #: items per second of late, resumed ones not counted; None until it can be told
    rate: float | None = None
    #: seconds to the end at this rate; None if it cannot be told
    eta: float | None = None
    #: seconds since the run started
    elapsed: float = 0.0
    #: why nothing more starts; "" while the run goes on
    stopping: str = ""
    ended: bool = False
    #: the last few things that went wrong, oldest first
    problems: tuple[str, ...] = ()
    #: how many workers may be busy at once now; None as long as nothing has changed it
    limit: int | None = None
    #: why
    limit_reason: str = ""
    #: items under way that say how far they are, the one that spoke first at the head
    reports: tuple[Report, ...] = ()

    @property
    def done(self) -> int:
        """Items that have their outcome."""
        return self.ok + self.failed + self.timed_out + self.crashed + self.cancelled

    @property
    def tallies(self) -> list[tuple[int, str]]:
        """What happened besides "ok", in words, without what happened to none."""
        words = (
            (self.failed, "failed"),
            (self.timed_out, "timed out"),
            (self.crashed, "crashed"),
            (self.cancelled, "cancelled"),
            (self.resumed, "resumed"),
            (self.retries, "retried"),
            (self.workers_lost, "workers lost"),
        )
        return [(count, word) for count, word in words if count]

    @property
    def fraction(self) -> float | None:
        """Part of the total that is done, 0 to 1; None if the total is not known."""
        if self.total is None:
            return None
        return self.done / self.total if self.total else 1.0


class Stats:
    """Adds up a run's events. Not an observer itself: `add(event, now)` is told the time."""

    def __init__(self) -> None:
        self._run = RunStarted("", "", 0, None)
        self._counts = dict.fromkeys(Status, 0)
        self._resumed = self._given = self._retries = self._workers_lost = 0
        self._stopping = ""
        self._summary: Summary | None = None
        self._began: float | None = None
        self._ended = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._problems: deque[str] = deque(maxlen=_PROBLEMS_KEPT)
        self._limit: LimitChanged | None = None
        self._reports: dict[int, Report] = {}

    def add(self, event: Observed, now: float) -> None:  # noqa: C901 - one case for each event
        """Take an event that happened at `now` (seconds on a clock that never goes back)."""
        if self._began is None:
            self._began = now
            self._samples.append((now, 0))
        match event:
            case ItemsEnded(outcomes):
                self._items_ended(outcomes)
                self._sample(now)
            case ChunkStarted():
                self._given += event.items
            case AttemptReported(position, item, _, percent, note):
                self._reports[position] = Report(position, short(item, _LABEL), percent, note)
            case AttemptFailed():
                self._retries += 1
                self._reports.pop(event.position, None)
            case WorkerReplaced():
                self._workers_lost += 1
                self._problems.append(f"{event.worker}: {event.reason}")
            case RunStarted():
                self._run = event
            case RunStopping():
                self._stopping = event.reason or "stopped"
            case LimitChanged():
                self._limit = event
            case RunEnded(summary):
                self._summary, self._ended = summary, now
                self._reports.clear()

    def snapshot(self, now: float) -> Snapshot:
        """Return the state at `now`."""
        counts = self._final() if self._summary else self._counts
        done = sum(counts.values())
        total = self._total(done)
        rate = self._rate(now)
        ended = self._summary is not None
        left = None if total is None else total - done
        return Snapshot(
            name=self._run.name,
            backend=self._run.backend,
            workers=self._run.workers,
            total=total,
            ok=counts[Status.OK],
            failed=counts[Status.FAILED],
            timed_out=counts[Status.TIMED_OUT],
            crashed=counts[Status.CRASHED],
            cancelled=counts[Status.CANCELLED],
            resumed=self._summary.resumed if self._summary else self._resumed,
            running=0 if ended else self._running(left),
            retries=self._retries,
            workers_lost=self._workers_lost,
            rate=rate,
            eta=None if ended or self._stopping or not rate or left is None else left / rate,
            elapsed=0.0 if self._began is None else (self._ended if ended else now) - self._began,
            stopping=self._summary.stopped if self._summary else self._stopping,
            ended=ended,
            problems=tuple(self._problems),
            limit=None if self._limit is None else self._limit.limit,
            limit_reason="" if self._limit is None else self._limit.reason,
            reports=tuple(self._reports.values()),
        )

    def _items_ended(self, outcomes: Sequence[Outcome]) -> None:
        if isinstance(outcomes, Batch) and not self._reports:
            self._counts[Status.OK] += len(outcomes)
            return
        statuses = list(map(_status_of, outcomes))
        ok = statuses.count(Status.OK)
        self._counts[Status.OK] += ok
        self._resumed += sum(map(_resumed_of, outcomes))
        if self._reports:
            for outcome in outcomes:
                self._reports.pop(outcome.position, None)
        if ok < len(statuses):
            for status in _NOT_OK:
                self._counts[status] += statuses.count(status)
            bad = [outcome for outcome in outcomes if outcome.status not in (Status.OK, Status.CANCELLED)]
            for outcome in bad[-_PROBLEMS_KEPT:]:
                self._problems.append(f"item {outcome.position} {outcome.status.value}: {outcome.error or ''}")

    def _final(self) -> dict[Status, int]:
        """The summary is the truth: it also has what ended without an event, such as items never started."""
        summary = self._summary
        return self._counts if summary is None else {status: getattr(summary, status.value) for status in Status}

    def _total(self, done: int) -> int | None:
        """A source may give more items than its length said, or (all read) fewer."""
        if self._summary is not None and self._summary.source_ended:
            return done
        return None if self._run.total is None else max(self._run.total, done)

    def _ran(self) -> int:
        return sum(self._counts.values()) - self._counts[Status.CANCELLED] - self._resumed

    def _running(self, left: int | None) -> int:
        in_hand = max(0, self._given - self._retries - self._ran())
        return min(in_hand, self._run.workers, in_hand if left is None else left)

    def _sample(self, now: float) -> None:
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < _SPACING:
            samples[-1] = (now, self._ran())
        else:
            samples.append((now, self._ran()))
        while len(samples) > _FEWEST_SAMPLES and now - samples[1][0] > _WINDOW:
            samples.popleft()

    def _rate(self, now: float) -> float | None:
        if self._summary is not None and self._began is not None:
            then, before = self._began, 0
            now = self._ended
        elif self._samples:
            then, before = self._samples[0]
        else:
            return None
        ran = self._ran() - before
        return ran / (now - then) if ran > 0 and now > then else None
