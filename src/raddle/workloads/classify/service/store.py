"""The SQLite file of the jobs. Its work is done in two threads, one that reads and one that writes.

Two threads, because a stream that catches up must not wait for a commit, which waits for the disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Jobs, items and outcomes; a commit has reached the disk when `write` returns.

    Raises:
        ConfigError: the folder cannot be used, or another server uses it
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _locked(folder / "jobs.lock")
        except OSError as error:
            raise ConfigError(f"jobs={str(folder)!r}: cannot be used: {error}; name another folder") from error
        try:
            self._writes, self._reads = _connect(folder / "jobs.db"), _connect(folder / "jobs.db")
            self._writes.executescript(files(__package__).joinpath("schema.sql").read_text("utf-8"))
        except sqlite3.Error as error:
            os.close(self._lock)
            raise ConfigError(f"jobs={str(folder)!r}: no job database: {error}; name another folder") from error
        self._writer = ThreadPoolExecutor(1, "raddle-classify-write")
        self._reader = ThreadPoolExecutor(1, "raddle-classify-read")
        self._finalizer = weakref.finalize(
            self, _close, self._writer, self._reader, self._writes, self._reads, self._lock
        )

    async def write(
        self, change: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **named: P.kwargs
    ) -> T:
        """Do something in a transaction of its own.

        Raises:
            sqlite3.Error: it could not be done, and nothing has changed
        """
        con = self._writes

        def transaction() -> T:
            con.execute("BEGIN IMMEDIATE")
            try:
                value = change(con, *args, **named)
                con.execute("COMMIT")
            except BaseException:
                if con.in_transaction:
                    con.execute("ROLLBACK")
                raise
            return value

        return await asyncio.get_running_loop().run_in_executor(self._writer, transaction)

    async def read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """Look something up.

        Raises:
            sqlite3.Error: it could not be read
        """
        con = self._reads
        return await asyncio.get_running_loop().run_in_executor(self._reader, lambda: query(con, *args, **named))

    def close(self) -> None:
        """Finish what was begun and let go of the file."""
        self._finalizer()


def _connect(path: Path) -> sqlite3.Connection:
    con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")  # an event that was sent must outlive a power cut
    con.execute("PRAGMA foreign_keys = ON")
    return con


def _locked(path: Path) -> int:
    # Two servers over one folder would each run every job.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConfigError(f"jobs={str(path.parent)!r}: another server uses this folder; give each its own") from error
    return handle


def _close(
    writer: ThreadPoolExecutor,
    reader: ThreadPoolExecutor,
    writes: sqlite3.Connection,
    reads: sqlite3.Connection,
    lock: int,
) -> None:
    reader.shutdown()
    writer.shutdown()
    reads.close()
    writes.close()
    os.close(lock)
