"""The few columns of outcomes that figures are made of: 20 times as fast as whole rows, whatever the values weigh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.journal import _sql
from raddle.journal._views import Sample

if TYPE_CHECKING:
    import sqlite3

    from raddle.journal._views import Timed

__all__ = ["PAGE", "page", "sample"]

PAGE = 20_000
#: stretches that a sample is taken from, and outcomes of each
_STRETCHES, _OF_EACH = 200, 100


def page(conn: sqlite3.Connection, run_id: int, after: int) -> list[Timed]:
    """Return the outcomes of a run with a greater number than `after`, in the order of recording; at most `PAGE`."""
    first, last = _bounds(conn, run_id)
    return conn.execute(_sql.query("timed"), (max(first, after + 1), last, run_id, PAGE)).fetchall()


def sample(conn: sqlite3.Connection, run_id: int, count: int) -> Sample:
    """Return the seconds of all outcomes, or of 20,000 from 200 places evenly spread over the run if there are more."""
    most = _STRETCHES * _OF_EACH
    first, last = _bounds(conn, run_id)
    if count <= most:
        rows = conn.execute(_sql.query("timed"), (first, last, run_id, most)).fetchall()
    else:
        step = max(_OF_EACH, (last - first + 1) // _STRETCHES)
        starts = range(first, last + 1, step)
        asked = ((at, min(at + step - 1, last), run_id, _OF_EACH) for at in starts)
        rows = [row for each in asked for row in conn.execute(_sql.query("timed"), each).fetchall()]
    return Sample(sorted(row[3] or 0.0 for row in rows), max(count, len(rows)))


def _bounds(conn: sqlite3.Connection, run_id: int) -> tuple[int, int]:
    """Return between which numbers the outcomes of a run are; other runs may have some there too."""
    first, last = conn.execute(_sql.query("bounds"), (run_id,)).fetchone()
    highest = conn.execute(_sql.query("highest_outcome")).fetchone()[0]
    return (1, 0) if first is None else (first, min(last, highest))
