"""What is asked of the job database. Blocking: called in the store's threads, writes in one transaction each."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

__all__ = [
    "Item",
    "JobRow",
    "NewOutcome",
    "Stored",
    "add_job",
    "add_outcomes",
    "end_job",
    "forget",
    "job",
    "latest_jobs",
    "outcomes",
    "pending",
    "pulse",
    "results",
    "unfinished",
]


class JobRow(NamedTuple):
    """A job as it is stored."""

    id: str
    created: float
    ended: float | None
    state: str
    mode: str
    columns: str
    attached: int
    total: int
    done: int
    failed: int


class Item(NamedTuple):
    """An item as it is stored."""

    position: int
    id: str
    row: str
    picture: bytes | None


class NewOutcome(NamedTuple):
    """An outcome that has no number yet."""

    job: str
    position: int
    status: str
    body: str


class Stored(NamedTuple):
    """An outcome that nobody can lose any more."""

    seq: int
    position: int
    status: str
    body: str


_JOB = "SELECT id, created, ended, state, mode, columns, attached, total, done, failed FROM jobs"


def add_job(con: sqlite3.Connection, row: JobRow, items: Iterable[Item]) -> None:
    """Store a job with all its items."""
    con.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    con.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", ((row.id, *item) for item in items))


def add_outcomes(con: sqlite3.Connection, new: Sequence[NewOutcome], now: float) -> dict[str, list[Stored]]:
    """Number and store outcomes; what an item has already is kept. Return those that were stored, by job."""
    by_job: defaultdict[str, list[NewOutcome]] = defaultdict(list)
    for outcome in new:
        by_job[outcome.job].append(outcome)
    stored: dict[str, list[Stored]] = {}
    for name, group in by_job.items():
        found = con.execute("SELECT done, failed FROM jobs WHERE id = ? AND state = 'running'", (name,)).fetchone()
        if found is None:
            continue  # cancelled meanwhile: its clients have been told that nothing more comes
        done, failed = found
        mine = stored[name] = []
        for _, position, status, body in group:
            one = Stored(done + 1, position, status, body)
            if con.execute("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?, ?)", (name, *one)).rowcount == 1:
                mine.append(one)
                done += 1
                failed += status != "ok"
        con.execute(
            "UPDATE jobs SET done = ?1, failed = ?2, state = iif(?1 = total, 'done', state),"
            " ended = iif(?1 = total, ?3, ended) WHERE id = ?4",
            (done, failed, now, name),
        )
    return stored


def end_job(con: sqlite3.Connection, name: str, state: str, now: float) -> bool:
    """End a job early; say whether it was still running."""
    sql = "UPDATE jobs SET state = ?, ended = ? WHERE id = ? AND state = 'running'"
    return con.execute(sql, (state, now, name)).rowcount == 1


def job(con: sqlite3.Connection, name: str) -> JobRow | None:
    """Return a job, None if there is no such one."""
    found = con.execute(f"{_JOB} WHERE id = ?", (name,)).fetchone()
    return None if found is None else JobRow(*found)


def latest_jobs(con: sqlite3.Connection, limit: int) -> list[JobRow]:
    """Return the newest jobs, newest first."""
    return [JobRow(*row) for row in con.execute(f"{_JOB} ORDER BY created DESC, id LIMIT ?", (limit,))]


def unfinished(con: sqlite3.Connection) -> list[JobRow]:
    """Return the jobs that still run, oldest first."""
    return [JobRow(*row) for row in con.execute(f"{_JOB} WHERE state = 'running' ORDER BY created, id")]


def pending(con: sqlite3.Connection, name: str, after: int, limit: int) -> list[Item]:
    """Return items beyond a position that have no outcome, in input order."""
    sql = (
        "SELECT position, id, row, picture FROM items WHERE job = ?1 AND position > ?2 AND NOT EXISTS"
        " (SELECT 1 FROM outcomes WHERE job = ?1 AND outcomes.position = items.position) ORDER BY position LIMIT ?3"
    )
    return [Item(*row) for row in con.execute(sql, (name, after, limit))]


def outcomes(con: sqlite3.Connection, name: str, after: int, limit: int) -> list[Stored]:
    """Return outcomes in the order in which they came, those after a number."""
    sql = "SELECT seq, position, status, body FROM outcomes WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?"
    return [Stored(*row) for row in con.execute(sql, (name, after, limit))]


def results(con: sqlite3.Connection, name: str, after: int, limit: int) -> list[Stored]:
    """Return outcomes in input order, those beyond a position."""
    sql = "SELECT seq, position, status, body FROM outcomes WHERE job = ? AND position > ? ORDER BY position LIMIT ?"
    return [Stored(*row) for row in con.execute(sql, (name, after, limit))]


def forget(con: sqlite3.Connection, before: float) -> int:
    """Delete the jobs that ended before an instant."""
    return con.execute("DELETE FROM jobs WHERE ended < ?", (before,)).rowcount


def pulse(con: sqlite3.Connection, now: float) -> None:
    """Write something, to see whether that works."""
    con.execute("INSERT OR REPLACE INTO pulse VALUES (1, ?)", (now,))


def columns_of(row: JobRow) -> dict[str, Any]:
    """Return the columns that the client named."""
    named: dict[str, Any] = json.loads(row.columns)
    return named
