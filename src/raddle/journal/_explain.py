"""What SQLite and the disk say, turned into errors that say what to do."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from raddle.errors import JournalDamaged, JournalError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUSY_SECONDS", "absent", "damaged", "explain", "primary_code"]

BUSY_SECONDS = 10.0
# A code that Python 3.11 has no name for in `sqlite3`.
_IOERR_SHMSIZE = 4874
# What `sqlite3` itself says of a column of text that holds none.
_NO_TEXT = "Could not decode to UTF-8"


def damaged(path: Path, found: str) -> JournalDamaged:
    """Say that a journal is broken, how so, and what to do."""
    return JournalDamaged(
        f"journal={path} is damaged or not a journal ({found}): keep a copy of it with its -wal file, "
        f"salvage with `sqlite3 {path.name} .recover`, and run with another journal"
    )


def absent(path: Path) -> JournalError:
    """Say that there is no journal."""
    if path.is_dir():
        return JournalError(f"journal={path} is a folder: give the path of a file in it")
    return JournalError(f"journal={path} does not exist: check the path, or start a run with it first")


def primary_code(error: sqlite3.Error) -> int:
    """Return the code without what extends it; 0 if the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explain(path: Path, error: BaseException, patience: float = BUSY_SECONDS) -> JournalError:
    """Turn what SQLite raised into an error that says what is wrong and what to do."""
    if isinstance(error, JournalError):
        return error
    code = int(getattr(error, "sqlite_errorcode", 0))
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        code = sqlite3.SQLITE_FULL
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code == _IOERR_SHMSIZE or code & 0xFF == sqlite3.SQLITE_FULL:
        text = "the disk is full: free some space, then run again with resume=True; what was recorded is safe"
    elif code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or _NO_TEXT in str(error):
        return damaged(path, str(error))
    elif code & 0xFF == sqlite3.SQLITE_IOERR:
        text = "the disk failed or is full: check its health, space and quota, then run again with resume=True"
    elif code & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        text = "it cannot be opened or written: check the permissions of the file and of its folder"
    elif code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        text = f"another program held its lock for {patience:g} s: end that program (sqlite3? a backup?)"
    elif code & 0xFF == sqlite3.SQLITE_TOOBIG:
        text = "a value is larger than a row can hold: return a file name instead of the data"
    else:
        text = "it could not be written; what was recorded before is safe"
    return JournalError(f"journal={path}: {text} ({name}: {error})")
