"""Bounds of about a thousand outcomes in a row: what lets an ordered page, or a chart, of a million look at few.

The writer notes them with its group commits, a row for a thousand. An index over seconds or positions would cost every
insert; a list of the slowest would serve one question only. Without them (an older journal, the last rows of a session)
all is looked at.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from raddle.journal import _sql

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["ROWS", "Bounds", "Stretch", "stretches"]

#: outcomes in one, at least; and in what is added to one, at most
ROWS = 1024
_SLICE = 2 * ROWS
#: outcomes without bounds that are looked at in one go
_PIECE = 16 * ROWS
_LEAST, _MOST = float("-inf"), float("inf")


class Stretch(NamedTuple):
    """Outcomes from number `first` to `last`, of one run, and between which bounds they are."""

    first: int
    last: int
    not_ok: int = 0
    least_position: float = _LEAST
    greatest_position: float = _MOST
    least_start: float = _LEAST
    greatest_end: float = _MOST
    slowest: float = _MOST

    @property
    def rows(self) -> int:
        """How many there were when they were recorded."""
        return self.last - self.first + 1

    @property
    def bounded(self) -> bool:
        """Whether the bounds are known."""
        return self.slowest < _MOST


class Bounds:
    """Adds up the bounds of outcomes in the order in which their rows are inserted. Used by the writer's thread.

    Python does it, from lists that are there anyway: an aggregate over the rows takes ten times as long.
    """

    def __init__(self, wall_offset: float, highest: int) -> None:
        self._wall_offset = wall_offset
        self._next = highest + 1
        self._done: list[Stretch] = []
        self._open: Stretch | None = None

    def add(
        self, positions: list[int], starts: list[float], seconds: list[float], not_ok: list[bool] | None = None
    ) -> None:
        """Take note of rows; `starts` are monotonic. Without `not_ok`, all ended ok."""
        count = len(positions)
        for start in range(0, count, _SLICE):
            place, end = slice(start, start + _SLICE), min(start + _SLICE, count)
            some = positions[place] if count > _SLICE else positions
            first, self._next = self._next, self._next + end - start
            new = Stretch(
                first,
                self._next - 1,
                sum(not_ok[place]) if not_ok else 0,
                min(some),
                max(some),
                min(starts[place]) + self._wall_offset,
                0.0,
                max(seconds[place]),
            )
            self._open = new if self._open is None else _together(self._open, new)
            if self._open.rows >= ROWS:
                self._done.append(self._open)
                self._open = None

    def write(self, conn: sqlite3.Connection) -> None:
        """Write the stretches that are long enough, in the transaction that is open."""
        if self._done:
            # Whatever is recorded now has ended by now.
            now = time.monotonic() + self._wall_offset
            conn.executemany(_sql.query("add_stretch"), [one._replace(greatest_end=now) for one in self._done])
            self._done.clear()

    def forget(self, highest: int) -> None:
        """Begin anew behind `highest`: what was added since the last `write` was rolled back, in part at least."""
        self._next, self._open = highest + 1, None
        self._done.clear()


def _together(one: Stretch, more: Stretch) -> Stretch:
    return Stretch(
        one.first,
        more.last,
        one.not_ok + more.not_ok,
        min(one.least_position, more.least_position),
        max(one.greatest_position, more.greatest_position),
        min(one.least_start, more.least_start),
        0.0,
        max(one.slowest, more.slowest),
    )


def stretches(conn: sqlite3.Connection, run_id: int) -> list[Stretch]:
    """Return all outcomes of a run in stretches, in the order of recording."""
    noted = conn.execute("PRAGMA user_version").fetchone()[0] >= _sql.WITH_HISTORY
    found: list[Stretch] = []
    for first, last in conn.execute(_sql.query("run_ranges"), (run_id,)).fetchall():
        if last is None:
            continue
        for row in conn.execute(_sql.query("stretches"), (first, last)).fetchall() if noted else ():
            one = Stretch._make(row)
            found += _pieces(first, one.first - 1)
            found.append(one)
            first = one.last + 1  # noqa: PLW2901 - how far it has come
        found += _pieces(first, last)
    return found


def _pieces(first: int, last: int) -> Iterator[Stretch]:
    for start in range(first, last + 1, _PIECE):
        yield Stretch(start, min(start + _PIECE - 1, last))
