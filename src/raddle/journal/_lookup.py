"""What earlier sessions of a run recorded, given out once. Used by one thread, which owns a read-only connection."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from raddle._model import Status
from raddle._ports import Known
from raddle.journal import _rows, _sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from raddle._model import Outcome
    from raddle._ports import Record
    from raddle.journal._session import Session

__all__ = ["Lookup"]

# Ids in one IN (...); far below SQLite's limit of 32766, and enough to make the cost of a call vanish.
_BATCH = 512
# So many occurrences of one id are looked through again rather than remembered: that bounds the memory of `_next`.
_REREAD = 8


class Lookup:
    """For a run that has earlier sessions."""

    def __init__(self, path: Path, session: Session) -> None:
        self._path = path
        self._session = session
        self._reader: sqlite3.Connection | None = None
        # A bit per row: resuming ten million items costs about a megabyte.
        self._given = bytearray(session.highest // 8 + 1)
        self._next: dict[bytes, int] = {}
        self._unreadable: dict[bytes, list[tuple[int, int]]] = {}

    def known(self, ids: Sequence[bytes]) -> dict[int, Known]:
        """Return what is known of each id, by its offset.

        Raises:
            JournalError: the journal cannot be read
        """
        result: dict[int, Known] = {}
        if self._reader is None:
            self._reader = _sql.connect_reader(self._path)
        try:
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                missing: list[int] = []
                for offset, outcome in enumerate(self._outcomes(self._reader, batch), start):
                    if outcome is None:
                        missing.append(offset)
                    else:
                        result[offset] = Known(outcome)
                if missing and self._session.interrupted:
                    self._add_interruptions(self._reader, ids, missing, result)
        except sqlite3.Error as error:
            raise _sql.explain(self._path, error) from error
        return result

    def replaced(self, record: Record) -> Mapping[int, tuple[int, int]]:
        """Return which unreadable rows (id, occurrence) the outcomes of a record take the place of, by their offset."""
        replaced: dict[int, tuple[int, int]] = {}
        if not self._unreadable:
            return replaced
        for offset, (outcome, _) in enumerate(record.outcomes):
            if outcome.status is Status.CANCELLED or outcome.id is None:
                continue
            if rows := self._unreadable.get(outcome.id):
                replaced[offset] = rows.pop(0)
        return replaced

    def close(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _outcomes(self, reader: sqlite3.Connection, ids: Sequence[bytes]) -> list[Outcome | None]:
        # The last id fills up short batches, so that SQLite sees few different statements.
        size = 1 << (len(ids) - 1).bit_length()
        padded = [*ids, *[ids[-1]] * (size - len(ids))]
        parameters = (self._session.run_id, self._session.id, *padded)
        found = {row[1]: row for row in reader.execute(_sql.query("known_first", size), parameters).fetchall()}
        outcomes: list[Outcome | None] = []
        given = self._given
        for item_id in ids:
            row = found.get(item_id)
            if row is not None:
                place, bit = row[0] >> 3, 1 << (row[0] & 7)
                if given[place] & bit:
                    row = self._next_row(reader, item_id)
                else:
                    given[place] |= bit
            outcomes.append(None if row is None else self._load(row))
        return outcomes

    def _add_interruptions(
        self, reader: sqlite3.Connection, ids: Sequence[bytes], missing: list[int], result: dict[int, Known]
    ) -> None:
        wanted = [ids[offset] for offset in missing]
        rows = reader.execute(_sql.query("interruptions", len(wanted)), (self._session.run_id, *wanted)).fetchall()
        counts = dict(rows)
        for offset in missing:
            if count := counts.get(ids[offset]):
                result[offset] = Known(None, count)

    def _next_row(self, reader: sqlite3.Connection, item_id: bytes) -> tuple[Any, ...] | None:
        """Return the next occurrence of an id whose first has been given out."""
        first = self._next.get(item_id, 1)
        parameters = (self._session.run_id, self._session.id, item_id, first, _REREAD)
        for row in reader.execute(_sql.query("known_next"), parameters).fetchall():
            place, bit = row[0] >> 3, 1 << (row[0] & 7)
            if not self._given[place] & bit:
                self._given[place] |= bit
                if row[2] - first == _REREAD - 1:
                    self._next[item_id] = row[2] + 1
                return tuple(row)
        return None

    def _load(self, row: tuple[Any, ...]) -> Outcome | None:
        try:
            value = _rows.load_value(self._path, row[8], row[9], row[10]) if row[3] == "ok" else None
        except Exception:  # noqa: BLE001 - unpickling runs anybody's code: the item is run again, its row replaced
            self._unreadable.setdefault(row[1], []).append((row[0], row[2]))
            return None
        return _rows.outcome_of(row, value, self._session.wall_offset)
