"""A job while it runs."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.classify.service.queries import Item, JobRow, Stored

__all__ = ["Job", "Work", "describe"]

#: outcomes kept for streams that are up to date; those that are behind read the database
TAIL: Final = 256


@dataclass(slots=True, eq=False)
class Job:
    """What the server knows of an unfinished job without asking the database."""

    row: JobRow
    columns: dict[str, Any]
    #: items of one `data:` line, of which the log tells; 0: nothing is told
    batch: int = 0
    state: str = "running"
    done: int = 0
    failed: int = 0
    #: of this session: when the first item started, and how many were done by then
    started: float | None = None
    done_before: int = 0
    #: items read ahead, and where reading goes on
    ahead: deque[Item] = field(default_factory=deque)
    cursor: int = -1
    #: positions with an outcome that is not stored yet
    waiting: set[int] = field(default_factory=set)
    calls: set[asyncio.Task[Any]] = field(default_factory=set)
    tail: deque[Stored] = field(default_factory=lambda: deque(maxlen=TAIL))
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state != "running"

    def cancelled(self) -> bool:
        """Whether it was ended early; a method, since it may become true while somebody waits."""
        return self.state == "cancelled"

    def ring(self) -> None:
        """Wake all who wait for news of it."""
        bell, self.bell = self.bell, asyncio.Event()
        bell.set()

    def recent(self, after: int) -> list[Stored] | None:
        """Return the outcomes after a number; None: the database has to be asked."""
        if after >= self.done:
            return []
        if not self.tail or self.tail[0].seq > after + 1:
            return None
        return [one for one in self.tail if one.seq > after]

    def add(self, stored: list[Stored]) -> None:
        """Take note of outcomes that are stored."""
        self.tail.extend(stored)
        self.done += len(stored)
        self.failed += sum(one.status != "ok" for one in stored)

    def rewind(self) -> None:
        """Hand out again what has no outcome: the run over the items broke."""
        self.ahead.clear()
        self.cursor = -1


@dataclass(slots=True, frozen=True, eq=False)
class Work:
    """One item on its way through the window."""

    job: Job
    item: Item


def describe(row: JobRow, job: Job | None, now: float) -> dict[str, Any]:
    """Return what clients may know of a job; `now` is on the clock of `job.started`."""
    state, done, failed = (row.state, row.done, row.failed) if job is None else (job.state, job.done, job.failed)
    if job is not None and state == "running" and job.started is None:
        state = "queued"
    eta = None
    if job is not None and job.started is not None and done > job.done_before:
        eta = round((row.total - done) * (now - job.started) / (done - job.done_before), 1)
    return {
        "id": row.id,
        "state": state,
        "mode": row.mode,
        "total": row.total,
        "done": done,
        "ok": done - failed,
        "failed": failed,
        "eta_seconds": eta if state == "running" else None,
        "created": row.created,
        "ended": row.ended,
        "links": {name: f"/jobs/{row.id}/{name}" for name in ("events", "results")},
    }
