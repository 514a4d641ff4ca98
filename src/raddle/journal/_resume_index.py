"""Which rows hold an id: for inputs whose order has little to do with that of the journal.

It lies in a private file of SQLite's own (in SQLITE_TMPDIR or /tmp), which is gone when it is closed: the journal stays
append-only, and who resumes in order never pays for it.
"""

from __future__ import annotations

import sqlite3
from itertools import chain, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ResumeIndex"]

# Rows in one statement: each step of `executemany` gives up the interpreter lock, and waits to get it back.
_BATCH = 512
_CACHE_KIB = 16384


class ResumeIndex:
    """Rows that have not been given out, by id. Used by one thread.

    Args:
        rows: (id, number) of each
        highest: number of them all
    """

    def __init__(self, rows: Iterable[tuple[bytes, int]], highest: int) -> None:
        # A bit per row whose id was asked for, and for the few ids that have several rows the last one given.
        self._given = bytearray(highest // 8 + 1)
        self._last: dict[bytes, int] = {}
        self._conn = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
            self._conn.execute(f"PRAGMA {pragma}").fetchall()
        self._conn.execute("BEGIN")
        self._conn.execute("CREATE TABLE heap (item_id BLOB, number INTEGER)")
        iterator = iter(rows)
        while batch := list(islice(iterator, _BATCH)):
            marks = ",".join(["(?,?)"] * len(batch))
            self._conn.execute(f"INSERT INTO heap VALUES {marks}", list(chain.from_iterable(batch)))  # noqa: S608
        self._conn.execute(
            "CREATE TABLE row_of (item_id BLOB, number INTEGER, PRIMARY KEY (item_id, number)) WITHOUT ROWID"
        )
        # Sorted first, so that each page is filled once.
        self._conn.execute("INSERT INTO row_of SELECT item_id, number FROM heap ORDER BY item_id, number")
        self._conn.execute("DROP TABLE heap")
        self._conn.execute("COMMIT")

    def take(self, ids: Sequence[bytes]) -> dict[int, int]:
        """Return the number of a row for each id that has one left, by its offset; each row is given once."""
        taken: dict[int, int] = {}
        left = list(range(len(ids)))
        while left:
            # Equal ids in turn, so that each gets a row of its own.
            turn: dict[bytes, int] = {}
            later = [offset for offset in left if turn.setdefault(ids[offset], offset) != offset]
            found = self._take_each(list(turn))
            taken |= {turn[item_id]: number for item_id, number in found.items()}
            left = [offset for offset in later if ids[offset] in found]
        return taken

    def close(self) -> None:
        """Drop it."""
        self._conn.close()

    def _take_each(self, ids: list[bytes]) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            # The last id fills up short batches, so that SQLite sees few different statements.
            size = 1 << (len(batch) - 1).bit_length()
            marks = ",".join(["(?)"] * size)
            rows = self._conn.execute(
                f"SELECT column1, (SELECT min(number) FROM row_of WHERE item_id = column1) FROM (VALUES {marks})",  # noqa: S608
                [*batch, *[batch[-1]] * (size - len(batch))],
            ).fetchall()[: len(batch)]
            for item_id, first in rows:
                number = self._not_given(item_id, first)
                if number is not None:
                    found[item_id] = number
        return found

    def _not_given(self, item_id: bytes, first: int | None) -> int | None:
        if first is None:
            return None
        place, bit = first >> 3, 1 << (first & 7)
        if not self._given[place] & bit:
            self._given[place] |= bit
            return first
        after = self._last.get(item_id, first)
        sql = "SELECT min(number) FROM row_of WHERE item_id = ? AND number > ?"
        number: int | None = self._conn.execute(sql, (item_id, after)).fetchone()[0]
        if number is not None:
            self._last[item_id] = number
        return number
