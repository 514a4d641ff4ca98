"""How a session begins and ends. Runs in the writer thread."""

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
from typing import TYPE_CHECKING

from raddle.errors import JournalError
from raddle.journal import _explain, _rows, _sql
from raddle.journal._started import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from raddle._model import Summary
    from raddle._ports import Record, RunHeader
    from raddle.journal._happenings import Happened

__all__ = [
    "Job",
    "Options",
    "Session",
    "add_happenings",
    "end_session",
    "refuse_other_function",
    "start_session",
    "transaction",
]

# A reader that sits in a transaction may keep the last checkpoint from emptying the log; that costs disk, no data.
_TRUNCATE_WAIT_MS = 500
# Characters; a command line is at most 2 MB on Linux.
_COMMAND = 1 << 23


@dataclass(frozen=True, slots=True)
class Options:
    """How the writer works."""

    path: Path
    group_rows: int
    group_seconds: float
    inline_bytes: int
    synchronous: str
    checkpoint_pages: int


@dataclass(frozen=True, slots=True)
class Session:
    """One session of a run, as the journal sees it."""

    id: int
    run_id: int
    uid: str
    #: what tells this journal from others: the uid of its first run
    journal: str
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
    """A record on its way, with the numbers of the rows that some of its outcomes take the place of, by offset."""

    record: Record
    replaces: Mapping[int, int]


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
            highest = conn.execute(_sql.query("highest_outcome")).fetchone()[0]
            row = (run_id, now, os.getpid(), host, highest + 1)
            session_id = conn.execute(_sql.query("add_session"), row).lastrowid
            interrupted = conn.execute(_sql.query("has_interrupted"), (run_id,)).fetchone()[0]
            journal = conn.execute(_sql.query("first_uid")).fetchone()[0]
    except sqlite3.Error as error:
        raise _explain.explain(path, error) from error
    return Session(
        id=session_id or 0,
        run_id=run_id,
        uid=uid,
        journal=journal,
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
    setting = (
        platform.python_version(),
        header.total,
        header.backend,
        header.workers,
        _rows.safe_text(header.command or command_line(), _COMMAND),
        header.unique_ids,
    )
    found = conn.execute(_sql.query("latest_run"), (name,)).fetchone() if resume else None
    if found is None:
        uid = uuid.uuid4().hex
        row = (uid, name, _rows.safe_text(header.function), header.version, *setting, now)
        return conn.execute(_sql.query("add_run"), row).lastrowid or 0, uid, False
    run_id, uid, function, version, unique_ids = found
    refuse_other_function(header, function, version)
    if header.unique_ids and not unique_ids:
        conn.execute(_sql.query("fill_given_ids"), (run_id,))
    conn.execute(_sql.query("continue_run"), (header.version or version, *setting, run_id))
    return run_id, uid, True


# -------------------------------------------------------------------------------------------------- a session ends


def add_happenings(conn: sqlite3.Connection, session: Session, happened: Sequence[Happened]) -> None:
    """Write what befell the run, within the transaction that is open."""
    if happened:
        rows = [
            (session.run_id, session.id, one.at + session.wall_offset, one.kind, one.number, one.text)
            for one in happened
        ]
        conn.executemany(_sql.query("add_happening"), rows)


def end_session(
    conn: sqlite3.Connection, session: Session, summary: Summary | None, happened: Sequence[Happened] = ()
) -> None:
    now = time.time()
    with transaction(conn):
        add_happenings(conn, session, happened)
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
