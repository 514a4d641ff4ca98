"""The few columns of outcomes that figures are made of: 20 times as fast as whole rows, whatever the values weigh."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from raddle.journal import _explain, _sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Row", "Sample", "percentiles", "scan", "spread"]

_PAGE = 20_000
#: stretches that a sample is taken from, and outcomes of each
_STRETCHES, _OF_EACH = 200, 100
_COLUMNS = """
SELECT id, item_id, status, seconds FROM outcome WHERE id BETWEEN ? AND ? AND run_id = ? ORDER BY id LIMIT ?
"""
_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


#: number, item id, status, seconds or None of an outcome; a plain tuple, as there are millions
Row = tuple[int, bytes, str, float | None]


class Sample(NamedTuple):
    """Seconds that last attempts took, in ascending order, and of how many outcomes."""

    seconds: list[float]
    of: int

    @property
    def exact(self) -> bool:
        """Whether these are all."""
        return len(self.seconds) == self.of


def scan(path: Path, run_id: int) -> Iterator[list[Row]]:
    """Yield all outcomes of a run in the order of recording, page by page.

    Each page is read over a connection of its own: nothing is held while you look at it.

    Raises:
        JournalError: the journal cannot be read
    """
    after, last = 0, 0
    while True:
        with _reading(path) as conn:
            first, last = _bounds(conn, run_id)
            rows = conn.execute(_COLUMNS, (max(first, after + 1), last, run_id, _PAGE)).fetchall()
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def spread(path: Path, run_id: int, count: int) -> Sample:
    """Return the seconds of all outcomes, or of 20,000 from 200 places evenly spread over the run if there are more.

    Raises:
        JournalError: the journal cannot be read
    """
    most = _STRETCHES * _OF_EACH
    with _reading(path) as conn:
        first, last = _bounds(conn, run_id)
        if count <= most:
            rows = conn.execute(_COLUMNS, (first, last, run_id, most)).fetchall()
        else:
            step = max(_OF_EACH, (last - first + 1) // _STRETCHES)
            starts = range(first, last + 1, step)
            asked = ((at, min(at + step - 1, last), run_id, _OF_EACH) for at in starts)
            # Each statement is a transaction of its own, since none was begun.
            rows = [row for each in asked for row in conn.execute(_COLUMNS, each).fetchall()]
    return Sample(sorted(row[3] or 0.0 for row in rows), max(count, len(rows)))


def percentiles(seconds: list[float], *, longest: float = 0.0) -> dict[str, float]:
    """Return p50, p90, p99 and max of values in ascending order (nearest rank); nothing of nothing.

    Args:
        seconds: all of them or a sample
        longest: the greatest of all, where it is known
    """
    if not seconds:
        return {}
    last = len(seconds) - 1
    found = {name: seconds[min(last, int(part * len(seconds)))] for name, part in _PERCENTILES.items()}
    return found | {"max": max(seconds[-1], longest)}


def _bounds(conn: sqlite3.Connection, run_id: int) -> tuple[int, int]:
    """Return between which numbers the outcomes of a run are; other runs may have some there too."""
    first, last = conn.execute(_sql.query("bounds"), (run_id,)).fetchone()
    highest = conn.execute(_sql.query("highest_outcome")).fetchone()[0]
    return (1, 0) if first is None else (first, min(last, highest))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_sql.connect_reader(path)) as conn:
        try:
            yield conn
        except sqlite3.Error as error:
            raise _explain.explain(path, error) from error
