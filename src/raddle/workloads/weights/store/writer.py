"""The one thread that writes, with the one connection that may."""

from __future__ import annotations

import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.store.audit import Earlier, audit, earlier
from raddle.workloads.weights.store.encode import encode, layout, readings_of
from raddle.workloads.weights.store.history import of_users

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.store.encode import Layout, Rows
    from raddle.workloads.weights.values import Revised

__all__ = ["Ingest", "Writer"]

_TABLES: Final = {
    "snapshots": 16,
    "history": 6,
    "results": 4,
    "resets": 9,
    "revisions": 17,
    "replays": 10,
    "readings": 14,
}
_STORED: Final = "SELECT user_id FROM snapshots WHERE user_id IN ({marks}) AND ingest = ?"
_COUNTS: Final = """
    SELECT user_id, sum(count) FROM history
    WHERE user_id IN ({marks}) AND file IN (SELECT number FROM files WHERE finished) GROUP BY user_id"""
_QUEUED: Final = 4  # parts; whoever puts the next one waits


@dataclass(frozen=True, slots=True)
class Ingest:
    """What the writer must know of the ingest under way."""

    number: int
    #: the state holds earlier ones
    appends: bool
    readings: bool


@dataclass(frozen=True, slots=True)
class _Put:
    part: Part
    revised: Revised | None
    ingest: Ingest


_Call = tuple["Callable[[sqlite3.Connection], Any]", "Future[Any]"]


class Writer:
    """Stores parts in the order they are put, and commits whenever `batch_size` users have come together.

    A user's rows are always in one commit. The thread is started by the first part; until then calls are done at once.
    """

    def __init__(self, connection: sqlite3.Connection, batch_size: int) -> None:
        self._connection = connection
        self._batch_size = batch_size
        self._jobs: queue.Queue[_Put | _Call | None] = queue.Queue(_QUEUED)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._held = 0  # users in the open transaction
        self._error: BaseException | None = None
        #: made so far
        self.commits = 0

    def put(self, part: Part, revised: Revised | None, ingest: Ingest) -> None:
        """Hand a part over; wait while too many are queued.

        Raises:
            Exception: what went wrong with an earlier part
        """
        if self._error is not None:
            raise self._error
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="raddle-weights-state", daemon=True)
                self._thread.start()
        self._jobs.put(_Put(part, revised, ingest))

    def call(self, function: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do something with the connection after all that was put is committed, and return what it returns."""
        with self._lock:
            if self._thread is None:
                if self._error is not None:
                    raise self._error
                return function(self._connection)
        answer: Future[Any] = Future()
        self._jobs.put((function, answer))
        return answer.result()

    def stop(self) -> None:
        """End the thread, with all that was put committed, and raise what went wrong. `put` starts another one."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join()
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        # After an error the queue is still emptied, or those who put would wait for ever.
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Put):
                self._guarded(partial(self._store, job))
                continue
            function, answer = job
            self._guarded(self._commit)
            try:
                if self._error is not None:
                    raise self._error
                answer.set_result(function(self._connection))
            except BaseException as error:  # noqa: BLE001 - a thread's edge: it is raised where call() waits
                answer.set_exception(error)
        self._guarded(self._commit)

    def _guarded(self, action: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - a thread's edge: the next put() and stop() raise it
            self._error = error
            with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                self._connection.execute("ROLLBACK")

    def _store(self, job: _Put) -> None:
        part, ingest = job.part, job.ingest
        lay = layout(part.chunk)
        users = part.chunk.users
        known = Earlier()
        if ingest.appends:
            known = earlier(self._connection, users, ingest.number)
            _all_there(self._connection, part, lay)
        again = {row[0] for row in of_users(self._connection, _STORED, users, ingest.number)}
        tables = encode(part, job.revised, ingest.number, lay) | audit(part, job.revised, ingest.number, lay, known)
        if ingest.readings:
            tables["readings"] = readings_of(part, job.revised, ingest.number, lay)
        first = 0
        while first < len(users):
            end = min(len(users), first + self._batch_size - self._held)
            self._insert(tables, first, end, [user for user in users[first:end] if user in again], ingest.number)
            first = end

    def _insert(self, tables: dict[str, Rows], first: int, end: int, again: Sequence[str], ingest: int) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        for table, rows in tables.items():
            if again:
                old = [(user, ingest) for user in again]
                self._connection.executemany(f"DELETE FROM {table} WHERE user_id = ? AND ingest = ?", old)  # noqa: S608 - own names
            self._connection.executemany(_insert_into(table), rows.of(first, end))
        self._held += end - first
        if self._held >= self._batch_size:
            self._commit()

    def _commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
            self.commits += 1
        self._held = 0


def _insert_into(table: str) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * _TABLES[table])})"  # noqa: S608 - own names and question marks


def _all_there(connection: sqlite3.Connection, part: Part, lay: Layout) -> None:
    """See that a part has all earlier readings of its users, since results are kept for all of them together."""
    earlier_rows = np.bincount(lay.user[~part.fresh], minlength=len(part.chunk.users)).tolist()
    had = {row[0]: row[1] for row in of_users(connection, _COUNTS, part.chunk.users)}
    for user, count in zip(part.chunk.users, earlier_rows, strict=True):
        if had.get(user, 0) != count:
            has = had.get(user, 0)
            raise ValueError(f"user={user!r}: rows={count} of earlier files, the state has {has}: merge its history")
