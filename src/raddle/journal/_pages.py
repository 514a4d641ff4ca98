"""The rows of a run's earlier sessions, as they are read: a page at a time, each with its checksum verified."""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from raddle._model import Status
from raddle.journal import _explain, _rows, _sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from raddle.journal._session import Session

__all__ = ["STATUS", "Pages", "Row", "bytes_of"]

# Rows read at once, growing up to the second number while the values of a page are small.
_FIRST_PAGE, _PAGE, _PAGE_BYTES = 16, 4096, 4 << 20
# Ids in one IN (...); far below SQLite's limit of 32766.
_BATCH = 512
STATUS = {status.value: status for status in Status}

# Of read_rows and pick_rows: number, run, item id, position, status, attempts, started, seconds, worker, seal, value.
Row = tuple[Any, ...]
_number, _run_id, _item_id, _position, _status, _seal, _value = map(itemgetter, (0, 1, 2, 3, 4, 9, 10))


class Pages:
    """The rows of a run's earlier sessions, in the order of recording, each verified."""

    def __init__(self, path: Path, session: Session, window: int) -> None:
        self._path = path
        self._session = session
        self._reader = _sql.connect_reader(path)
        ranges = self._reader.execute(_sql.query("ranges"), (session.run_id, session.id)).fetchall()
        self._page = min(_FIRST_PAGE, window)
        self._ranges = deque((first, min(last, session.highest)) for first, last in ranges)

    @property
    def ended(self) -> bool:
        """Whether all have been read."""
        return not self._ranges

    def read(self) -> list[Row]:
        """Return the next page; nothing at the end."""
        while self._ranges:
            first, last = self._ranges.popleft()
            rows = self._fetch("read_rows", (first, last, self._page))
            if len(rows) == self._page:
                self._ranges.appendleft((rows[-1][0] + 1, last))
            if rows:
                small = bytes_of(rows) < _PAGE_BYTES
                self._page = min(2 * self._page, _PAGE) if small else max(1, self._page // 8)
                return rows
        return []

    def pick(self, numbers: list[int]) -> dict[int, Row]:
        """Return the rows of these numbers."""
        rows = [row for batch in _batches(numbers) for row in self._fetch("pick_rows", batch)]
        return dict(zip(map(_number, rows), rows, strict=True))

    def more(self, numbers: list[int]) -> dict[int, Row]:
        """Return what only some rows have: number, error type, message, traceback, file and size of the value."""
        sql = "more_of_rows"
        found = (self._reader.execute(_sql.query(sql, len(batch)), batch).fetchall() for batch in _batches(numbers))
        return {row[0]: row for rows in found for row in rows}

    def interruptions(self, ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return how often items were under way when the program died, those left out for which it is 0."""
        counts: dict[bytes, int] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            sql = _sql.query("interruptions", len(batch))
            counts |= dict(self._reader.execute(sql, (self._session.run_id, *batch)).fetchall())
        return counts

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def _fetch(self, name: str, parameters: Sequence[int]) -> list[Row]:
        # All at once: a reader that sits in a transaction keeps the writer's log from being folded in.
        rows = self._reader.execute(_sql.query(name, len(parameters)), parameters).fetchall()
        ids, seals, values = list(map(_item_id, rows)), list(map(_seal, rows)), map(_value, rows)
        sealed = list(_rows.seals(ids, map(_position, rows), [value or b"" for value in values]))
        if sealed != seals:
            # The first schema had no seals.
            wrong = [row[0] for row, seal in zip(rows, sealed, strict=True) if row[9] not in {None, seal}]
            if wrong:
                raise _explain.damaged(self._path, f"row {wrong[0]} of outcome is not what was written")
        if not (set(map(_run_id, rows)) <= {self._session.run_id} and set(map(_status, rows)) <= STATUS.keys()):
            raise _explain.damaged(self._path, "rows of outcome name a run or a status that cannot be")
        return rows


def bytes_of(rows: Iterable[Row]) -> int:
    """Return how much the values of rows hold."""
    return sum(map(len, filter(None, map(_value, rows))))


def _batches(values: list[int]) -> Iterator[list[int]]:
    """Part values for statements of few different lengths: the last one fills up short batches."""
    for start in range(0, len(values), _BATCH):
        batch = values[start : start + _BATCH]
        yield batch + batch[-1:] * ((1 << (len(batch) - 1).bit_length()) - len(batch))
