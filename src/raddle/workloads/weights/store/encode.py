"""Parts as the rows of tables: whole columns at a time, cut up by user in the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from raddle.workloads.weights.store.history import RESULTS, ROWS
from raddle.workloads.weights.values import DAY, FIELDS, RESETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.values import Bools, Chunk, Filtered, Ints, Revised

__all__ = ["Layout", "Rows", "changed_rows", "encode", "layout", "readings_of", "times"]

_TREND = FIELDS.index("trend")
_WEIGHT = FIELDS.index("filtered_weight")
_READING_FIELDS = ("filtered_weight", "trend", "innovation", "quality")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table in order of users, as columns; `owner` says whose each is, as a number in the chunk."""

    owner: Ints
    columns: Sequence[Sequence[Any]]

    def of(self, first: int, end: int) -> Iterator[tuple[Any, ...]]:
        """Return the rows of users `first` to `end`, exclusive."""
        low, high = np.searchsorted(self.owner, (first, end)).tolist()
        # One tuple at a time, which zip() uses again: a list of millions of them keeps the garbage collector busy.
        return zip(*(column[low:high] for column in self.columns), strict=True)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The rows of a chunk in the order in which they are kept: by user, file, line."""

    #: per row of the chunk, the number of its user
    user: Ints
    #: chunk rows in the order kept; None: as they are
    order: Ints | None
    #: per chunk row, its place among its user's rows of the same file
    row: Ints

    def kept(self, column: Any) -> Any:
        """Return a column of the chunk in the order kept."""
        return column if self.order is None else column[self.order]


def layout(chunk: Chunk) -> Layout:
    """Find out in which order the rows of a chunk are kept."""
    count = len(chunk.line)
    user = np.repeat(np.arange(len(chunk.users)), np.diff(chunk.starts))
    same = (user[1:] == user[:-1]) & (chunk.file[1:] == chunk.file[:-1])
    rising = (user[1:] > user[:-1]) | (chunk.file[1:] > chunk.file[:-1]) | (same & (chunk.line[1:] >= chunk.line[:-1]))
    order = None if rising.all() else np.lexsort((chunk.line, chunk.file, user))
    if order is not None:
        by_user, by_file = user[order], chunk.file[order]
        same = (by_user[1:] == by_user[:-1]) & (by_file[1:] == by_file[:-1])
    place = np.arange(count)
    first = np.ones(count, dtype=np.bool_)
    first[1:] = ~same
    place -= np.maximum.accumulate(np.where(first, place, 0))
    if order is not None:
        back = np.empty(count, dtype=np.int64)
        back[order] = place
        place = back
    return Layout(user, order, place)


def changed_rows(live: Filtered, final: Filtered) -> Bools:
    """Return per row whether the retrospective pass says something else than the main pass."""
    changed: Bools = (live.stage != final.stage) | (live.reset != final.reset)
    for column in (_WEIGHT, _TREND):
        old, new = live.out[column], final.out[column]
        changed |= (old != new) & ~(np.isnan(old) & np.isnan(new))
    return changed


def times(ticks: Any, *, days: bool) -> list[Any]:
    """Return times for people and for SQLite's date functions: days, or ISO 8601 in UTC."""
    if days:
        return [tick / DAY for tick in ticks.tolist()]
    texts = np.datetime_as_string(ticks.astype("<M8[us]"), unit="us").tolist()
    return [f"{text.removesuffix('.000000')}+00:00" for text in texts]


def encode(part: Part, revised: Revised | None, ingest: int, lay: Layout) -> dict[str, Rows]:
    """Return what a part means for each table but those of revisions and readings."""
    final = part.filtered if revised is None else revised.filtered
    return {
        "snapshots": _snapshots(part.chunk, final, lay, ingest),
        "history": _history(part.chunk, part.fresh, lay, ingest),
        "results": _results(part.chunk, part.filtered, revised, lay, ingest),
        "resets": _resets(part.chunk, final, lay, ingest),
    }


def _snapshots(chunk: Chunk, final: Filtered, lay: Layout, ingest: int) -> Rows:
    users = len(chunk.users)
    states = np.ascontiguousarray(final.states, dtype="<f8")
    some = np.isfinite(states[:, 2])
    last: list[Any] = [None] * users
    for place, text in zip(np.flatnonzero(some).tolist(), times(states[some, 5], days=chunk.days), strict=True):
        last[place] = text
    numbers = np.where(some[:, None], states[:, :5], np.nan)
    count = np.diff(chunk.starts)
    accepted = np.bincount(lay.user[final.stage <= 1], minlength=users)
    restarts = np.bincount(lay.user[final.reset > 1], minlength=users)
    since = np.where(np.isfinite(states[:, 6]), states[:, 6], 0).astype(np.int64)
    columns = (
        chunk.users,
        [ingest] * users,
        *numbers.T.tolist(),
        last,
        count.tolist(),
        accepted.tolist(),
        (count - accepted).tolist(),
        restarts.tolist(),
        since.tolist(),
        chunk.unused.tolist(),
        chunk.height_m.tolist(),
        _slices(states, np.arange(users + 1)),
    )
    return Rows(np.arange(users), columns)


