"""Used rows until all files are read: in memory, or above a limit on disk, and then by user in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.rules.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    from raddle.workloads.weights.ingest.decode import Table
    from raddle.workloads.weights.values import Bytes, Floats, Ints

    Codes = NDArray[np.int32]

__all__ = ["Columns", "Kept", "Shelf", "chunk_cuts"]

#: of a row, while it is sorted too
_ROW_BYTES = 60


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Rows as parallel columns; user and source are codes of the decoder."""

    user: Codes
    file: Codes
    line: Ints
    time: Ints
    value: Floats
    unit: Bytes
    source: Codes

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Any) -> Columns:
        """Return some of the rows."""
        return Columns(*(getattr(self, name)[rows] for name in _NAMES))


_NAMES = tuple(item.name for item in fields(Columns))
_TYPES = (np.int32, np.int32, np.int64, np.int64, np.float64, np.uint8, np.int32)


@dataclass(slots=True)
class Kept:
    """Takes rows as they come."""

    scratch: Path
    memory_bytes: int
    pieces: list[Columns] = field(default_factory=list)
    rows: int = 0
    spilled: list[Path] = field(default_factory=list)

    def add(self, table: Table, file: int) -> None:
        """Keep the used rows of a table."""
        used = table.reason == 0
        every: Any = slice(None) if used.all() else used
        count = int(np.count_nonzero(used))
        if not count:
            return
        numbers = np.full(count, file, np.int32)
        columns = (table.user, table.line, table.time, table.value, table.unit, table.source)
        user, line, time, value, unit, source = (column[every] for column in columns)
        self.pieces.append(Columns(user, numbers, line, time, value, unit, source))
        self.rows += count
        if self.rows * _ROW_BYTES > self.memory_bytes // 2:
            self._spill()

    def _spill(self) -> None:
        path = self.scratch / f"rows-{len(self.spilled)}"
        with path.open("wb") as file:
            _write(file, _joined(self.pieces))
        self.spilled.append(path)
        self.pieces.clear()
        self.rows = 0

    def shelved(self, ranks: Codes, starts: Ints, cuts: Ints) -> Shelf:
        """Put all rows in the order of users; nothing can be added after that.

        ranks: place of each user, by code, among those that have rows. starts: by place, the number of rows before,
        and of all rows. cuts: places where chunks begin, and the number of users.
        """
        if not self.spilled:
            rows = _joined(self.pieces)
            self.pieces.clear()
            return Shelf(ranks, starts, cuts, np.array([0, len(cuts) - 1]), memory=rows)
        if self.pieces:
            self._spill()
        most = max(1, self.memory_bytes // (4 * _ROW_BYTES))
        buckets = chunk_cuts(starts[cuts], most)
        paths = [self.scratch / f"users-{number}" for number in range(len(buckets) - 1)]
        for path in paths:
            path.unlink(missing_ok=True)
        of_user = np.repeat(np.arange(len(paths)), np.diff(cuts[buckets]))
        for spilled in self.spilled:
            for piece in _read(spilled):
                _scatter(piece, of_user[ranks[piece.user]], paths)
            spilled.unlink()
        return Shelf(ranks, starts, cuts, buckets, paths=tuple(paths))


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """All rows by user."""

    ranks: Codes
    starts: Ints
    cuts: Ints
    #: chunks where buckets begin, and the number of chunks
    buckets: Ints
    memory: Columns | None = None
    paths: tuple[Path, ...] = ()

    def chunks(self) -> Iterator[tuple[int, int, Columns]]:
        """Yield chunks: first and last place of its users (exclusive), and their rows by user, file and line."""
        for bucket in range(len(self.buckets) - 1):
            first, end = int(self.buckets[bucket]), int(self.buckets[bucket + 1])
            if first == end:
                continue
            rows = self.memory if self.memory is not None else _joined(list(_read(self.paths[bucket])))
            low = int(self.starts[self.cuts[first]])
            keys = self.ranks[rows.user]
            order = np.empty(len(rows), np.int64)
            compiled(kernels).place(keys, self.starts - low, order)
            for chunk in range(first, end):
                here, there = int(self.cuts[chunk]), int(self.cuts[chunk + 1])
                yield here, there, rows.take(order[self.starts[here] - low : self.starts[there] - low])


def _scatter(piece: Columns, bucket: Ints, paths: list[Path]) -> None:
    counts = np.bincount(bucket, minlength=len(paths))
    ends = np.cumsum(counts)
    order = np.empty(len(piece), np.int64)
    compiled(kernels).place(bucket, ends - counts, order)
    for number in np.flatnonzero(counts).tolist():
        with paths[number].open("ab") as file:
            _write(file, piece.take(order[ends[number] - counts[number] : ends[number]]))


def chunk_cuts(totals: Ints, most: int) -> Ints:
    """Return where groups begin, and the end, so that each has at most `most` by running totals, or one member."""
    cuts = [0]
    last = len(totals) - 1
    while cuts[-1] < last:
        here = cuts[-1]
        cuts.append(max(here + 1, int(np.searchsorted(totals, totals[here] + most, side="right")) - 1))
    return np.array(cuts, np.int64)


def _joined(pieces: list[Columns]) -> Columns:
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        empty: list[Any] = [np.empty(0, kind) for kind in _TYPES]
        return Columns(*empty)
    return Columns(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in _NAMES))


def _write(file: IO[bytes], rows: Columns) -> None:
    for name in _NAMES:
        np.save(file, getattr(rows, name), allow_pickle=False)


def _read(path: Path) -> Iterator[Columns]:
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            yield Columns(*(np.load(file, allow_pickle=False) for _ in _NAMES))
