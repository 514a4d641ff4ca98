"""What earlier sessions of a run recorded, given out once. Used by one thread, which owns a read-only connection.

Rows are read in the order of recording, a page at a time, and kept until their items come: an input in about the same
order finds each among the few that were read ahead. When too many wait, the rest is found through a `ResumeIndex`.
Before an item counts as not known, all rows have been read and their checksums verified.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections import deque
from contextlib import suppress
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from raddle._model import ErrorInfo, Outcome, Status
from raddle._ports import Known
from raddle.journal import _explain, _rows
from raddle.journal._pages import STATUS, Pages, Row, bytes_of
from raddle.journal._resume_index import ResumeIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from raddle._ports import Record
    from raddle.journal._session import Session

__all__ = ["WINDOW", "Lookup"]

#: most rows, and bytes of values, that are kept for items that have not come yet
WINDOW = 1 << 16
_WINDOW_BYTES = 32 << 20
_NO_MORE = (0, None, None, None, None, 0)
_item_id, _status, _value = itemgetter(2), itemgetter(4), itemgetter(10)


class Lookup:
    """For a run that has earlier sessions."""

    def __init__(self, path: Path, session: Session, *, retry_failed: bool = False, window: int = WINDOW) -> None:
        self._path = path
        self._session = session
        self._retry_failed = retry_failed
        self._window = window
        self._pages: Pages | None = None
        self._ahead: dict[bytes, Row] = {}
        # Further rows of an id that is in `_ahead`.
        self._again: dict[bytes, deque[Row]] = {}
        self._waiting = 0
        self._waiting_bytes = 0
        self._index: ResumeIndex | None = None
        self._replaceable: dict[bytes, deque[int]] = {}
        # Ids that are run again because it was asked for: what interrupted them before does not count.
        self._retried: set[bytes] = set()

    def known(self, ids: Sequence[bytes]) -> dict[int, Known]:
        """Return what is known of each id, by its offset.

        Raises:
            JournalDamaged: a row is not what was written
            JournalError: the journal cannot be read
        """
        if self._pages is None:
            self._pages = Pages(self._path, self._session, self._window)
        try:
            rows = self._take(self._pages, ids)
            if self._retry_failed:
                rows = {offset: row for offset, row in rows.items() if row[4] == "ok" or self._replace(row)}
            outcomes = self._outcomes(self._pages, list(rows.values()))
            result = {offset: Known(outcome) for offset, outcome in zip(rows, outcomes, strict=True) if outcome}
            if self._session.interrupted and len(result) < len(ids):
                self._add_interruptions(self._pages, ids, result)
        except sqlite3.Error as error:
            raise _explain.explain(self._path, error) from error
        return result

    def replaced(self, record: Record) -> Mapping[int, int]:
        """Return the numbers of the rows that the outcomes of a record take the place of, by their offset."""
        replaced: dict[int, int] = {}
        if not self._replaceable:
            return replaced
        for offset, (outcome, _) in enumerate(record.outcomes):
            if outcome.status is Status.CANCELLED or outcome.resumed or outcome.id is None:
                continue
            if numbers := self._replaceable.get(outcome.id):
                replaced[offset] = numbers.popleft()
                if not numbers:
                    del self._replaceable[outcome.id]
        return replaced

    def close(self) -> None:
        """Close the connections."""
        if self._pages is not None:
            self._pages.close()
        if self._index is not None:
            self._index.close()

    # --------------------------------------------------------------------------------------------- finding rows

    def _take(self, pages: Pages, ids: Sequence[bytes]) -> dict[int, Row]:
        """Return a row for each id that has one left, by its offset."""
        if self._index is not None:
            return self._take_by_index(self._index, pages, ids, range(len(ids)))
        found = list(map(self._ahead.pop, ids, repeat(None))) if not self._again else [None] * len(ids)
        rows: dict[int, Row] = {offset: row for offset, row in enumerate(found) if row is not None}
        missing = [offset for offset, row in enumerate(found) if row is None] if len(rows) < len(ids) else []
        while missing:
            missing = self._take_ahead(ids, missing, rows)
            if missing and not self._read_ahead(pages):
                break
        self._waiting -= len(rows)
        self._waiting_bytes -= bytes_of(rows.values())
        if missing and not pages.ended:
            self._index = ResumeIndex(self._all_that_waits(pages), self._session.highest)
            rows |= self._take_by_index(self._index, pages, ids, missing)
        return rows

    def _take_ahead(self, ids: Sequence[bytes], offsets: list[int], rows: dict[int, Row]) -> list[int]:
        missing = []
        ahead, again = self._ahead, self._again
        for offset in offsets:
            item_id = ids[offset]
            row = ahead.pop(item_id, None)
            if row is None:
                missing.append(offset)
                continue
            rows[offset] = row
            if item_id in again:
                ahead[item_id] = again[item_id].popleft()
                if not again[item_id]:
                    del again[item_id]
        return missing

    def _read_ahead(self, pages: Pages) -> bool:
        """Read a page more; return False if there is none, or no room for it."""
        if self._waiting >= self._window or self._waiting_bytes >= _WINDOW_BYTES:
            return False
        page = pages.read()
        self._waiting += len(page)
        self._waiting_bytes += bytes_of(page)
        new = dict(zip(map(_item_id, page), page, strict=True))
        if len(new) == len(page) and self._ahead.keys().isdisjoint(new):
            self._ahead |= new
        else:
            for row in page:
                first = self._ahead.setdefault(row[2], row)
                if first is not row:
                    self._again.setdefault(row[2], deque()).append(row)
        return bool(page)

    def _all_that_waits(self, pages: Pages) -> Iterator[tuple[bytes, int]]:
        for row in self._ahead.values():
            yield row[2], row[0]
        for rows in self._again.values():
            for row in rows:
                yield row[2], row[0]
        self._ahead, self._again = {}, {}
        while page := pages.read():
            for row in page:
                yield row[2], row[0]

    def _take_by_index(
        self, index: ResumeIndex, pages: Pages, ids: Sequence[bytes], offsets: Sequence[int]
    ) -> dict[int, Row]:
        numbers = index.take([ids[offset] for offset in offsets])
        rows = pages.pick(list(numbers.values()))
        return {offsets[place]: rows[number] for place, number in numbers.items()}

    # ------------------------------------------------------------------------------------------- making outcomes

    def _replace(self, row: Row) -> bool:
        """Let the next outcome of this id take the place of the row."""
        self._retried.add(row[2])
        self._replaceable.setdefault(row[2], deque()).append(row[0])
        return False

    def _outcomes(self, pages: Pages, rows: list[Row]) -> list[Outcome | None]:
        """Make outcomes; None for one whose value cannot be read: its item is run again."""
        values = list(map(_value, rows))
        if all(values) and set(map(_status, rows)) == {"ok"}:
            with suppress(Exception):  # unpickling runs anybody's code; below it costs only its own item
                return self._make_ok(rows, list(map(pickle.loads, values)))
        more = pages.more([row[0] for row in rows if row[4] != "ok" or not row[10]])
        return [self._outcome(row, more.get(row[0], _NO_MORE)) for row in rows]

    def _make_ok(self, rows: list[Row], values: list[Any]) -> list[Outcome | None]:
        ids, attempts, started, seconds, workers = ([row[column] for row in rows] for column in (2, 5, 6, 7, 8))
        wall_offset = self._session.wall_offset
        outcomes = zip(
            repeat(-1),
            repeat(None),
            repeat(Status.OK),
            values,
            repeat(None),
            attempts,
            [(when or 0.0) - wall_offset for when in started],
            [duration or 0.0 for duration in seconds],
            workers,
            repeat(None),
            ids,
            repeat(True),  # noqa: FBT003 - positional by nature: a row
            strict=False,
        )
        return list(map(tuple.__new__, repeat(Outcome), outcomes))

    def _outcome(self, row: Row, more: Row) -> Outcome | None:
        number, _, item_id, _, status, attempts, started, seconds, worker, _, value = row
        _, kind, message, trace, file, size = more
        try:
            value = _rows.load_value(self._path, value, file, size) if status == "ok" else None
        except Exception:  # noqa: BLE001 - unpickling runs anybody's code: the item is run again, its row replaced
            self._replaceable.setdefault(item_id, deque()).append(number)
            return None
        return Outcome(
            position=-1,
            item=None,
            status=STATUS[status],
            value=value,
            error=None if kind is None else ErrorInfo(kind, message or "", trace or ""),
            attempts=attempts,
            # Negative if it was before the machine's start.
            started=(started or 0.0) - self._session.wall_offset,
            seconds=seconds or 0.0,
            worker=worker,
            id=item_id,
            resumed=True,
        )

    def _add_interruptions(self, pages: Pages, ids: Sequence[bytes], result: dict[int, Known]) -> None:
        missing = [offset for offset in range(len(ids)) if offset not in result and ids[offset] not in self._retried]
        counts = pages.interruptions([ids[offset] for offset in missing])
        result |= {offset: Known(None, counts[ids[offset]]) for offset in missing if ids[offset] in counts}
