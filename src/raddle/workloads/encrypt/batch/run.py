"""A batch: `raddle.run` over jobs, with outputs that the journal and the folder agree on.

An item that the journal knows and whose output has gone is done again, in a second run that needs no journal: for the
journal it is done, and if that run is cut off, the next resume finds the output missing again.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import raddle
from raddle.workloads.encrypt.age.errors import TargetExists
from raddle.workloads.encrypt.batch.plan import content_id
from raddle.workloads.encrypt.batch.work import Trace, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from raddle.workloads.encrypt.batch.plan import Job
    from raddle.workloads.encrypt.batch.work import Work

    Tell = Callable[[raddle.Outcome], object]

__all__ = ["BatchOptions", "run_batch"]

#: files between source and consumer: with a journal so many digests are made ahead
_WINDOW = 64
#: ways to end that the journal may not know, or after which a thread may still have gone on and published
_OPEN_ENDS = ("cancelled", "timed_out", "crashed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Options of the run, by their names in `raddle.run`."""

    name: str
    backend: str = "auto"
    workers: int = 0
    timeout: float | None = None
    on_error: Literal["skip", "fail"] = "skip"
    journal: Path | None = None
    resume: bool | Literal["failed"] = False
    progress: str | None = None
    memory: str | None = "auto"


def run_batch(work: Work, jobs: Sequence[Job], options: BatchOptions, tell: Tell) -> Counter[str]:
    """Do all jobs; tell every outcome, in the order of the jobs but for those that are done again.

    Returns:
        how many ended in which way: by status, and "resumed" of them

    Raises:
        ConfigError, JournalError: as `raddle.run`
    """
    totals: Counter[str] = Counter()
    gone: list[raddle.Outcome] = []

    def take(outcome: raddle.Outcome) -> None:
        if outcome.resumed and outcome.ok:
            if not os.path.lexists(outcome.item.target):
                gone.append(outcome)
                return
            outcome = _compared(outcome)
        totals[outcome.status.value] += 1
        totals["resumed"] += outcome.resumed
        tell(outcome)

    stopped = _run(work, jobs, options, take)
    if stopped:
        for outcome in gone:
            take(outcome._replace(status=raddle.Status.CANCELLED, value=None, resumed=False))
    elif gone:
        _run(work, [outcome.item for outcome in gone], replace(options, journal=None, resume=False), take)
    if work.published is not None and not any(totals[how] for how in _OPEN_ENDS):
        work.published.remove()
    return totals


def _run(work: Work, jobs: Sequence[Job], options: BatchOptions, take: Tell) -> str:
    sketching = isinstance(work, Trace)
    backend = options.backend
    if backend == "auto":
        # the cipher leaves the interpreter lock; pictures are hostile bytes in native decoders, which only the end of
        # a process stops
        backend = "processes" if sketching else "threads"
    with raddle.run(
        work,
        _Sized(jobs, identified=options.journal is not None),
        backend=backend,
        workers=options.workers,
        timeout=options.timeout,
        on_error=options.on_error,
        id=attrgetter("content") if options.journal else None,
        journal=options.journal,
        name=options.name,
        resume=options.resume,
        progress=options.progress,
        memory=options.memory,
        window=max(_WINDOW, 4 * options.workers),
        initializer=warm if sketching else None,
    ) as run:
        for outcome in run:
            take(outcome)
    return run.summary.stopped


def _compared(outcome: raddle.Outcome) -> raddle.Outcome:
    """Whether the output that the journal knows still has its size."""
    job, wrote = outcome.item, outcome.value.get("bytes") if isinstance(outcome.value, dict) else None
    size = os.lstat(job.target).st_size
    if size == wrote:
        return outcome
    message = (
        f"target={job.target!r} has {size:,} bytes and had {wrote:,} when it was written: move it away, and resume"
        if isinstance(wrote, int)
        else f"target={job.target!r}: the journal does not say what was written; take another --name"
    )
    kind = f"{TargetExists.__module__}.{TargetExists.__qualname__}"
    return outcome._replace(status=raddle.Status.FAILED, value=None, error=raddle.ErrorInfo(kind, message))


@dataclass(frozen=True, slots=True)
class _Sized:
    """Jobs with a length and no more: a digest of every file before the first one starts is not wanted.

    Digests are made where the source is read, in a thread of its own.
    """

    jobs: Sequence[Job]
    identified: bool

    def __len__(self) -> int:
        return len(self.jobs)

    def __iter__(self) -> Iterator[Job]:
        return (replace(job, content=content_id(job)) if self.identified else job for job in self.jobs)
