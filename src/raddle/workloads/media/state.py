"""What is remembered from run to run, in a folder that is not beside the media: totals, and which files are settled.

SQLite in WAL mode. A few rows are written at a time, each time in one short transaction, so that several processes may
use one state. What a killed run did not get to write costs no more than a probe: a file that is as the policy says
comes out as unchanged.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from raddle.errors import ConfigError
from raddle.workloads.media.batch.results import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.workloads.media.batch.results import Result
    from raddle.workloads.media.replace.system import Identity

__all__ = ["State", "claims_folder", "default_state", "settled_files", "totals"]

_NAME: Final = "media.db"
_VERSION: Final = 1
_BUSY: Final = 30.0
#: outcomes that are not urgent wait for others, so many at most, or so many seconds
_MOST, _LATEST = 200, 1.0
_SCHEMA: Final = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, policy BLOB NOT NULL, digest TEXT NOT NULL,
  exit_code INTEGER, unchanged INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0, resumed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE files (
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, path BLOB NOT NULL, status TEXT NOT NULL,
  reason TEXT NOT NULL, size_before INTEGER, size_after INTEGER, seconds REAL NOT NULL, ended REAL NOT NULL,
  mended INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX files_by_path ON files (path, id);
CREATE TABLE settled (
  digest TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
  PRIMARY KEY (digest, device, inode, size, mtime)
) STRICT, WITHOUT ROWID;
"""
#: the last failure of each file that has not come out well since, and how often it failed
_FAILED: Final = """
SELECT path, reason, ended, (SELECT count(*) FROM files AS g WHERE g.path = f.path AND g.status = 'failed')
FROM files AS f
WHERE status = 'failed' AND NOT mended AND id = (SELECT max(id) FROM files AS h WHERE h.path = f.path)
ORDER BY ended DESC, id DESC
"""
#: outcomes that only count; the others have a row each
_COUNTED: Final = ("unchanged", "skipped", "cancelled", "resumed")


def default_state() -> Path:
    """Return where the state is when nobody says so.

    Raises:
        ConfigError: the user has no home
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        home = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"  # noqa: PTH117 - a text so far
    except RuntimeError as error:
        raise ConfigError("state=None: this user has no home folder to keep it in; name one with --state") from error
    return home / "raddle" / "media"


def claims_folder(folder: Path) -> str:
    """Return the folder with the locks of files that are worked on."""
    return str(folder / "claims")


class State:
    """The state, open for one run. For one thread, the one that opened it.

    Args:
        folder: made if missing
        policy: path of the policy, for people
        digest: of the policy

    Raises:
        ConfigError: the folder or the file in it cannot be used
    """

    def __init__(self, folder: Path, *, policy: str, digest: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = _open(folder / _NAME)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"state={str(folder)!r} cannot be used: {error}; name another with --state") from error
        self._digest = digest
        self._waiting: list[Result] = []
        self._flushed = time.monotonic()
        row = self._db.execute(
            "INSERT INTO runs (started, policy, digest) VALUES (?, ?, ?)", (time.time(), os.fsencode(policy), digest)
        )
        self._run = row.lastrowid
        self.exit_code: int | None = None
        #: it could not be written: nothing more is
        self.broken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, and that the run ended; `exit_code` stays unknown if nobody set it."""
        with contextlib.closing(self._db), contextlib.suppress(sqlite3.Error):
            self.flush()
            self._db.execute(
                "UPDATE runs SET ended = ?, exit_code = ? WHERE id = ?", (time.time(), self.exit_code, self._run)
            )

    def add(self, result: Result) -> None:
        """Remember an outcome: at once if something was done, else within a second or with the next ones."""
        self._waiting.append(result)
        urgent = result.status in {"done", "failed"}
        if urgent or len(self._waiting) >= _MOST or time.monotonic() - self._flushed >= _LATEST:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        results, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        if not results:
            return
        with _transaction(self._db):
            self._db.executemany(
                "INSERT OR IGNORE INTO settled VALUES (?, ?, ?, ?, ?)",
                [(self._digest, *_signed(r.settled)) for r in results if r.settled is not None and not r.resumed],
            )
            self._db.executemany(
                "INSERT INTO files (run, path, status, reason, size_before, size_after, seconds, ended)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [self._row(result) for result in results if result.status in {"done", "failed"}],
            )
            self._db.executemany(
                "UPDATE files SET mended = 1 WHERE path = ? AND status = 'failed' AND NOT mended",
                [(_stored(result.path),) for result in results if result.status in {"unchanged", "skipped"}],
            )
            counts = [sum(_counts_as(result) == name for result in results) for name in _COUNTED]
            self._db.execute(
                "UPDATE runs SET unchanged = unchanged + ?, skipped = skipped + ?, cancelled = cancelled + ?,"
                " resumed = resumed + ? WHERE id = ?",
                (*counts, self._run),
            )

    def _row(self, result: Result) -> tuple[Any, ...]:
        path = _stored(result.path)
        reason = printable(result.reason)
        sizes = (result.size_before, result.size_after)
        return (self._run, path, result.status, reason, *sizes, result.seconds, time.time())


