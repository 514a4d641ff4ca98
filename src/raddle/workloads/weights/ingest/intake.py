"""From files to chunks of users.

rows_read == rows_used + the sum of rows_rejected, always; what is not used stands in rejects.csv.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from raddle.workloads.weights.ingest.fields import REASONS
from raddle.workloads.weights.ingest.heights import read_heights
from raddle.workloads.weights.ingest.kept import Kept, chunk_cuts
from raddle.workloads.weights.ingest.reading import FileRead, Reading
from raddle.workloads.weights.ingest.rejects import HEADER
from raddle.workloads.weights.ingest.select import Selection, chosen, counts_first, date_range, listed_users
from raddle.workloads.weights.ingest.streams import Input, located
from raddle.workloads.weights.values import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from raddle.workloads.weights.ingest.kept import Shelf
    from raddle.workloads.weights.options import ReadOptions
    from raddle.workloads.weights.values import Floats, Ints

__all__ = ["FileRead", "Intake", "ingest"]


@dataclass(frozen=True, slots=True, eq=False)
class Intake:
    """What was read. Chunks are made on demand, as often as asked; they may lie in `scratch`."""

    files: tuple[FileRead, ...]
    rows_read: int
    rows_rejected: Counter[str]
    rows_used: int
    #: ascending, those with used rows
    users: tuple[str, ...]
    #: users whose rows were all refused, for reasons that are theirs
    users_without_rows: int
    days: bool
    #: lines of the heights file: used, and not used by reason
    heights: Counter[str]
    _source_names: tuple[str, ...] = field(repr=False)
    _height_m: Floats = field(repr=False)
    _unused: Ints = field(repr=False)
    _shelf: Shelf = field(repr=False)

    def __len__(self) -> int:
        """Return how many chunks there are."""
        return len(self._shelf.cuts) - 1

    def chunks(self) -> Iterator[Chunk]:
        """Yield chunks of whole users, ascending; rows of a user in the order of files and lines."""
        for first, end, rows in self._shelf.chunks():
            starts = self._shelf.starts[first : end + 1]
            source, names = _first_seen(rows.source)
            yield Chunk(
                users=self.users[first:end],
                starts=starts - starts[0],
                line=rows.line,
                file=rows.file.astype(np.int64),
                time=rows.time,
                value=rows.value,
                unit=rows.unit,
                source=source,
                source_names=tuple(self._source_names[name] for name in names),
                height_m=self._height_m[first:end],
                unused=self._unused[first:end],
                days=self.days,
            )


def ingest(
    files: Sequence[Path | str],
    options: ReadOptions,
    *,
    rejects: IO[str],
    scratch: Path,
    memory_bytes: int = 1_000_000_000,
    chunk_rows: int = 32_768,
    known: Mapping[str, int] | None = None,
    fast: bool = True,
    threads: int = 1,
    block_bytes: int = 8 << 20,
) -> Intake:
    """Read files; "-" is standard input. Rows that are not used go to `rejects`: line, reason, user_id, row, file.

    Args:
        files: in this order; the order of rows is kept
        options: how to read them, and which rows are wanted
        rejects: open for text, best with errors="backslashreplace" for rows that are not UTF-8
        scratch: a folder for what does not fit into memory; it must stay as long as the chunks are wanted
        memory_bytes: for rows; ids of users and names of sources come on top
        chunk_rows: a chunk has about so many; a user with more is one of its own
        known: file numbers by digest of files whose rows are known; such a file is skipped
        fast: False: every line is read with care, with the same result
        threads: with more than one, one of them reads ahead; nothing else changes
        block_bytes: CSV is read in blocks of this size, which changes nothing else

    Raises:
        ConfigError: a file or a column is missing, a file cannot be read or is cut short, options that cannot be
    """
    since, until = date_range(options)
    listed = None if options.users_file is None else listed_users(options.users_file)
    heights, height_lines = ({}, Counter[str]()) if options.heights is None else read_heights(options.heights)
    sources = [located(name, scratch, number) for number, name in enumerate(files)]
    selection = Selection(since=since, until=until, listed=listed)
    planned = _numbered(sources, known or {})
    if counts_first(options):
        counting = Reading(options, selection, fast=fast, threads=threads, block_bytes=block_bytes)
        for source, entry in zip(sources, planned, strict=True):
            if not entry.skipped:
                counting.read(source, entry)
        selection = Selection(since=since, until=until, unwanted=chosen(options, counting.usable()))
    rejects.write(HEADER)
    kept = Kept(scratch, memory_bytes)
    reading = Reading(
        options, selection, fast=fast, threads=threads, block_bytes=block_bytes, rejects=rejects, kept=kept
    )
    done = tuple(
        entry if entry.skipped else reading.read(source, entry) for source, entry in zip(sources, planned, strict=True)
    )
    return _closed(reading, kept, done, heights, chunk_rows=chunk_rows, height_lines=height_lines)


def _closed(
    reading: Reading,
    kept: Kept,
    files: tuple[FileRead, ...],
    heights: Mapping[str, float],
    *,
    chunk_rows: int,
    height_lines: Counter[str],
) -> Intake:
    """Put users and chunks in order."""
    codes = sorted(np.flatnonzero(reading.used).tolist(), key=reading.users.__getitem__)
    ranks = np.full(len(reading.users), -1, np.int32)
    ranks[codes] = np.arange(len(codes))
    starts = np.concatenate([[0], np.cumsum(reading.used[codes])]).astype(np.int64)
    counts = zip(REASONS[1:], reading.reasons[1:].tolist(), strict=True)
    return Intake(
        files=files,
        rows_read=reading.rows_read,
        rows_rejected=Counter({reason: count for reason, count in counts if count}),
        rows_used=int(reading.reasons[0]),
        users=tuple(reading.users[code] for code in codes),
        users_without_rows=int(np.count_nonzero((reading.used == 0) & (reading.unused > 0))),
        days=reading.days,
        heights=height_lines,
        _source_names=tuple(reading.sources),
        _height_m=np.array([heights.get(reading.users[code], np.nan) for code in codes], np.float64),
        _unused=reading.unused[codes],
        _shelf=kept.shelved(ranks, starts, chunk_cuts(starts, chunk_rows)),
    )


def _numbered(sources: Sequence[Input], known: Mapping[str, int]) -> list[FileRead]:
    numbers = dict(known)
    found = []
    for source in sources:
        skipped = source.digest in numbers
        number = numbers.setdefault(source.digest, max(numbers.values(), default=-1) + 1)
        found.append(FileRead(source.name, number, source.digest, skipped=skipped))
    return found


def _first_seen(codes: Any) -> tuple[Ints, list[int]]:
    """Number codes anew in the order in which they appear; return that, and the old ones."""
    values, firsts, places = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    return numbers[places.reshape(-1)], values[order].tolist()
