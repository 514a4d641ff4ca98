"""SQLite as the journal needs it: statements by name, connections that are checked, errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from raddle.errors import JournalDamaged, JournalError
from raddle.journal._explain import BUSY_SECONDS, absent, damaged, explain, primary_code

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "APPLICATION_ID",
    "CHECKPOINT_PAGES",
    "SYNCHRONOUS",
    "WITH_HISTORY",
    "connect_reader",
    "connect_writer",
    "inspect",
    "query",
    "schema_version",
]

#: "radl", for file(1) and against databases of other programs
APPLICATION_ID = 0x7261646C
SYNCHRONOUS = ("EXTRA", "FULL", "NORMAL", "OFF")

#: the first schema with happenings and stretches; without them a journal can be read, if it is as new as the second
WITH_HISTORY = 3
_OLDEST_READABLE = 2

_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
_WAL_LIMIT = 64 << 20
#: pages of log after which it is folded into the file; with SQLite's 1000 a fast run does little else than fsync
CHECKPOINT_PAGES = 8192
_CACHE_KIB = 65536
_SMALLEST_PAGE = 512
# A code that Python 3.11 has no name for in `sqlite3`.
_READONLY_ROLLBACK = 776
_ROW = "(?,?,?,?,?,?,?,?)"


@cache
def _queries() -> dict[str, str]:
    text = files("raddle.journal").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = text.split("\n-- name: ")[1:]
    named = (part.partition("\n") for part in parts)
    return {name.strip(): body.split(";\n")[0].strip() for name, _, body in named}


@cache
def query(name: str, marks: int = 0) -> str:
    """Return a statement of queries.sql; `marks` is how many question marks, or rows of eight, the braces stand for."""
    text = _queries()[name]
    if not marks:
        return text
    return text.replace("{marks}", ",".join("?" * marks)).replace("{rows}", ",".join([_ROW] * marks))


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


def inspect(path: Path) -> tuple[str, int] | None:
    """Look whether a journal is whole, without writing: a connection that may write folds the log into the file.

    Returns:
        the uid of its first run and the highest number of an outcome; None if nothing is there yet

    Raises:
        JournalDamaged: it is not a journal, or it is broken
        JournalError: it cannot be used
    """
    _refuse_lost_start(path)
    if not _size(path):
        return None
    try:
        try:
            return _look_through(path)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) != _READONLY_ROLLBACK:
                raise
        # It died while it was being made, before there was a log: undo that first.
        with contextlib.closing(sqlite3.connect(_uri(path, "mode=rw"), uri=True, timeout=BUSY_SECONDS)) as conn:
            conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return _look_through(path) if _size(path) else None
    except sqlite3.Error as error:
        raise explain(path, error) from error


def _look_through(path: Path) -> tuple[str, int] | None:
    with contextlib.closing(_open(path, "mode=ro")) as conn:
        if _check_identity(conn, path) == 0:
            return None
        _check_pages(conn, path)
        uid = conn.execute(query("first_uid")).fetchone()
        return None if uid is None else (uid[0], conn.execute(query("highest_outcome")).fetchone()[0])


def connect_writer(path: Path, *, synchronous: str, checkpoint_pages: int = CHECKPOINT_PAGES) -> sqlite3.Connection:
    """Open the one read-write connection: set up and migrated. Call `inspect` before.

    Raises:
        JournalDamaged: it is not a journal, or it is broken
        JournalError: it cannot be used
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise JournalError(
            f"this Python has SQLite {sqlite3.sqlite_version}: the journal needs 3.37 or later, use another Python"
        )
    conn: sqlite3.Connection | None = None
    try:
        conn = sqlite3.connect(
            _uri(path, "mode=rwc"), uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=64
        )
        _set_up(conn, path, synchronous, checkpoint_pages)
    except sqlite3.Error as error:
        _close(conn)
        raise explain(path, error) from error
    except BaseException:
        _close(conn)
        raise
    return conn


def connect_reader(path: Path, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open a connection that can only read. Use it for short transactions, so that checkpoints get their turn.

    `patience` is seconds to wait for another program that keeps everybody out.

    Raises:
        JournalDamaged: it is not a journal, or it is broken
        JournalError: it is not there, or cannot be read
    """
    if not path.is_file():
        raise absent(path)
    try:
        conn = _open_reader(path, "mode=ro", patience)
    except sqlite3.OperationalError as error:
        # A WAL database in a folder where SQLite may not make its -shm file. With nothing in the -wal file there
        # is no writer and nothing to recover, so that the database file alone is the truth.
        if not path.exists():
            raise absent(path) from error  # it went a moment ago
        if not _cannot_make_shm(error) or _size(path, "-wal"):
            raise explain(path, error, patience) from error
        conn = _reader_of_still_file(path)
    except sqlite3.Error as error:
        raise explain(path, error, patience) from error
    return conn


def _reader_of_still_file(path: Path) -> sqlite3.Connection:
    try:
        return _open_reader(path, "mode=ro&immutable=1")
    except sqlite3.Error as error:
        raise explain(path, error) from error


def _open_reader(path: Path, options: str, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    conn = _open(path, options, patience)
    try:
        found = _check_identity(conn, path)
        if found == 0:
            raise JournalError(f"journal={path} holds no run yet: start one with it first")
        if found < _OLDEST_READABLE:
            raise JournalError(
                f"journal={path} was written by an older raddle: the next run with it brings it up to date"
            )
    except BaseException:
        conn.close()
        raise
    return conn


def _open(path: Path, options: str, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    # The caller keeps it to one thread at a time; SQLite itself is built for more.
    conn = sqlite3.connect(
        _uri(path, options), uri=True, timeout=patience, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in ("query_only=ON", f"cache_size=-{_CACHE_KIB}", "cell_size_check=ON", "trusted_schema=OFF"):
            conn.execute(f"PRAGMA {pragma}")
    except BaseException:
        conn.close()
        raise
    return conn


def _set_up(conn: sqlite3.Connection, path: Path, synchronous: str, checkpoint_pages: int) -> None:
    conn.execute("PRAGMA trusted_schema=OFF")
    conn.execute("PRAGMA cell_size_check=ON")
    conn.execute("PRAGMA foreign_keys=ON")
    conn.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    found = _check_identity(conn, path)
    mode = conn.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise JournalError(f"journal={path}: SQLite cannot keep a write-ahead log here (mode={mode}): use a local disk")
    conn.execute(f"PRAGMA synchronous={synchronous}")
    conn.execute("PRAGMA fullfsync=ON")
    conn.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    conn.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
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
        raise damaged(path, f"version={version} with tables: {', '.join(tables) or 'none'}")
    return version


def _check_pages(conn: sqlite3.Connection, path: Path) -> None:
    # Of the small tables that tell where a run's rows are, the indices too: each holds the same facts a second time.
    for check in ("quick_check(3)", "integrity_check(run)", "integrity_check(session)"):
        found = [row[0] for row in conn.execute(f"PRAGMA {check}")]
        if found != ["ok"]:
            raise damaged(path, "; ".join(text.replace("\n", " ") for text in found))


def _refuse_lost_start(path: Path) -> None:
    # SQLite would take either for a new database, and throw away what is left.
    size = _size(path)
    if size == 0 and _size(path, "-wal"):
        raise damaged(path, f"the file is empty, but {path.name}-wal is not")
    if 0 < size < _SMALLEST_PAGE:
        raise damaged(path, f"size={size} bytes")


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
    return primary_code(error) in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
