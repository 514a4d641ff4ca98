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
from raddle.journal._session import Job, Options, Session, end_session, start_session, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from raddle._model import Summary
    from raddle._ports import RunHeader
    from raddle.journal._lock import Witness

__all__ = ["Stop", "Writer"]

_GROUP_BYTES = 16 << 20
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
        self.queue: queue.SimpleQueue[Job | Stop] = queue.SimpleQueue()
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
            self._serve(conn, session)
        finally:
            # Closing may try one more checkpoint; what is committed is safe in the log without it.
            with suppress(sqlite3.Error):
                conn.close()

    def _serve(self, conn: sqlite3.Connection, session: Session) -> None:
        failed = False
        while not isinstance(job := self.queue.get(), Stop):
            if failed:
                continue  # nothing after a failure is committed
            try:
                self._commit_group(conn, session, job)
            except Exception as error:  # noqa: BLE001 - a thread's end: whatever it is, the run must hear of it
                failed = True
                self._put(RunFailed(_as_public(self._options.path, error)))
        if failed:
            return
        try:
            end_session(conn, session, job.summary)
        except sqlite3.Error as error:
            self._put(RunFailed(_explain.explain(self._options.path, error)))

    def _commit_group(self, conn: sqlite3.Connection, session: Session, first: Job) -> None:
        """Commit the first job and all that is queued behind it, up to the limits of a group.

        A lone record never waits for company: while it is being synced to disk, the next ones pile up by themselves.
        """
        done: list[Job] = []
        added = 0
        try:
            with transaction(conn):
                for jobs in self._batches(first):
                    done += jobs
                    for job in jobs:
                        self._positions.add(job.record.outcomes)
                    added += apply(conn, session, self._options, jobs)
        except (sqlite3.IntegrityError, ConfigError):
            # Rolled back as one; what came before the guilty record is innocent.
            for job in done:
                with transaction(conn):
                    added = apply(conn, session, self._options, [job])
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
