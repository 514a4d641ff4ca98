"""The writer thread: it owns the only read-write connection, and commits what is queued in groups."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._events import Event, Recorded, RunFailed
from raddle.errors import ConfigError, JournalError
from raddle.journal import _explain, _sql
from raddle.journal._apply import Positions, apply
from raddle.journal._happenings import Happenings
from raddle.journal._session import (
    Job,
    Options,
    Session,
    add_happenings,
    end_session,
    start_session,
    transaction,
)
from raddle.journal._stretches import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from raddle._model import Summary
    from raddle._ports import RunHeader
    from raddle.journal._happenings import Happened
    from raddle.journal._lock import Witness

__all__ = ["Stop", "Writer"]

_GROUP_BYTES = 16 << 20
# Seconds that a happening waits for a group commit to go with, before it gets one of its own.
_PATIENCE = 1.0
# With less a power cut may take what was acknowledged, and the witness must not promise more than the disk.
_DURABLE = ("EXTRA", "FULL")


@dataclass(frozen=True, slots=True)
class Stop:
    """The last thing the writer hears."""

    summary: Summary | None


class Writer(threading.Thread):
    """Started by `begin`; ends after a `Stop`, or when the session cannot be started."""

    def __init__(
        self, options: Options, header: RunHeader, *, resume: bool, put: Callable[[Event], None], witness: Witness
    ) -> None:
        super().__init__(name="raddle-journal", daemon=True)
        #: None: there are happenings to write
        self.queue: queue.SimpleQueue[Job | Stop | None] = queue.SimpleQueue()
        self.happenings = Happenings(self._wake)
        self._options = options
        self._header = header
        self._resume = resume
        self._put = put
        self._witness = witness
        self._positions = Positions()
        self._highest = 0
        self._begun: queue.SimpleQueue[Session | Exception] = queue.SimpleQueue()

    def begin(self) -> Session:
        """Start the thread and the session."""
        self.start()
        answer = self._begun.get()
        if isinstance(answer, Exception):
            self.join()
            raise answer
        return answer

    def run(self) -> None:
        """Live as long as the session."""
        options, conn = self._options, None
        try:
            self._witness.check(_sql.inspect(options.path))
            conn = _sql.connect_writer(
                options.path, synchronous=options.synchronous, checkpoint_pages=options.checkpoint_pages
            )
            session = start_session(conn, options.path, self._header, resume=self._resume)
            self._bear_witness(session, session.highest)
        except Exception as error:  # noqa: BLE001 - a thread's end: everything goes to the caller of begin()
            if conn is not None:
                conn.close()
            self._begun.put(error)
            return
        self._begun.put(session)
        try:
            self._serve(conn, session, Bounds(session.wall_offset, session.highest))
        finally:
            # Closing may try one more checkpoint; what is committed is safe in the log without it.
            with suppress(sqlite3.Error):
                conn.close()

    def _serve(self, conn: sqlite3.Connection, session: Session, bounds: Bounds) -> None:
        failed = False
        due: float | None = None
        while not isinstance(job := self._get(due), Stop):
            if failed:
                continue  # nothing after a failure is committed
            if job is None:
                due = self._commit_happenings(conn, session, due)
                continue
            due = None
            try:
                self._commit_group(conn, session, job, bounds)
            except Exception as error:  # noqa: BLE001 - a thread's end: whatever it is, the run must hear of it
                failed = True
                self._put(RunFailed(_as_public(self._options.path, error)))
        if failed:
            return
        try:
            end_session(conn, session, job.summary, self.happenings.take())
        except sqlite3.Error as error:
            self._put(RunFailed(_explain.explain(self._options.path, error)))

    def _wake(self) -> None:
        self.queue.put(None)

    def _get(self, due: float | None) -> Job | Stop | None:
        """Wait for what comes next: None if it is a wake, or if it is time for what was woken for."""
        if due is None:
            return self.queue.get()
        try:
            return self.queue.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            return None

    def _commit_happenings(self, conn: sqlite3.Connection, session: Session, due: float | None) -> float | None:
        """Commit happenings for which there was no group commit to go with; return when to do that, if not yet."""
        now = time.monotonic()
        if due is None:
            return now + _PATIENCE
        if now < due:
            return due
        # They are for people. If the disk fails, the next outcome will tell, and a run without one loses nothing.
        with suppress(sqlite3.Error), transaction(conn):
            add_happenings(conn, session, self.happenings.take())
        return None

    def _commit_group(self, conn: sqlite3.Connection, session: Session, first: Job, bounds: Bounds) -> None:
        """Commit the first job and all that is queued behind it, up to the limits of a group.

        A lone record never waits for company: while it is being synced to disk, the next ones pile up by themselves.
        """
        done: list[Job] = []
        added = 0
        happened: list[Happened] = []
        try:
            with transaction(conn):
                for jobs in self._batches(first):
                    done += jobs
                    for job in jobs:
                        self._positions.add(job.record.outcomes)
                    added += apply(conn, session, self._options, jobs, bounds)
                happened = self.happenings.take()
                add_happenings(conn, session, happened)
        except (sqlite3.IntegrityError, ConfigError):
            # Rolled back as one; what came before the guilty record is innocent.
            self.happenings.put_back(happened)
            if happened:
                self._wake()
            for job in done:
                bounds.forget(self._highest)
                with transaction(conn):
                    added = apply(conn, session, self._options, [job], bounds)
                self._bear_witness(session, self._highest + added)
                self._put(Recorded(job.record.ticket))
            return
        self._bear_witness(session, self._highest + added)
        self._put(Recorded(done[-1].record.ticket))

    def _bear_witness(self, session: Session, highest: int) -> None:
        self._highest = highest
        if self._options.synchronous in _DURABLE:
            self._witness.write(session.journal, highest)

    def _batches(self, first: Job) -> Iterator[list[Job]]:
        deadline = time.monotonic() + self._options.group_seconds
        rows, size = _extent(first)
        jobs = [first]
        while jobs:
            while rows < self._options.group_rows and size < _GROUP_BYTES and (job := self._next()) is not None:
                more_rows, more_size = _extent(job)
                rows, size = rows + more_rows, size + more_size
                jobs.append(job)
            yield jobs
            full = rows >= self._options.group_rows or size >= _GROUP_BYTES or time.monotonic() > deadline
            jobs = [] if full or (job := self._next()) is None else [job]
            if jobs:
                more_rows, more_size = _extent(jobs[0])
                rows, size = rows + more_rows, size + more_size

    def _next(self) -> Job | None:
        job = None
        while job is None:  # a wake: this group takes what it was for
            try:
                job = self.queue.get_nowait()
            except queue.Empty:
                return None
        if isinstance(job, Stop):
            self.queue.put(job)  # close() puts it last, so that it is alone in the queue
            return None
        return job


def _extent(job: Job) -> tuple[int, int]:
    record = job.record
    rows = len(record.outcomes) + len(record.retried) + len(record.ended) + (record.lease is not None)
    return rows, sum(len(stored) for _, stored in record.outcomes)


def _as_public(path: Path, error: BaseException) -> JournalError | ConfigError:
    if isinstance(error, ConfigError):
        return error
    public = _explain.explain(path, error)
    public.__cause__ = error if public is not error else error.__cause__
    return public
