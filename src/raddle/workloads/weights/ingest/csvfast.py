"""CSV in bulk: lines that are plain are cut into cells by compiled loops, all others are read with care, in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle import errors
from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.ingest.rows import Records, Row
from raddle.workloads.weights.ingest.streams import Block, blocks
from raddle.workloads.weights.options import no_such
from raddle.workloads.weights.rules.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from numpy.typing import NDArray

    from raddle.workloads.weights.ingest.blocks import Dialect
    from raddle.workloads.weights.options import ReadOptions
    from raddle.workloads.weights.values import Bytes, Ints

__all__ = ["Cells", "Layout", "Lines", "layout", "read_lines"]

_DEFAULTS: Final = {
    "user": ("user_id",),
    "time": ("effectiveDateTime",),
    "weight": ("weight",),
    "unit": ("unit",),
    "source": ("source_type", "source"),
}
#: lines taken at a time: it bounds the memory of blocks of very short lines
_MOST: Final = 1 << 18
_ASCII: Final = 127
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the cells of a row are, by column number; None: there is no such column."""

    width: int
    user: int | None
    time: int
    weight: int
    unit: int | None
    source: int | None
    where: tuple[tuple[int, frozenset[str]], ...]

    @property
    def needed(self) -> tuple[int, ...]:
        """Return the numbers of all columns that are looked at, ascending."""
        roles = (self.user, self.time, self.weight, self.unit, self.source)
        return tuple(sorted({at for at in roles if at is not None} | {at for at, _ in self.where}))


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Texts of one column: the i-th is `[starts[i], ends[i])` of `buf`."""

    buf: Bytes
    starts: Ints
    ends: Ints

    def text(self, at: int) -> str:
        """Return one text."""
        return self.buf[self.starts[at] : self.ends[at]].tobytes().decode("utf-8")


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Some lines of a file: rows in bulk, and others read with care."""

    layout: Layout
    buf: Bytes
    #: of the rows in bulk: line, where its text begins and ends, kind (FAST, BLANK or MALFORMED)
    line: Ints
    begin: Ints
    stop: Ints
    kind: Bytes
    #: cells of the FAST ones among them, by column
    cells: dict[int, Cells]
    slow: list[Row]


def layout(header: list[str], dialect: Dialect, options: ReadOptions, name: str) -> Layout:
    """Find the columns.

    Raises:
        ConfigError: a column is missing, or two have a name that is needed
    """

    def place(role: str, *, needed: bool) -> int | None:
        asked: str | None = getattr(options.columns, role) or getattr(dialect.columns, role)
        names = (asked,) if asked else _DEFAULTS[role]
        found = next((column for column in names if column in header), None)
        if found is not None:
            return only(found)
        if needed or getattr(options.columns, role):
            raise errors.ConfigError(
                f"{name}, column for {role}: {no_such(names[0] or '', header)} Name it with --columns {role}=NAME"
            )
        return None

    def only(column: str) -> int:
        if header.count(column) > 1:
            raise errors.ConfigError(
                f"{name}: {header.count(column)} columns are called {column!r}; rename all but one"
            )
        return header.index(column)

    for column, _ in options.where:
        if column not in header:
            raise errors.ConfigError(f"{name}, where={column}: {no_such(column, header)}")
    time, weight = place("time", needed=True), place("weight", needed=True)
    assert time is not None and weight is not None  # noqa: S101, PT018 - place() raised if not
    return Layout(
        width=len(header),
        user=place("user", needed=True) if dialect.user is None else None,
        time=time,
        weight=weight,
        unit=place("unit", needed=False),
        source=place("source", needed=False),
        where=tuple((only(column), values) for column, values in options.where),
    )


