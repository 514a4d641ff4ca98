"""The file that a state lives in: who owns it, what it is, and connections that are set up."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from raddle.errors import ConfigError, RaddleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "APPLICATION_ID",
    "VERSION",
    "check",
    "cleared",
    "connect",
    "lock",
    "recognised",
    "transaction",
    "unlock",
    "unusable",
]

#: "rdwt", for file(1) and against databases of other programs
APPLICATION_ID: Final = 0x72647774
VERSION: Final = 1

_BUSY_SECONDS: Final = 5.0
_OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables
_BY_INGEST: Final = ("snapshots", "history", "results", "resets", "revisions", "replays", "readings", "files")


def lock(path: Path, *, seconds: float) -> int:
    """Take the lock file beside a state; return the descriptor that holds it.

    A run that was killed may have left workers that hold it for a moment more: wait for them, so many seconds.

    Raises:
        ConfigError: another run has it
    """
    place = path.with_name(f"{path.name}.lock")
    until = time.monotonic() + seconds
    while True:
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError(f"state={path}: cannot be written there: {error.strerror}: use another path") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            if time.monotonic() >= until:
                raise ConfigError(f"state={path} is in use by another run: wait for its end, or use another") from None
            time.sleep(0.02)
            continue
        # Its owner before may have removed it between the two calls: then this is a lock on nothing.
        if _still_there(place, handle):
            return handle
        os.close(handle)


def _still_there(place: Path, handle: int) -> bool:
    try:
        return os.path.samestat(place.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def unlock(path: Path, handle: int) -> None:
    """Give the lock up, in the name of forked workers too, and remove its file."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # while it is held: see _still_there
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a connection, for one thread at a time. Without `write` it can do nothing but read."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigError(f"this Python has SQLite {sqlite3.sqlite_version}: states need 3.37, use another Python")
    # From bytes, because a Linux file name need not be text.
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode={'rwc' if write else 'ro'}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        if not write:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def recognised(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether a file is a state; False: nothing is in it yet.

    Raises:
        ConfigError: it is something else, or newer than this raddle
    """
    try:
        mark = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname != "SQLITE_NOTADB":
            raise
        raise _foreign(path, str(error)) from error
    if tables and mark != APPLICATION_ID:
        raise _foreign(path, f"application_id={mark:#x}")
    if version > VERSION:
        raise ConfigError(
            f"state={path} was written by a newer raddle (version={version}, this one knows {VERSION}): "
            "upgrade raddle, or use another path"
        )
    return bool(tables)


def check(connection: sqlite3.Connection, path: Path, wanted: Mapping[str, str]) -> None:
    """See that a file is a state that this run may go on with; an empty one becomes one.

    A state in which no file was ever finished is taken over, whatever it was made for.

    Raises:
        ConfigError: it is something else, or was made by other rules
    """
    made = recognised(connection, path)
    if made and connection.execute("SELECT 1 FROM files WHERE finished").fetchone():
        _compare(path, dict(connection.execute("SELECT name, value FROM meta")), wanted)
        return  # without a byte written: there may be nothing new for it
    prepare(connection, path)
    with transaction(connection):
        if not made:
            _create(connection)
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", wanted.items())


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Set a connection up for writing; the file gets a log.

    Raises:
        ConfigError: it cannot have one
    """
    connection.execute("PRAGMA page_size = 16384")  # a user's hundred readings fit into a quarter of it
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA wal_autocheckpoint = 2048")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise ConfigError(f"state={path}: SQLite cannot keep a write-ahead log there (mode={mode}): use a local disk")
    connection.execute("PRAGMA synchronous = FULL")


def _create(connection: sqlite3.Connection) -> None:
    script = files("raddle.workloads.weights.store").joinpath("schema.sql").read_text(encoding="utf-8")
    # Not executescript(), which would commit what is open: tables and marks come together or not at all.
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _compare(path: Path, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    other = [name for name in wanted if found.get(name) != wanted[name]]
    if not other:
        return
    was = " ".join(f"{name}={found.get(name)}" for name in other)
    now = " ".join(f"{name}={wanted[name]}" for name in other)
    raise ConfigError(f"state={path} was made with {was}, this run has {now}: run with the same, or use another path")


def _foreign(path: Path, what: str) -> ConfigError:
    return ConfigError(f"state={path} is not a state of raddle weights ({what}): use another path, or move it away")


def cleared(connection: sqlite3.Connection) -> None:
    """Take away what hangs on ingests that were not finished."""
    with transaction(connection):
        if not connection.execute("SELECT 1 FROM files WHERE NOT finished").fetchone():
            return
        for table in _BY_INGEST:
            connection.execute(
                f"DELETE FROM {table} WHERE ingest IN (SELECT ingest FROM files WHERE NOT finished)"  # noqa: S608 - own names
            )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done in it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def settle(connection: sqlite3.Connection) -> None:
    """Close a connection, and leave a file without a log: any program can read it, wherever it lies."""
    with suppress(sqlite3.Error):  # somebody reads it right now, the disk is full, it is closed: the log is as safe
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


def unusable(path: Path, error: Exception) -> RaddleError:
    """Return the error to raise when SQLite could not do its work."""
    return RaddleError(
        f"state={path}: {error}: see that there is space, on a local disk, and that no other program has it open"
    )
