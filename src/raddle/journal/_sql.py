"""SQLite as the journal needs it: statements by name, connections that are checked, errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from raddle.errors import JournalDamaged, JournalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["APPLICATION_ID", "SYNCHRONOUS", "connect_reader", "connect_writer", "explain", "query", "schema_version"]

#: "radl", for file(1) and against databases of other programs
APPLICATION_ID = 0x7261646C
SYNCHRONOUS = ("EXTRA", "FULL", "NORMAL", "OFF")

_BUSY_SECONDS = 10.0
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_WAL_LIMIT = 64 << 20
# Ids are digests, so that each insert touches a page of its own. With the default of 1000 pages the same pages go
# through a checkpoint, and its two fsyncs, again and again.
_CHECKPOINT_PAGES = 8192
_CACHE_KIB = 65536
_SMALLEST_PAGE = 512
# Codes that Python 3.11 has no name for in `sqlite3`.
_IOERR_SHMSIZE = 4874


@cache
def _queries() -> dict[str, str]:
    text = files("raddle.journal").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = text.split("\n-- name: ")[1:]
    named = (part.partition("\n") for part in parts)
    return {name.strip(): body.split(";\n")[0].strip() for name, _, body in named}


def query(name: str, marks: int = 0) -> str:
    """Return a statement of queries.sql; `marks` is the number of question marks that `{marks}` stands for."""
    text = _queries()[name]
    return text.replace("{marks}", ",".join("?" * marks)) if marks else text


@cache
def _migrations() -> tuple[str, ...]:
    folder = files("raddle.journal").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def schema_version() -> int:
    """Return the version that this raddle writes."""
    return len(_migrations())


def _uri(path: Path, options: str) -> str:
    # From bytes, because a Linux file name need not be text.
    return f"file:{quote(os.fsencode(path))}?{options}"


def connect_writer(path: Path, *, synchronous: str) -> sqlite3.Connection:
    """Open the one read-write connection: checked, set up and migrated.

    Raises:
        JournalDamaged: it is not a journal, or it is broken
        JournalError: it cannot be used
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise JournalError(
            f"this Python has SQLite {sqlite3.sqlite_version}: the journal needs 3.37 or later, use another Python"
        )
    _refuse_lost_start(path)
    conn: sqlite3.Connection | None = None
    try:
        conn = sqlite3.connect(
            _uri(path, "mode=rwc"), uri=True, timeout=_BUSY_SECONDS, isolation_level=None, cached_statements=64
        )
        _set_up(conn, path, synchronous)
    except sqlite3.Error as error:
        _close(conn)
        raise explain(path, error) from error
    except BaseException:
        _close(conn)
        raise
    return conn


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read. Use it for short transactions, so that checkpoints get their turn.

    Raises:
        JournalDamaged: it is not a journal, or it is broken
        JournalError: it is not there, or cannot be read
    """
    if not path.is_file():
        raise JournalError(f"journal={path} does not exist: check the path, or start a run with it first")
    try:
        conn = _open_reader(path, "mode=ro")
    except sqlite3.OperationalError as error:
        # A WAL database in a folder where SQLite may not make its -shm file. With nothing in the -wal file there
        # is no writer and nothing to recover, so that the database file alone is the truth.
        if not _cannot_make_shm(error) or _size(path, "-wal"):
            raise explain(path, error) from error
        conn = _reader_of_still_file(path)
    except sqlite3.Error as error:
        raise explain(path, error) from error
    return conn


def _reader_of_still_file(path: Path) -> sqlite3.Connection:
    try:
        return _open_reader(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise explain(path, error) from error


def _open_reader(path: Path, options: str) -> sqlite3.Connection:
    # The caller keeps it to one thread at a time; SQLite itself is built for more.
    conn = sqlite3.connect(
        _uri(path, options), uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        conn.execute("PRAGMA query_only=ON")
        conn.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        conn.execute("PRAGMA trusted_schema=OFF")
        found = _check_identity(conn, path)
        if found == 0:
            raise JournalError(f"journal={path} holds no run yet: start one with it first")
        if found < schema_version():
            raise JournalError(
                f"journal={path} was written by an older raddle: the next run with it brings it up to date"
            )
    except BaseException:
        conn.close()
        raise
    return conn


def _set_up(conn: sqlite3.Connection, path: Path, synchronous: str) -> None:
    conn.execute("PRAGMA trusted_schema=OFF")
    conn.execute("PRAGMA cell_size_check=ON")
    conn.execute("PRAGMA foreign_keys=ON")
    conn.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    found = _check_identity(conn, path)
    if found:
        _check_pages(conn, path)
    mode = conn.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise JournalError(f"journal={path}: SQLite cannot keep a write-ahead log here (mode={mode}): use a local disk")
    conn.execute(f"PRAGMA synchronous={synchronous}")
    conn.execute("PRAGMA fullfsync=ON")
    conn.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    conn.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    for number, script in enumerate(_migrations()[found:], found + 1):
        _migrate(conn, script, number)


def _migrate(conn: sqlite3.Connection, script: str, number: int) -> None:
    # executescript() commits what is open, so that the transaction has to stand in the script itself.
    marks = f"PRAGMA application_id={APPLICATION_ID};\nPRAGMA user_version={number};"
    try:
        conn.executescript(f"BEGIN IMMEDIATE;\n{script}\n{marks}\nCOMMIT;")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _check_identity(conn: sqlite3.Connection, path: Path) -> int:
    """Return the schema version found, 0 for an empty database."""
    tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    mark = conn.execute("PRAGMA application_id").fetchone()[0]
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    if mark == 0 and version == 0 and not tables:
        return 0
    if mark != APPLICATION_ID:
        raise JournalDamaged(
            f"journal={path} is a SQLite database of another program (application_id={mark:#x}, "
            f"tables: {', '.join(tables[:5]) or 'none'}): give the journal a path of its own"
        )
    if version > schema_version():
        raise JournalError(
            f"journal={path} was written by a newer raddle (version {version}, this one knows {schema_version()}): "
            "upgrade raddle, or use another journal"
        )
    if version < 1 or "outcome" not in tables:
        raise _damaged(path, f"version={version} with tables: {', '.join(tables) or 'none'}")
    return version


def _check_pages(conn: sqlite3.Connection, path: Path) -> None:
    found = [row[0] for row in conn.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise _damaged(path, "; ".join(text.replace("\n", " ") for text in found))


def _refuse_lost_start(path: Path) -> None:
    # SQLite would take either for a new database, and throw away what is left.
    size = _size(path)
    if size == 0 and _size(path, "-wal"):
        raise _damaged(path, f"the file is empty, but {path.name}-wal is not")
    if 0 < size < _SMALLEST_PAGE:
        raise _damaged(path, f"size={size} bytes")


def _damaged(path: Path, found: str) -> JournalDamaged:
    return JournalDamaged(
        f"journal={path} is damaged or not a journal ({found}): keep a copy of it with its -wal file, "
        f"salvage with `sqlite3 {path.name} .recover`, and run with another journal"
    )


def _size(path: Path, suffix: str = "") -> int:
    # stat() and never open(): closing a descriptor of these files would drop SQLite's locks on them.
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except OSError:
        return 0


def _close(conn: sqlite3.Connection | None) -> None:
    if conn is not None:
        with contextlib.suppress(sqlite3.Error):  # the reason for closing is already on its way up
            conn.close()


def _cannot_make_shm(error: sqlite3.Error) -> bool:
    return _primary(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explain(path: Path, error: BaseException) -> JournalError:
    """Turn what SQLite raised into an error that says what is wrong and what to do."""
    if isinstance(error, JournalError):
        return error
    code = int(getattr(error, "sqlite_errorcode", 0))
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        code = sqlite3.SQLITE_FULL
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code == _IOERR_SHMSIZE or code & 0xFF == sqlite3.SQLITE_FULL:
        text = "the disk is full: free some space, then run again with resume=True; what was recorded is safe"
    elif code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return _damaged(path, str(error))
    elif code & 0xFF == sqlite3.SQLITE_IOERR:
        text = "the disk failed or is full: check its health, space and quota, then run again with resume=True"
    elif code & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        text = "it cannot be opened or written: check the permissions of the file and of its folder"
    elif code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        text = f"another program held its lock for {_BUSY_SECONDS:.0f} s: end that program (sqlite3? a backup?)"
    elif code & 0xFF == sqlite3.SQLITE_TOOBIG:
        text = "a value is larger than a row can hold: return a file name instead of the data"
    else:
        text = "it could not be written; what was recorded before is safe"
    return JournalError(f"journal={path}: {text} ({name}: {error})")