def read_lines(
    file: IO[bytes], name: str, dialect: Dialect, options: ReadOptions, *, fast: bool, block_bytes: int
) -> Iterator[Lines]:
    """Read a CSV file after its header. Not `fast`: every line with care, which gives the same rows.

    Raises:
        ConfigError: no header, a column is missing, gzip data cut short
    """
    found: Layout | None = None
    pending, line, begun = b"", 1, False
    for block in blocks(file, name, size=block_bytes):
        data = pending + block.data
        if not begun:
            data, begun = data.removeprefix(_BOM), bool(data)
        block = Block(data, {place + len(data) - len(block.data): n for place, n in block.dropped.items()}, block.last)  # noqa: PLW2901 - with what was left of the one before
        at = 0
        if found is None:
            head = _scan(block, 0, line, None, delimiter=dialect.delimiter, most=1 << 14)
            row = head.records().read(0, 0) if len(head.begin) else None
            if row is None and not block.last:
                pending = data
                continue
            if row is None or not row.cells:
                raise errors.ConfigError(f"{name}: line 1 is not a header row of a CSV file")
            found = layout([cell.strip() for cell in row.cells], dialect, options, name)
            at, line = int(head.after[row.lines - 1]), line + row.lines
        while at < len(data):
            scan = _scan(block, at, line, found, delimiter=dialect.delimiter, most=_MOST)
            slow, keep = _slow(scan, found.width, fast=fast)
            if keep:
                yield _lines(scan, found, line, keep, slow)
            at, line = int(scan.begin[keep]) if keep < len(scan.begin) else int(scan.after[-1]), line + keep
            if not keep:
                break  # a record that goes on in the next block
        pending = data[at:]


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    block: Block
    line: int
    delimiter: str
    buf: Bytes
    begin: Ints
    stop: Ints
    after: Ints
    kind: Bytes
    starts: Ints
    ends: Ints

    def records(self) -> Records:
        return Records(
            self.block.data,
            self.begin.tolist(),
            self.after.tolist(),
            line=self.line,
            delimiter=self.delimiter,
            whole=self.block.last and int(self.after[-1]) == len(self.buf),
            dropped=self.block.dropped,
        )


def _scan(block: Block, at: int, line: int, found: Layout | None, *, delimiter: str, most: int) -> _Scan:
    """Cut the next lines of a block."""
    buf = np.frombuffer(block.data, np.uint8)
    needed = () if found is None else found.needed
    width = 0 if found is None else found.width
    most = min(most, len(block.data) - at)
    slots = np.full(max(width, 1), -1, np.int64)
    slots[list(needed)] = np.arange(len(needed))
    begin, stop = np.empty(most, np.int64), np.empty(most, np.int64)
    kind = np.empty(most, np.uint8)
    starts, ends = np.empty((len(needed) or 1, most), np.int64), np.empty((len(needed) or 1, most), np.int64)
    count, after = compiled(kernels).tokenise(
        buf, at, len(buf), _marks(delimiter), width, slots, begin, stop, kind, starts, ends
    )
    begin, stop, kind = begin[:count], stop[:count], kind[:count]
    following = np.append(begin[1:], after)
    _spoiled(block.data, begin, stop, kind, at=at, after=after)
    return _Scan(block, line, delimiter, buf, begin, stop, following, kind, starts[:, :count], ends[:, :count])


@cache
def _marks(delimiter: str) -> NDArray[np.uint8]:
    marks = np.zeros(256, np.uint8)
    marks[[0, 10, 13, ord(delimiter)]] = 1
    return marks


def _spoiled(data: bytes, begin: Ints, stop: Ints, kind: Bytes, *, at: int, after: int) -> None:
    """Have lines read with care that are not UTF-8."""
    piece = data[at:after]
    if piece.isascii():
        return
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        high = np.flatnonzero(np.frombuffer(piece, np.uint8) > _ASCII) + at
        for place in np.unique(np.searchsorted(begin, high, side="right") - 1).tolist():
            try:
                data[begin[place] : stop[place]].decode("utf-8")
            except UnicodeDecodeError:
                kind[place] = kernels.SLOW


def _slow(scan: _Scan, width: int, *, fast: bool) -> tuple[list[Row], int]:
    """Read the SLOW lines; return them, and how many lines are done: not those of a record whose end is not here."""
    kind = scan.kind
    if not fast or width == 1:
        kind[:] = kernels.SLOW
    rows: list[Row] = []
    odd = np.flatnonzero(kind == kernels.SLOW).tolist()
    if not odd:
        return rows, len(kind)
    records, done = scan.records(), 0
    for place in odd:
        if place < done:
            continue
        row = records.read(place, width)
        if row is None:
            return rows, place
        rows.append(row)
        done = place + row.lines
        kind[place + 1 : done] = kernels.FOLLOWS
    return rows, len(kind)


def _lines(scan: _Scan, found: Layout, line: int, keep: int, slow: list[Row]) -> Lines:
    kind = scan.kind[:keep]
    plain = (kind != kernels.SLOW) & (kind != kernels.FOLLOWS)
    cut = np.flatnonzero(kind == kernels.FAST)
    every = len(cut) == len(scan.kind)
    return Lines(
        layout=found,
        buf=scan.buf,
        line=np.flatnonzero(plain) + line,
        begin=scan.begin[:keep][plain],
        stop=scan.stop[:keep][plain],
        kind=kind[plain],
        cells={
            column: Cells(scan.buf, scan.starts[slot], scan.ends[slot])
            if every
            else Cells(scan.buf, scan.starts[slot][cut], scan.ends[slot][cut])
            for slot, column in enumerate(found.needed)
        },
        slow=slow,
    )
