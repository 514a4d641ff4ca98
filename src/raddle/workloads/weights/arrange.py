"""Rows of a chunk as the rules take them: with what the state already has, in order, each said once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from raddle.workloads.weights.parts import Duplicate

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bools, Bytes, Chunk, Filtered, Floats, Ints

__all__ = ["Arranged", "Published", "arrange", "only"]

_ROWS = ("line", "file", "time", "value", "unit", "source")


class Published(Protocol):
    """Earlier rows of some users, with the results that were given out. Columns as in Chunk."""

    @property
    def users(self) -> tuple[str, ...]: ...
    @property
    def starts(self) -> Ints: ...
    @property
    def source_names(self) -> tuple[str, ...]: ...
    @property
    def stage(self) -> Bytes: ...
    @property
    def filtered_weight(self) -> Floats: ...
    @property
    def trend(self) -> Floats: ...


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """A chunk in order."""

    chunk: Chunk
    #: per row: new with this run
    fresh: Bools
    #: per row: its offset in the earlier rows, -1 for new ones
    earlier: Ints
    duplicates: tuple[Duplicate, ...]


def arrange(chunk: Chunk, earlier: Any = None, *, by_time: bool) -> Arranged:
    """Merge the rows of a chunk with earlier ones of the same users and put them in order.

    `by_time` (v2): by time, then file, then line; of rows that say the same (time, value, unit and source) only the
    first one stays. Without it (compat): by file and line, nothing dropped.
    """
    columns, names, owner, origin = _merged(chunk, earlier)
    order = _order(columns, owner, by_time=by_time)
    duplicates: tuple[Duplicate, ...] = ()
    unused = chunk.unused
    if by_time:
        order, duplicates, unused = _said_once(chunk, columns, owner, order)
    owner = owner[order]
    starts = np.zeros(len(chunk.users) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owner, minlength=len(chunk.users)), out=starts[1:])
    rows: dict[str, Any] = {name: np.ascontiguousarray(columns[name][order]) for name in _ROWS}
    ordered = replace(chunk, starts=starts, source_names=names, unused=unused, **rows)
    origin = origin[order]
    return Arranged(ordered, origin < 0, origin, duplicates)


def _merged(chunk: Chunk, earlier: Any) -> tuple[dict[str, Any], tuple[str, ...], Ints, Ints]:
    """Return the columns of both, all source names, the user of each row and where earlier rows come from."""
    columns = {name: getattr(chunk, name) for name in _ROWS}
    owner = np.repeat(np.arange(len(chunk.users)), np.diff(chunk.starts))
    origin = np.full(len(owner), -1, dtype=np.int64)
    if earlier is None or not len(earlier.time):
        return columns, chunk.source_names, owner, origin
    places = {user: at for at, user in enumerate(chunk.users)}
    numbers = {name: number for number, name in enumerate(chunk.source_names)}
    renumbered = np.array([numbers.setdefault(name, len(numbers)) for name in earlier.source_names], dtype=np.int64)
    known = np.repeat([places[user] for user in earlier.users], np.diff(earlier.starts))
    merged = {
        name: np.concatenate(
            [renumbered[earlier.source] if name == "source" else getattr(earlier, name), columns[name]]
        )
        for name in _ROWS
    }
    return (
        merged,
        tuple(numbers),
        np.concatenate([known, owner]).astype(np.int64),
        np.concatenate([np.arange(len(known)), origin]),
    )


def _order(columns: dict[str, Any], owner: Ints, *, by_time: bool) -> Ints:
    """Return the rows in order; most files have them nearly so, and looking is cheaper than sorting."""
    line, file, time = columns["line"], columns["file"], columns["time"]
    order = np.arange(len(owner))
    same, later = owner[1:] == owner[:-1], owner[1:] > owner[:-1]
    filed = (file[1:] > file[:-1]) | ((file[1:] == file[:-1]) & (line[1:] >= line[:-1]))
    if not (later | (same & filed)).all():
        order = np.lexsort((line, file, owner))
        owner, time = owner[order], time[order]
        same, later = owner[1:] == owner[:-1], owner[1:] > owner[:-1]
    if by_time and not (later | (same & (time[1:] >= time[:-1]))).all():
        order = order[np.lexsort((time, owner))]  # stable: rows of one time stay by file and line
    return order


def _said_once(
    chunk: Chunk, columns: dict[str, Any], owner: Ints, order: Ints
) -> tuple[Ints, tuple[Duplicate, ...], Ints]:
    """Leave out rows that repeat another; of several the first by file and line stays."""
    time, who = columns["time"][order], owner[order]
    twin = (time[1:] == time[:-1]) & (who[1:] == who[:-1])
    if not twin.any():
        return order, (), chunk.unused
    alike = order[np.concatenate([twin, [False]]) | np.concatenate([[False], twin])]  # all of one user and time
    said = [columns[name][alike] for name in ("source", "unit", "value", "time")] + [owner[alike]]
    by = np.lexsort(said)  # stable: of those that say the same, the first by file and line comes first
    same = np.ones(len(by) - 1, dtype=bool)
    for column in said:
        same &= column[by][1:] == column[by][:-1]
    if not same.any():
        return order, (), chunk.unused
    group = np.cumsum(np.concatenate([[True], ~same])) - 1
    first = alike[by[np.flatnonzero(np.concatenate([[True], ~same]))]]
    repeats = np.flatnonzero(same) + 1
    dropped, kept = alike[by[repeats]], first[group[repeats]]
    out = np.zeros(len(owner), dtype=bool)
    out[dropped] = True
    found = sorted(
        Duplicate(
            user=chunk.users[int(owner[row])],
            file=int(columns["file"][row]),
            line=int(columns["line"][row]),
            same_file=int(columns["file"][used]),
            same_line=int(columns["line"][used]),
        )
        for row, used in zip(dropped.tolist(), kept.tolist(), strict=True)
    )
    counts = np.bincount(owner[dropped], minlength=len(chunk.users))
    return order[~out[order]], tuple(found), chunk.unused + counts


def only(chunk: Chunk, filtered: Filtered, rows: Bools) -> tuple[Chunk, Filtered]:
    """Return a chunk with some of its rows."""
    if rows.all():
        return chunk, filtered
    before = np.concatenate([[0], np.cumsum(rows)])
    columns = {name: getattr(chunk, name)[rows] for name in _ROWS}
    fewer = replace(chunk, starts=before[chunk.starts], **columns)
    return fewer, replace(
        filtered,
        weight=filtered.weight[rows],
        stage=filtered.stage[rows],
        reset=filtered.reset[rows],
        out=np.ascontiguousarray(filtered.out[:, rows]),
    )
