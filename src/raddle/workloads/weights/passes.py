"""The three passes over the users, each a `raddle.run`: filter, look back, draw.

chunks ─▶ filter_chunk ─▶ parts ─▶ state (in order)
                            └───▶ look_back, at lower priority, beside the filtering, in a pool of its own
parts ─▶ draw_page, a page at a time, each with its timeout
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raddle
from raddle import errors
from raddle.workloads.weights.work import (
    ChunkDone,
    FilterJob,
    PageJob,
    RetroJob,
    draw_page,
    filter_chunk,
    is_drawn,
    look_back,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from raddle.workloads.weights.options import RunOptions
    from raddle.workloads.weights.pools import Pools

__all__ = ["Drawn", "draw_pages", "filter_chunks", "look_back_at"]

#: users up to which each gets a line of progress
_FEW = 10
#: lines of progress when nothing else is asked for
_LINES = 20


def filter_chunks(
    jobs: Iterable[FilterJob], count: int, options: RunOptions, pools: Pools, engine: dict[str, Any]
) -> Iterator[tuple[FilterJob, ChunkDone | None, str]]:
    """Filter chunks; yield each in order with what is told of it, or None and the error.

    `engine` takes the engine's own summary when all is done.
    """
    with raddle.run(
        filter_chunk,
        _Sized(jobs, count),
        backend="serial" if pools.users_serial else _threads(options.backend),
        workers=1 if pools.users_serial else pools.users,
        id=attrgetter("id"),
        journal=options.journal,
        name=options.name,
        resume=options.resume,
        progress="live" if options.progress == "live" else None,
    ) as run:
        for outcome in run:
            job: FilterJob = outcome.item
            if outcome.ok and outcome.resumed and not Path(job.part).exists():
                yield job, filter_chunk(job), ""  # its part went with an earlier run's work folder
            elif outcome.ok:
                yield job, outcome.value, ""
            else:
                yield job, None, str(outcome.error or outcome.status.value)
    engine.update(asdict(run.summary))


def _threads(backend: str) -> Any:
    # the kernel lets go of the interpreter lock, so threads are as quick, and start at once
    return "threads" if backend == "auto" else backend


def look_back_at(jobs: Iterator[RetroJob], pools: Pools) -> dict[str, ChunkDone]:
    """Look at parts with hindsight, as they come, at lower priority; return what is told, by id.

    Raises:
        RaddleError: a part could not be looked at
    """
    done: dict[str, ChunkDone] = {}
    with raddle.run(
        look_back,
        jobs,
        backend="threads",
        workers=pools.retro,
        id=attrgetter("id"),
        initializer=step_back,
        window=2 * pools.retro,
    ) as run:
        for outcome in run:
            if not outcome.ok:
                name = Path(outcome.item.part).name
                raise errors.RaddleError(f"the retrospective pass failed at {name}: {outcome.error}")
            done[outcome.item.id] = outcome.value
    return done


def step_back() -> None:
    """Let other threads have the CPU first. Linux gives each thread a niceness of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


@dataclass(slots=True)
class Drawn:
    """What came of the pages."""

    drawn: int = 0
    #: already there, of an earlier run that this one resumes
    kept: int = 0
    #: job, status, error, traceback
    failed: list[tuple[PageJob, str, str, str]] = field(default_factory=list)


def draw_pages(
    jobs: Sequence[PageJob],
    options: RunOptions,
    pools: Pools,
    *,
    draw: Callable[[PageJob], None] = draw_page,
) -> Drawn:
    """Draw pages. One that fails, or takes too long, is told; the others go on."""
    wanted = [job for job in jobs if not is_drawn(job)] if options.resume else list(jobs)
    drawn = Drawn(kept=len(jobs) - len(wanted))
    if not wanted:
        return drawn
    table = options.config.visualization.threading
    with (
        _lines(len(wanted), table.batch_size, shown=options.progress == "line") as tell,
        raddle.run(
            draw,
            wanted,
            backend="serial" if pools.pages_serial else options.backend,
            workers=pools.pages,
            timeout=options.timeout
            or (None if pools.pages_serial or options.backend == "serial" else table.timeout_seconds),
            id=attrgetter("mark"),
            ordered=False,
            progress="live" if options.progress == "live" else None,
        ) as run,
    ):
        for outcome in run:
            if outcome.ok:
                drawn.drawn += 1
            else:
                error = outcome.error
                trace = (error.traceback if error else "") or ""
                drawn.failed.append((outcome.item, outcome.status.value, str(error or ""), trace))
            tell(outcome)
    drawn.failed.sort(key=lambda failed: failed[0].user)
    return drawn


@contextmanager
def _lines(total: int, batch: int, *, shown: bool) -> Iterator[Callable[[raddle.Outcome], None]]:
    """Say on standard error how far the pages are: each user when they are few, every batch when they are many."""
    ended = 0
    every = batch or max(_FEW, total // _LINES)

    def tell(outcome: raddle.Outcome) -> None:
        nonlocal ended
        ended += 1
        if not shown:
            return
        if total <= _FEW:
            mark = "✓" if outcome.ok else f"✗ ({outcome.error or outcome.status.value})"
            _say(f"  [{ended}/{total}] User {_short(outcome.item.user)} {mark}")
        elif ended % every == 0 or ended == total:
            _say(f"  Progress: {ended}/{total}")

    yield tell


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _short(user: str) -> str:
    return user if len(user) <= _FEW else f"{user[:8]}..."


@dataclass(frozen=True, slots=True)
class _Sized:
    """An iterable that knows its length, so that progress knows the end."""

    items: Iterable[Any]
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)