def settled_files(folder: Path, digest: str) -> frozenset[Identity]:
    """Return the files, by identity, on which a policy has no more to do."""
    with _reading(folder) as db:
        if db is None:
            return frozenset()
        found = db.execute("SELECT device, inode, size, mtime FROM settled WHERE digest = ?", (digest,))
        return frozenset((_unsigned(d), _unsigned(i), size, mtime) for d, i, size, mtime in found)


def totals(folder: Path, *, slowest: int = 5) -> dict[str, Any]:
    """Return the sums over all runs. Failures are those after which the file did not end well; the latest of each."""
    with _reading(folder) as db:
        if db is None:
            return _summed((0, None, None, 0, 0, 0, 0), [], [], [])
        runs = db.execute(
            "SELECT count(*), min(started), max(started), total(unchanged), total(skipped), total(cancelled),"
            " total(resumed) FROM runs"
        ).fetchone()
        sums = db.execute(
            "SELECT status, count(*), total(iif(size_after IS NULL, 0, size_before)), total(size_after), total(seconds)"
            " FROM files GROUP BY status"
        ).fetchall()
        longest = db.execute(
            "SELECT path, seconds FROM files WHERE status = 'done' ORDER BY seconds DESC, id LIMIT ?", (slowest,)
        ).fetchall()
        failed = db.execute(_FAILED).fetchall()
        return _summed(runs, sums, longest, failed)


def _summed(
    runs: tuple[Any, ...],
    sums: Iterable[tuple[Any, ...]],
    longest: Iterable[tuple[bytes, float]],
    failed: Iterable[tuple[bytes, str, float, int]],
) -> dict[str, Any]:
    count, first, last, unchanged, skipped, cancelled, resumed = runs
    by_status = {status: rest for status, *rest in sums}
    files = {status: by_status.get(status, [0])[0] for status in ("done", "failed")}
    files |= {"unchanged": int(unchanged), "skipped": int(skipped), "cancelled": int(cancelled)}
    before, after = (int(sum(rest[at] for rest in by_status.values())) for at in (1, 2))
    return {
        "runs": count,
        "first": first,
        "last": last,
        "files": {**files, "resumed": int(resumed)},
        "bytes_before": before,
        "bytes_after": after,
        "bytes_saved": before - after,
        "saved_percent": round(100 * (before - after) / before, 2) if before else 0.0,
        "seconds": round(sum(rest[3] for rest in by_status.values()), 3),
        "slowest": [{"path": printable(os.fsdecode(path)), "seconds": round(time, 3)} for path, time in longest],
        "failures": [
            {"path": printable(os.fsdecode(path)), "reason": reason, "at": at, "times": times}
            for path, reason, at, times in failed
        ],
    }


def _stored(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - text that may be no UTF-8


def _counts_as(result: Result) -> str:
    return "resumed" if result.resumed else result.status


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        with _transaction(db):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {_VERSION}")
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"it was written by a newer raddle (version {version})")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    path = folder / _NAME
    if not path.exists():
        yield None
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=_BUSY, uri=True)) as db:
            # 0: its first run is making it, in one transaction that has not ended
            yield db if db.execute("PRAGMA user_version").fetchone()[0] else None
    except sqlite3.Error as error:
        raise ConfigError(f"state={str(folder)!r} cannot be read: {error}; name another with --state") from error


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


_SIGN: Final = 1 << 63


def _signed(identity: Identity) -> tuple[int, int, int, int]:
    """Return the figures as SQLite can hold them: device and inode may use all 64 bits."""
    device, inode, size, mtime = identity
    return (*((n - 2 * _SIGN if n >= _SIGN else n) for n in (device, inode)), size, mtime)  # type: ignore[return-value]


def _unsigned(number: int) -> int:
    return number + 2 * _SIGN if number < 0 else number
