"""What one session writes: how it begins, what it records, how it ends. Runs in the writer thread."""

from __future__ import annotations

import json
import os
import platform
import socket
import sqlite3
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from raddle._model import Outcome, Status, Summary
from raddle.errors import ConfigError, JournalError
from raddle.journal import _rows, _sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from raddle._ports import Lease, Record, RunHeader

__all__ = [
    "Job",
    "Options",
    "Session",
    "apply",
    "end_session",
    "refuse_other_function",
    "same_id_twice",
    "start_session",
    "transaction",
]

# A reader that sits in a transaction may keep the last checkpoint from emptying the log; that costs disk, no data.
_TRUNCATE_WAIT_MS = 500
_COUNTED = -1


@dataclass(frozen=True, slots=True)
class Options:
    """How the writer works."""

    path: Path
    group_rows: int
    group_seconds: float
    inline_bytes: int
    synchronous: str


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a run, as the journal sees it."""

    id: int
    run_id: int
    uid: str
    #: the run has earlier sessions
    continued: bool
    #: attempts of the run were interrupted in earlier sessions
    interrupted: bool
    #: highest row number of an outcome so far
    highest: int
    unique_ids: bool
    #: what to add to `time.monotonic()` to get the time of day
    wall_offset: float


@dataclass(frozen=True, slots=True)
class Job:
    """A record on its way, with the rows (id, occurrence) that some of its outcomes take the place of."""

    record: Record
    replaces: Mapping[int, tuple[int, int]]


class transaction:  # noqa: N801 - reads like the contextlib function it replaces, at a third of the cost
    __slots__ = ("conn",)

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn

    def __enter__(self) -> None:
        self.conn.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.conn.execute("COMMIT")
        finally:
            # After "disk full" SQLite has rolled back by itself, and a second time would be an error of its own.
            if self.conn.in_transaction:
                self.conn.execute("ROLLBACK")


# ------------------------------------------------------------------------------------------------ a session begins


def refuse_other_function(header: RunHeader, function: str, version: str) -> None:
    """Raise JournalError if a run was made by another function, or by another version of it."""
    if function == header.function and (version == header.version or not version or not header.version):
        return
    was = f"{function} (version {version or 'unknown'})"
    now = f"{header.function} (version {header.version or 'unknown'})"
    raise JournalError(
        f"run name={header.name!r} was made by function {was}, this is {now}: use another name, or resume=False"
    )


def start_session(conn: sqlite3.Connection, path: Path, header: RunHeader, *, resume: bool) -> Session:
    now = time.time()
    try:
        with transaction(conn):
            _bury_dead_sessions(conn)
            run_id, uid, continued = _find_or_add_run(conn, header, now, resume=resume)
            host = _rows.safe_text(socket.gethostname())
            session_id = conn.execute(_sql.query("add_session"), (run_id, now, os.getpid(), host)).lastrowid
            interrupted = conn.execute(_sql.query("has_interrupted"), (run_id,)).fetchone()[0]
            highest = conn.execute(_sql.query("highest_outcome")).fetchone()[0]
    except sqlite3.Error as error:
        raise _sql.explain(path, error) from error
    return Session(
        id=session_id or 0,
        run_id=run_id,
        uid=uid,
        continued=continued,
        interrupted=bool(interrupted),
        highest=highest,
        unique_ids=header.unique_ids,
        wall_offset=now - time.monotonic(),
    )


def _bury_dead_sessions(conn: sqlite3.Connection) -> None:
    # The run lock is ours, so that whatever is open was left open by the dead.
    conn.execute(_sql.query("runs_interrupted"))
    add = _sql.query("add_interrupted")
    for run_id, session_id, _, attempt, started, worker, ids in conn.execute(_sql.query("open_leases")).fetchall():
        rows = [(run_id, session_id, item_id, attempt, started, worker) for item_id in _rows.unpack(ids)]
        conn.executemany(add, rows)
    conn.execute(_sql.query("delete_all_leases"))


def _find_or_add_run(conn: sqlite3.Connection, header: RunHeader, now: float, *, resume: bool) -> tuple[int, str, bool]:
    name = _rows.safe_text(header.name)
    setting = (platform.python_version(), header.total, header.backend, header.workers)
    found = conn.execute(_sql.query("latest_run"), (name,)).fetchone() if resume else None
    if found is None:
        uid = uuid.uuid4().hex
        row = (uid, name, _rows.safe_text(header.function), header.version, *setting, now)
        return conn.execute(_sql.query("add_run"), row).lastrowid or 0, uid, False
    run_id, uid, function, version = found
    refuse_other_function(header, function, version)
    conn.execute(_sql.query("continue_run"), (header.version or version, *setting, run_id))
    return run_id, uid, True


# --------------------------------------------------------------------------------------------------- while it runs


def apply(conn: sqlite3.Connection, session: Session, options: Options, jobs: list[Job]) -> None:
    """Write records, within the transaction that is open; leases first, so that those just ended go again."""
    leases: list[tuple[Any, ...]] = []
    replaced: list[tuple[Any, ...]] = []
    outcomes: list[tuple[str, list[tuple[Any, ...]]]] = []
    retried: list[tuple[Any, ...]] = []
    ended: list[tuple[Any, ...]] = []
    for job in jobs:
        record = job.record
        if record.lease is not None:
            leases.append(_lease_row(session, record.lease))
        if record.outcomes:
            _add_outcome_rows(outcomes, replaced, session, options, job)
        if record.retried:
            retried += [_attempt_row(session, outcome) for outcome in record.retried]
        if record.ended:
            ended += [(session.id, chunk) for chunk in record.ended]
    first, last = (
        [("add_lease", leases), ("delete_outcome", replaced)],
        [("add_attempt", retried), ("end_lease", ended)],
    )
    for name, rows in (*first, *outcomes, *last):
        if rows:
            _insert(conn, session, name, rows)


def _add_outcome_rows(
    groups: list[tuple[str, list[tuple[Any, ...]]]],
    replaced: list[tuple[Any, ...]],
    session: Session,
    options: Options,
    job: Job,
) -> None:
    """Add rows to groups of one statement each: few, as most are plain, and in order, so that equal ids count up."""
    for offset, (outcome, stored) in enumerate(job.record.outcomes):
        # A cancelled item has not ended: it is run by the next session. A resumed one is there already.
        if outcome.status is Status.CANCELLED or outcome.resumed:
            continue
        occurrence = 0 if session.unique_ids else _COUNTED
        if offset in job.replaces:
            number, occurrence = job.replaces[offset]
            replaced.append((number,))
        plain = outcome.status is Status.OK and outcome.key is None and len(stored) <= options.inline_bytes
        name = "add_ok" if plain else "add_outcome"
        if not groups or groups[-1][0] != name:
            groups.append((name, []))
        row = _ok_row(session, outcome, occurrence, stored) if plain else None
        groups[-1][1].append(row or _outcome_row(session, options, outcome, occurrence, stored))


def _insert(conn: sqlite3.Connection, session: Session, name: str, rows: list[tuple[Any, ...]]) -> None:
    before = conn.total_changes
    try:
        conn.executemany(_sql.query(name), rows)
    except sqlite3.IntegrityError as error:
        if session.unique_ids and error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            # executemany has inserted the rows before the guilty one, and the transaction still shows them.
            item_id, position, label = (rows[conn.total_changes - before][column] for column in (2, 6, 7))
            found = conn.execute(_sql.query("who_has_id"), (session.run_id, item_id)).fetchone()
            raise same_id_twice(item_id, found, (position, label)) from error
        raise


def same_id_twice(item_id: bytes, first: tuple[int, str], second: tuple[int, str]) -> ConfigError:
    """Say which two items, as (position, label), were given one id."""
    return ConfigError(
        f"id={_show_id(item_id)} was given to two items: number {first[0]} ({first[1]}) and number {second[0]} "
        f"({second[1]}): give each item an id of its own, or leave id= out"
    )


def _show_id(item_id: bytes) -> str:
    """Describe an id for people."""
    text = item_id[:100].decode("utf-8", "replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else item_id[:32].hex()


def _lease_row(session: Session, lease: Lease) -> tuple[Any, ...]:
    started = time.monotonic() + session.wall_offset
    return session.id, lease.chunk, lease.worker, lease.attempt, started, _rows.pack(lease.ids)


def _ok_row(session: Session, outcome: Outcome, occurrence: int, stored: bytes) -> tuple[Any, ...]:
    return (
        session.run_id,
        session.id,
        outcome.id,
        occurrence,
        session.run_id,
        outcome.id,
        outcome.position,
        _rows.short(outcome.item),
        outcome.attempts,
        outcome.started + session.wall_offset,
        outcome.seconds,
        outcome.worker,
        len(stored),
        stored,
    )


def _outcome_row(
    session: Session, options: Options, outcome: Outcome, occurrence: int, stored: bytes
) -> tuple[Any, ...]:
    file = _rows.store_file(options.path, stored) if len(stored) > options.inline_bytes else None
    return (
        session.run_id,
        session.id,
        outcome.id,
        occurrence,
        session.run_id,
        outcome.id,
        outcome.position,
        _rows.short(outcome.item),
        None if outcome.key is None else _rows.short(outcome.key),
        outcome.status.value,
        outcome.attempts,
        outcome.started + session.wall_offset,
        outcome.seconds,
        outcome.worker,
        *_rows.error_columns(outcome.error),
        file,
        len(stored),
        stored if file is None and stored else None,
    )


def _attempt_row(session: Session, outcome: Outcome) -> tuple[Any, ...]:
    return (
        session.run_id,
        session.id,
        outcome.id,
        outcome.attempts,
        outcome.status.value,
        outcome.started + session.wall_offset,
        outcome.seconds,
        outcome.worker,
        *_rows.error_columns(outcome.error),
    )


# -------------------------------------------------------------------------------------------------- a session ends


def end_session(conn: sqlite3.Connection, session: Session, summary: Summary | None) -> None:
    now = time.time()
    with transaction(conn):
        if summary is None:
            # Its leases stay open, and count as interruptions when the run is continued.
            conn.execute(_sql.query("end_run"), ("interrupted", now, None, session.run_id))
        else:
            state = "ended" if summary.source_ended and not summary.stopped else "stopped"
            text = json.dumps(asdict(summary))
            conn.execute(_sql.query("end_run"), (state, now, text, session.run_id))
            conn.execute(_sql.query("end_session"), (now, session.id))
            conn.execute(_sql.query("end_session_leases"), (session.id,))
    # Committed means safe; if the log cannot be folded into the file now, the next session does it.
    with suppress(sqlite3.Error):
        conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        conn.execute(f"PRAGMA busy_timeout={_TRUNCATE_WAIT_MS}")
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
