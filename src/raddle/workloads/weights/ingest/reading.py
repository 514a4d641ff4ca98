"""One walk over the files: rows are counted, and unless it is for counting only, kept or listed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from raddle import errors
from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.ingest.ahead import ahead
from raddle.workloads.weights.ingest.blocks import Dialect
from raddle.workloads.weights.ingest.csvfast import read_lines
from raddle.workloads.weights.ingest.decode import Decoder, Names, Source, Table, reason_code
from raddle.workloads.weights.ingest.fields import QUIET, REASONS, WHITE
from raddle.workloads.weights.ingest.presets import recognise
from raddle.workloads.weights.ingest.rejects import Refusal, write_bulk, write_refusals
from raddle.workloads.weights.ingest.streams import Input, head_of, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from raddle.workloads.weights.ingest.csvfast import Cells, Lines
    from raddle.workloads.weights.ingest.kept import Kept
    from raddle.workloads.weights.ingest.select import Selection
    from raddle.workloads.weights.options import ReadOptions
    from raddle.workloads.weights.values import Ints

__all__ = ["FileRead", "Reading"]

_BLANK, _MALFORMED, _BAD_ENCODING, _WHERE = map(reason_code, ("blank_line", "malformed_row", "bad_encoding", "where"))
_QUIET: Final = np.array([reason in QUIET for reason in REASONS])
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file, and what came of it."""

    #: as the user wrote it; "-" is standard input
    name: str
    #: as in `Chunk.file`
    number: int
    #: SHA-256 of its bytes as stored, hex
    digest: str
    rows_read: int = 0
    #: its rows are known already: in the state, or from a file before it
    skipped: bool = False
    #: how it was read
    preset: str = ""