def _history(chunk: Chunk, fresh: Bools, lay: Layout, ingest: int) -> Rows:
    picked = lay.kept(np.arange(len(chunk.line)))
    picked = picked[lay.kept(fresh)]
    user, file = lay.user[picked], chunk.file[picked]
    edge = np.ones(len(picked), dtype=np.bool_)
    edge[1:] = (user[1:] != user[:-1]) | (file[1:] != file[:-1])
    firsts = np.flatnonzero(edge)
    group = np.cumsum(edge) - 1
    source, sources = _own_sources(chunk.source[picked], chunk.source_names, group, len(firsts))
    rows = np.empty(len(picked), dtype=ROWS)
    rows["line"], rows["time"], rows["value"] = chunk.line[picked], chunk.time[picked], chunk.value[picked]
    rows["unit"], rows["source"] = chunk.unit[picked], source
    bounds = np.append(firsts, len(picked))
    owner = user[firsts]
    names = [chunk.users[place] for place in owner.tolist()]
    ingests = [ingest] * len(firsts)
    counts = np.diff(bounds).tolist()
    return Rows(owner, (names, file[firsts].tolist(), ingests, counts, sources, _slices(rows, bounds)))


def _own_sources(source: Ints, names: tuple[str, ...], group: Ints, groups: int) -> tuple[Any, list[str]]:
    """Number the sources of each group for itself, by name: what is kept of a user depends on nobody else."""
    width = len(names)
    if not len(source):
        return source, []
    by_name = sorted(range(width), key=names.__getitem__)
    rank = np.empty(width, dtype=np.int64)
    rank[by_name] = np.arange(width)
    key = group * width + rank[source]
    if groups * width <= 16 * len(source) + 65536:
        there = np.zeros(groups * width, dtype=np.bool_)
        there[key] = True
        local = (np.cumsum(there.reshape(groups, width), axis=1) - 1).ravel()[key]
        pairs = np.flatnonzero(there)
    else:  # a table of all sources for each group would be larger than what it says
        pairs, numbers = np.unique(key, return_inverse=True)
        local = numbers - np.searchsorted(pairs, group * width)
    bounds = np.searchsorted(pairs, np.arange(groups + 1) * width).tolist()
    codes = (pairs % width).tolist()
    texts: dict[tuple[int, ...], str] = {}
    lists = []
    for low, high in pairwise(bounds):
        found = tuple(codes[low:high])
        if found not in texts:
            texts[found] = json.dumps([names[by_name[code]] for code in found], ensure_ascii=False)
        lists.append(texts[found])
    return local, lists


def _results(chunk: Chunk, live: Filtered, revised: Revised | None, lay: Layout, ingest: int) -> Rows:
    users = len(chunk.users)
    said = _packed(live, lay)
    finals: list[Any] = [None] * users
    if revised is not None:
        cut = _slices(_packed(revised.filtered, lay), chunk.starts)
        for place in np.unique(lay.user[changed_rows(live, revised.filtered)]).tolist():
            finals[place] = cut[place]
    return Rows(np.arange(users), (chunk.users, [ingest] * users, _slices(said, chunk.starts), finals))


def _packed(filtered: Filtered, lay: Layout) -> Any:
    rows = np.empty(len(filtered.stage), dtype=RESULTS)
    rows["stage"], rows["reset"] = lay.kept(filtered.stage), lay.kept(filtered.reset)
    rows["filtered_weight"], rows["trend"] = lay.kept(filtered.out[_WEIGHT]), lay.kept(filtered.out[_TREND])
    return rows


def _resets(chunk: Chunk, final: Filtered, lay: Layout, ingest: int) -> Rows:
    picked = np.flatnonzero(final.reset)
    count = len(final.stage)
    last = np.maximum.accumulate(np.where(final.stage <= 1, np.arange(count), -1))
    before = np.concatenate((np.full(1, -1), last))[picked]  # the last accepted row above each
    owner = lay.user[picked]
    known = before >= chunk.starts[owner]
    weight = final.out[_WEIGHT]
    columns = (
        [chunk.users[place] for place in owner.tolist()],
        [ingest] * len(picked),
        chunk.file[picked].tolist(),
        lay.row[picked].tolist(),
        chunk.line[picked].tolist(),
        times(chunk.time[picked], days=chunk.days),
        [RESETS[code] for code in final.reset[picked].tolist()],
        np.where(known, weight[np.maximum(before, 0)], np.nan).tolist() if count else [],
        weight[picked].tolist(),
    )
    return Rows(owner, columns)


def readings_of(part: Part, revised: Revised | None, ingest: int, lay: Layout) -> Rows:
    """Return a row per reading, with the final word on it."""
    chunk, kept = part.chunk, lay.kept
    final = part.filtered if revised is None else revised.filtered
    user, time = kept(lay.user), kept(chunk.time)
    columns = (
        np.array(chunk.users, dtype=object)[user].tolist(),
        [ingest] * len(user),
        kept(chunk.file).tolist(),
        kept(lay.row).tolist(),
        kept(chunk.line).tolist(),
        (time / DAY if chunk.days else time).tolist(),
        kept(final.weight).tolist(),
        np.array(chunk.source_names, dtype=object)[kept(chunk.source)].tolist(),
        kept(final.stage).tolist(),
        kept(final.reset).tolist(),
        *(kept(final.out[FIELDS.index(name)]).tolist() for name in _READING_FIELDS),
    )
    return Rows(user, columns)


def _slices(rows: Any, bounds: Any) -> list[memoryview]:
    """Cut an array into the bytes of `[bounds[i], bounds[i + 1])`, without a copy."""
    size = rows.dtype.itemsize * (rows.shape[1] if rows.ndim > 1 else 1)
    view = memoryview(rows.tobytes())
    edges = (bounds * size).tolist()
    return [view[low:high] for low, high in pairwise(edges)]
