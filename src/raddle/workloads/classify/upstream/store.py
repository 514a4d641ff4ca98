"""Labels in a SQLite file, for several processes at once. Blocking; `cached.py` keeps it off the event loop."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.values import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Store"]

_log = logging.getLogger(__name__)
_APPLICATION: Final = 0x7261646C  # "radl"
_EDITION: Final = 1
#: seconds after which a use is noted again: the order of last uses need not be finer
_NOTED: Final = 3600
#: a full store is emptied to this part, so that it is not full again at once
_AFTER: Final = 0.9
_MANY: Final = 500
#: seconds between looks whether another process is through with making the file
_WAITS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_LABELS: Final = """
CREATE TABLE IF NOT EXISTS labels (key TEXT PRIMARY KEY, value TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID
"""


class Store:
    """Labels by key; the longest unused go when the file is full.

    A damaged file is renamed and a new one begun, with a warning in the log; a store that cannot be used for other
    reasons (a full disk, a lock that is never given back) knows nothing and keeps nothing, and says so once.

    Args:
        path: of the file
        most: bytes of labels it may hold
        wall: the time of day, seconds since 1970
    """

    def __init__(self, path: Path, *, most: int = 1 << 30, wall: Callable[[], float] = time.time) -> None:
        self._path, self._most, self._wall = path, most, wall
        self._link: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._complained = False
        self._since_check = 0

    def exchange(self, wanted: Sequence[str], found: Mapping[str, Label]) -> dict[str, Label]:
        """Keep what was `found`, and return what is known of the `wanted` keys. Never raises for the file's sake.

        Raises:
            ConfigError: the file is a database of something else
        """
        for _ in range(2):
            try:
                link = self._open()
                with link:
                    self._keep(link, found)
                    return self._look_up(link, wanted)
            except sqlite3.OperationalError as error:
                self._complain(error)
                return {}
            except sqlite3.DatabaseError as error:
                self._put_aside(error)
            except OSError as error:
                self._complain(error)
                return {}
        return {}

    def close(self) -> None:
        """Close the file."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    # ---------------------------------------------------------------------------------------------------- the file

    def _open(self) -> sqlite3.Connection:
        if self._link is not None:
            return self._link
        self._path.parent.mkdir(parents=True, exist_ok=True)
        link = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
        try:
            self._file = _identity(self._path)
            application = link.execute("PRAGMA application_id").fetchone()[0]
            tables = link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and application != _APPLICATION:
                raise ConfigError(f"cache={str(self._path)!r}: is a database of something else; name another file")
            _to_wal(link)
            link.execute("PRAGMA synchronous = NORMAL")
            with link:
                link.execute("BEGIN IMMEDIATE")
                if link.execute("PRAGMA user_version").fetchone()[0] != _EDITION:
                    link.execute("DROP TABLE IF EXISTS labels")
                    link.execute(f"PRAGMA application_id = {_APPLICATION}")
                    link.execute(f"PRAGMA user_version = {_EDITION}")
                link.execute(_LABELS)
                link.execute("CREATE INDEX IF NOT EXISTS by_use ON labels (used)")
        except BaseException:
            link.close()
            raise
        self._link = link
        return link

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename a damaged file. Not one that another process has begun anew meanwhile."""
        before = self._file
        self.close()
        if before is None or before != _identity(self._path):
            return
        aside = f"{self._path}.damaged-{int(self._wall())}-{os.getpid()}"
        _log.warning("cache=%r is damaged (%s): kept as %r, and begun anew", str(self._path), error, aside)
        # The journal first: a new file must never meet the old one's.
        for end in ("-wal", "-shm", ""):
            try:
                Path(f"{self._path}{end}").replace(f"{aside}{end}")
            except FileNotFoundError:
                continue

    def _complain(self, error: Exception) -> None:
        self.close()
        if not self._complained:
            self._complained = True
            _log.warning("cache=%r cannot be used (%s): labels are not kept", str(self._path), error)

    # --------------------------------------------------------------------------------------------------- the labels

    def _look_up(self, link: sqlite3.Connection, wanted: Sequence[str]) -> dict[str, Label]:
        now, known, stale, broken = int(self._wall()), {}, [], []
        for first in range(0, len(wanted), _MANY):
            some = wanted[first : first + _MANY]
            marks = ",".join("?" * len(some))
            rows = link.execute(f"SELECT key, value, used FROM labels WHERE key IN ({marks})", some)  # noqa: S608
            for key, value, used in rows:
                label = _label(value)
                if label is None:
                    broken.append((key,))
                    continue
                known[key] = label
                if now - used > _NOTED:
                    stale.append((now, key))
        if stale:
            link.executemany("UPDATE labels SET used = ? WHERE key = ?", stale)
        if broken:
            link.executemany("DELETE FROM labels WHERE key = ?", broken)
        return known

    def _keep(self, link: sqlite3.Connection, found: Mapping[str, Label]) -> None:
        if not found:
            return
        now = int(self._wall())
        rows = [(key, _text(label), now) for key, label in found.items()]
        link.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", rows)
        self._since_check += sum(len(value) for _, value, _ in rows)
        if self._since_check >= self._most // 64:
            self._since_check = 0
            self._shrink(link)

    def _shrink(self, link: sqlite3.Connection) -> None:
        """Drop the longest unused. Pages that become free are used again, so the file keeps its size."""
        size = _size(link)
        if size <= self._most:
            return
        count = link.execute("SELECT count(*) FROM labels").fetchone()[0]
        surplus = max(1, round(count * (1 - _AFTER * self._most / size)))
        link.execute("DELETE FROM labels WHERE key IN (SELECT key FROM labels ORDER BY used, key LIMIT ?)", (surplus,))


def _to_wal(link: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite does not wait for others here, whatever the timeout: so we do."""
    for wait in _WAITS:
        try:
            link.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(wait)
        else:
            return
    link.execute("PRAGMA journal_mode = WAL")


def _size(link: sqlite3.Connection) -> int:
    pages, free, page = (
        link.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _text(label: Label) -> str:
    fields = asdict(label)
    del fields["usage"], fields["cached"]
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


def _label(text: Any) -> Label | None:
    """Return the label of a row; None if it is none."""
    try:
        fields = json.loads(text)
        for name in ("style_tags", "placement_tags", "flags"):
            fields[name] = tuple(fields[name])
        label = Label(**fields, cached=True)
        valid = isinstance(label.category, str) and 0 <= label.confidence <= 1
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return label if valid else None