class Reading:
    """Reads files one after the other. Without `kept` and `rejects` it counts only."""

    def __init__(
        self,
        options: ReadOptions,
        selection: Selection,
        *,
        fast: bool,
        block_bytes: int,
        threads: int = 1,
        rejects: IO[str] | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._options, self._fast, self._block_bytes = options, fast, block_bytes
        self._ahead = fast and threads > 1
        self._rejects, self._kept = rejects, kept
        self._decoder = Decoder(
            users=Names(),
            sources=Names(),
            selection=selection,
            days=options.time_unit == "days",
            strict=options.rules == "v2",
        )
        self.days = self._decoder.days
        self.rows_read = 0
        #: by code of REASONS; the first: used
        self.reasons = np.zeros(len(REASONS), np.int64)
        #: rows by code of the user
        self.used, self.unused = np.zeros(0, np.int64), np.zeros(0, np.int64)

    @property
    def users(self) -> list[str]:
        """Return the ids by code."""
        return self._decoder.users.texts

    @property
    def sources(self) -> list[str]:
        """Return the names by code."""
        return self._decoder.sources.texts

    def usable(self) -> Iterator[tuple[str, int]]:
        """Return the users seen, with their usable rows."""
        return zip(self.users, self.used.tolist(), strict=True)

    def read(self, source: Input, entry: FileRead) -> FileRead:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, or not in this way
        """
        before = self.rows_read
        head = head_of(source)
        preset = self._parquet(source, entry) if head.startswith(_PARQUET) else self._text(source, entry, head)
        return replace(entry, rows_read=self.rows_read - before, preset=preset)

    def _text(self, source: Input, entry: FileRead, head: bytes) -> str:
        found = recognise(source.name, head, self._options) or Dialect(user=self._options.user)
        with opened(source) as file:
            if isinstance(found, Dialect):
                decoder = self._decoder_for(found)
                pieces = read_lines(
                    file, source.name, found, self._options, fast=self._fast, block_bytes=self._block_bytes
                )
                with closing(ahead(pieces) if self._ahead else pieces) as near:  # type: ignore[type-var]  # a generator
                    for piece in near:
                        self._take_lines(decoder, piece, entry)
            else:
                from raddle.workloads.weights.ingest.frames import block_source  # polars is for those who need it

                self._refuse_where(source, found.name)
                for frame in found.read(file):
                    self._take_frame(self._decoder, frame, *block_source(frame), entry=entry)
        return found.name

    def _parquet(self, source: Input, entry: FileRead) -> str:
        from raddle.workloads.weights.ingest.frames import parquet_frames

        dialect = Dialect(name="parquet", user=self._options.user)
        decoder = self._decoder_for(dialect)
        for frame, line, cells in parquet_frames(source.path, source.name, self._options, dialect):
            self._take_frame(decoder, frame, line, cells, entry=entry)
        return dialect.name

    def _refuse_where(self, source: Input, preset: str) -> None:
        if self._options.where:
            column = self._options.where[0][0]
            raise errors.ConfigError(
                f"where={column}: {source.name} is read with preset={preset}, which has no columns to choose by; "
                f"leave --where out"
            )

    def _decoder_for(self, dialect: Dialect) -> Decoder:
        return replace(
            self._decoder,
            fixed_user=dialect.user,
            fixed_unit=dialect.unit or "",
            fixed_source=dialect.source or "unknown",
            parse_time=dialect.parse_time,
        )

    def _take_frame(self, decoder: Decoder, frame: pl.DataFrame, line: Ints, cells: Source, *, entry: FileRead) -> None:
        from raddle.workloads.weights.ingest.frames import refusals

        table, names, texts = decoder.bulk(line, cells)
        if "reason" in frame.columns:  # the format itself refuses it
            said = np.array([reason_code(reason or "") for reason in frame["reason"]], np.uint8)
            np.copyto(table.reason, said, where=said > 0)
        self._count(table, entry)
        if self._rejects is not None:
            write_refusals(self._rejects, refusals(frame, table, names, texts), entry.name)

    def _take_lines(self, decoder: Decoder, piece: Lines, entry: FileRead) -> None:
        table, names, texts = _bulk(decoder, piece)
        with_care, slow = _with_care(decoder, piece)
        self._count(table if with_care is None else _merged(table, with_care), entry)
        if self._rejects is None:
            return
        at = np.flatnonzero(table.reason)
        if len(at):
            rows: Any = slice(None) if len(at) == len(table.reason) else at
            write_bulk(
                self._rejects,
                slow,
                entry.name,
                buf=piece.buf,
                line=table.line[rows],
                begin=piece.begin[rows],
                stop=piece.stop[rows],
                reason=table.reason[rows],
                user=names[rows],
                users=texts,
            )
        elif slow:
            write_refusals(self._rejects, slow, entry.name)

    def _count(self, table: Table, entry: FileRead) -> None:
        self.rows_read += len(table.line)
        self.reasons += np.bincount(table.reason, minlength=len(REASONS))
        self.used = _plus(self.used, table.user[table.reason == 0], len(self.users))
        blamed = ~_QUIET[table.reason] & (table.user >= 0)
        self.unused = _plus(self.unused, table.user[blamed], len(self.users))
        if self._kept is not None:
            self._kept.add(table, entry.number)


def _bulk(decoder: Decoder, piece: Lines) -> tuple[Table, Any, list[str]]:
    """Decode the plain lines; blank and malformed ones are refused without a user (-1)."""
    places = piece.layout

    def column(at: int | None) -> Cells | None:
        return None if at is None else piece.cells[at]

    cells = Source(
        user=column(places.user),
        time=piece.cells[places.time],
        weight=piece.cells[places.weight],
        unit=column(places.unit),
        source=column(places.source),
        where=tuple((piece.cells[at], values) for at, values in places.where),
    )
    cut = piece.kind == kernels.FAST
    if cut.all():
        return decoder.bulk(piece.line, cells)
    some, some_names, texts = decoder.bulk(piece.line[cut], cells)

    def spread(values: Any, empty: Any) -> Any:
        whole: Any = np.full(len(cut), empty, values.dtype)
        whole[cut] = values
        return whole

    reason = np.where(piece.kind == kernels.BLANK, _BLANK, _MALFORMED).astype(np.uint8)
    reason[cut] = some.reason
    table = Table(
        line=piece.line,
        reason=reason,
        user=spread(some.user, -1),
        time=spread(some.time, 0),
        value=spread(some.value, 0.0),
        unit=spread(some.unit, 0),
        source=spread(some.source, 0),
    )
    return table, spread(some_names, -1), texts


def _with_care(decoder: Decoder, piece: Lines) -> tuple[Table | None, list[Refusal]]:
    """Decode the rows that were read one by one."""
    if not piece.slow:
        return None, []
    refused: list[Refusal] = []
    rows = []
    for row in piece.slow:
        decoded, user = _one(decoder, piece, row.cells)
        rows.append((row.line, *decoded))
        if decoded[0]:
            refused.append(Refusal(row.line, decoded[0], user, row.raw))
    line, reason, who, time, value, unit, source = zip(*rows, strict=True)
    return Table(
        line=np.array(line, np.int64),
        reason=np.array(reason, np.uint8),
        user=np.array(who, np.int32),
        time=np.array(time, np.int64),
        value=np.array(value, np.float64),
        unit=np.array(unit, np.uint8),
        source=np.array(source, np.int32),
    ), refused


def _one(decoder: Decoder, piece: Lines, cells: list[str] | None) -> tuple[tuple[int, int, int, float, int, int], str]:
    """Decode one row, as `Decoder.one`; return its user as written, too."""
    places = piece.layout
    if cells is None or len(cells) != places.width:
        return (_BLANK if cells == [] else _MALFORMED, -1, 0, 0.0, 0, 0), ""
    user = decoder.fixed_user or "" if places.user is None else cells[places.user]
    reason = 0
    if any("\ud800" <= letter <= "\udfff" for cell in cells if not cell.isascii() for letter in cell):
        reason = _BAD_ENCODING
    elif any(cells[at].strip(WHITE) not in values for at, values in places.where):
        reason = _WHERE
    if reason:
        return (reason, -1, 0, 0.0, 0, 0), user.strip(WHITE)
    unit = decoder.fixed_unit if places.unit is None else cells[places.unit]
    source = "" if places.source is None else cells[places.source]
    return decoder.one(user, cells[places.time], cells[places.weight], unit, source), user.strip(WHITE)


def _merged(one: Table, other: Table) -> Table:
    """Return the rows of both by line."""
    order = np.argsort(np.concatenate([one.line, other.line]), kind="stable")

    def both(name: str) -> Any:
        return np.concatenate([getattr(one, name), getattr(other, name)])[order]

    return Table(*map(both, Table.__slots__))


def _plus(counts: Ints, users: Any, size: int) -> Ints:
    more = np.bincount(users, minlength=size)
    more[: len(counts)] += counts
    return more
