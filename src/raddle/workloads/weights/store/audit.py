"""The trail of what was changed after it had been published, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.store.encode import Rows, times
from raddle.workloads.weights.store.history import of_users
from raddle.workloads.weights.values import FIELDS, STAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.store.encode import Layout
    from raddle.workloads.weights.values import Filtered, Replay, Revised, Revision

__all__ = ["Earlier", "audit", "earlier"]

_LATER: Final = "later readings"
_REVISED: Final = """
    SELECT user_id, file, row, cause, new_stage, new_filtered_weight, new_trend FROM revisions
    WHERE user_id IN ({marks}) AND ingest < ? ORDER BY user_id, ingest, number"""
_REPLAYED: Final = """
    SELECT user_id, window_start, window_end, rows, outliers, before_kg, after_kg, verdict FROM replays
    WHERE user_id IN ({marks}) AND ingest < ?"""

_Place = tuple[str, int, int]  # user, file, row


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier ingests have put on record of some users."""

    #: final word of the retrospective pass on a reading that it revised: stage, filtered weight, trend
    said: dict[_Place, tuple[str, float | None, float | None]] = field(default_factory=dict)
    windows: set[tuple[Any, ...]] = field(default_factory=set)


def earlier(connection: sqlite3.Connection, users: Sequence[str], ingest: int) -> Earlier:
    """Read what is on record of these users, without the ingest under way."""
    found = Earlier()
    for user, file, row, cause, *said in of_users(connection, _REVISED, users, ingest):
        if cause == _LATER:
            found.said.pop((user, file, row), None)
        else:
            found.said[user, file, row] = (said[0], said[1], said[2])
    found.windows.update(of_users(connection, _REPLAYED, users, ingest))
    return found


def audit(part: Part, revised: Revised | None, ingest: int, lay: Layout, known: Earlier) -> dict[str, Rows]:
    """Return the rows of `revisions` and `replays`.

    What an earlier ingest has on record in the same words is not news. A revision that the retrospective pass made
    then and does not make any more is one, caused by later readings.
    """
    trail = _Trail(part, ingest, lay)
    moved = set()
    for item in part.revisions:
        moved.add(trail.place(item.row))
        trail.add(item, None)
    if revised is not None:
        confirmed = set()
        for item in revised.revisions:
            place = trail.place(item.row)
            confirmed.add(place)
            new = (STAGES[item.new_stage], _null(item.new_filtered), _null(item.new_trend))
            if place in moved or known.said.get(place) != new:
                trail.add(item, revised.replays[item.replay] if item.replay >= 0 else None)
        for place in sorted(known.said.keys() - confirmed - moved):
            trail.withdraw(place, known.said[place], revised.filtered)
    return {"revisions": trail.revisions(), "replays": _replays(part, revised, ingest, known)}


class _Trail:
    """Rows of `revisions` as they come up; numbered per user in the end."""

    def __init__(self, part: Part, ingest: int, lay: Layout) -> None:
        self._chunk = part.chunk
        self._ingest = ingest
        self._lay = lay
        self._rows: list[tuple[int, tuple[Any, ...]]] = []

    def place(self, row: int) -> _Place:
        """Return how a row of the chunk is known from one ingest to the next."""
        user = self._chunk.users[int(self._lay.user[row])]
        return user, int(self._chunk.file[row]), int(self._lay.row[row])

    def add(self, item: Revision, replay: Replay | None) -> None:
        """Take a revision, by a replay or because of later readings."""
        old = (STAGES[item.old_stage], item.old_filtered, item.old_trend)
        new = (STAGES[item.new_stage], item.new_filtered, item.new_trend)
        self._add(item.row, old, new, replay)

    def withdraw(self, place: _Place, old: tuple[str, float | None, float | None], final: Filtered) -> None:
        """Take back what the retrospective pass once said of a reading, unless it comes to the same now."""
        user, file, row = place
        number = self._chunk.users.index(user)
        first, end = self._chunk.starts[number : number + 2].tolist()
        here = (self._chunk.file[first:end] == file) & (self._lay.row[first:end] == row)
        at = first + int(np.flatnonzero(here)[0])
        weight, trend = (float(final.out[FIELDS.index(name)][at]) for name in ("filtered_weight", "trend"))
        stage = STAGES[final.stage[at]]
        if old != (stage, _null(weight), _null(trend)):
            self._add(at, old, (stage, weight, trend), None)

    def _add(self, row: int, old: tuple[Any, ...], new: tuple[Any, ...], replay: Replay | None) -> None:
        chunk = self._chunk
        window: list[Any] = [None, None]
        if replay is not None:
            window = times(np.array([replay.start, replay.end]), days=chunk.days)
        line, time = int(chunk.line[row]), times(chunk.time[row : row + 1], days=chunk.days)[0]
        changes = (old[0], new[0], old[1], new[1], old[2], new[2])
        cause = (_LATER, *window, None) if replay is None else ("replay", *window, replay.verdict)
        place = self.place(row)
        self._rows.append((int(self._lay.user[row]), (*place[1:], line, time, *changes, *cause)))

    def revisions(self) -> Rows:
        """Return all of it, by user; a user's own in the order they came up."""
        return _numbered(self._rows, self._chunk.users, self._ingest)


def _replays(part: Part, revised: Revised | None, ingest: int, known: Earlier) -> Rows:
    chunk = part.chunk
    found = []
    for item in () if revised is None else revised.replays:
        start, end = times(np.array([item.start, item.end]), days=chunk.days)
        outliers = [
            {"file": int(chunk.file[row]), "line": int(chunk.line[row]), "methods": list(methods)}
            for row, methods in zip(item.outliers, item.methods, strict=True)
        ]
        words = json.dumps(outliers, ensure_ascii=False)
        values = (start, end, item.rows, words, _null(item.before_kg), _null(item.after_kg), item.verdict)
        if (chunk.users[item.user], *values) not in known.windows:
            found.append((item.user, values))
    return _numbered(found, chunk.users, ingest)


def _numbered(found: list[tuple[int, tuple[Any, ...]]], users: Sequence[str], ingest: int) -> Rows:
    found.sort(key=lambda each: each[0])  # stable
    rows, number, before = [], 0, -1
    for owner, values in found:
        number = number + 1 if owner == before else 1
        before = owner
        rows.append((users[owner], ingest, number, *values))
    return Rows(np.array([owner for owner, _ in found], dtype=np.int64), list(zip(*rows, strict=True)))


def _null(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
