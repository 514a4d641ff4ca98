"""The careful way: records of a CSV file one by one, whatever is in the file.

The csv module is used in its strict mode: a quote that is never closed would otherwise swallow the rows after it.
When a record does not parse, only its first line is given up and reading goes on at the next one.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final, NamedTuple

from raddle.workloads.weights.ingest.fields import WHITE
from raddle.workloads.weights.ingest.streams import LONGEST_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MOST_SHOWN", "Records", "Row", "shown"]

#: characters of a row that rejects.csv repeats; CSV readers refuse cells that are very long
MOST_SHOWN: Final = 20_000
#: characters in a cell; the csv module's own limit may have been moved by others, for it is one for the whole process
_CELL_LIMIT: Final = 131_072
#: lines in a record; with LONGEST_LINE for its bytes it keeps small what has to be carried to the next block
_MOST_LINES: Final = 10_000


class Row(NamedTuple):
    """One record."""

    #: line it begins at, from 1
    line: int
    #: its text without the line end, as rejects.csv shows it
    raw: str
    #: None if it is not CSV
    cells: list[str] | None
    #: lines it has
    lines: int


class Records:
    """Reads a record that begins at any of some lines.

    `begin` and `after` are where lines begin and where the next ones do, as offsets in `data`; `line` is the number of
    the first; `whole`: no lines come after these.
    """

    def __init__(
        self,
        data: bytes,
        begin: Sequence[int],
        after: Sequence[int],
        *,
        line: int,
        delimiter: str,
        whole: bool,
        dropped: Mapping[int, int],
    ) -> None:
        self._data, self._begin, self._after = data, begin, after
        self._line, self._delimiter, self._whole, self._dropped = line, delimiter, whole, dropped
        self._at = 0
        self._size = 0
        self._held: list[str] = []
        self._dry = False
        self._reader = csv.reader(self, strict=True, delimiter=delimiter)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line of the record under way: csv.reader calls this."""
        if self._at >= len(self._begin):
            self._dry = True
            raise StopIteration
        first, end = self._begin[self._at], self._after[self._at]
        self._size += end - first
        if self._size > LONGEST_LINE or len(self._held) == _MOST_LINES:
            raise csv.Error("too long")
        self._at += 1
        text = self._data[first:end].decode("utf-8", "surrogateescape")
        self._held.append(text)
        return text

    def read(self, at: int, width: int) -> Row | None:
        """Return the record that begins at a line, by its place; None: its end is not among these lines.

        `width` is the number of cells that a record of several lines must have (0: any); with any other number it is
        taken for a stray quote.
        """
        self._at, self._size, self._dry = at, 0, False
        self._held.clear()
        try:
            cells: list[str] | None = next(self._reader)
        except csv.Error:
            cells = None
        if cells is None and self._dry and not self._whole:
            return None
        if cells and max(map(len, cells)) > _CELL_LIMIT:
            cells = None
        if not self._held:
            return Row(self._line + at, self._overlong(at), None, 1)
        if len(self._held) > 1 and (cells is None or (width and len(cells) != width)):
            del self._held[1:]
            cells = None
        raw = "".join(self._held).rstrip("\r\n")
        if "\0" in raw:
            cells = None
        if cells is not None and not raw.strip(WHITE) and self._delimiter not in raw:
            cells = []
        return Row(self._line + at, shown(raw), cells, len(self._held))

    def _overlong(self, at: int) -> str:
        first, end = self._begin[at], self._after[at]
        text = self._data[first : first + 4 * MOST_SHOWN].decode("utf-8", "surrogateescape")[:MOST_SHOWN]
        size = len(self._data[first:end].rstrip(b"\r\n")) + sum(
            missing for place, missing in self._dropped.items() if first < place <= end
        )
        return f"{text} … and {size - len(text.encode('utf-8', 'surrogateescape'))} bytes more"


def shown(raw: str) -> str:
    """Return what rejects.csv shows of a row."""
    more = len(raw) - MOST_SHOWN
    return raw if more <= 0 else f"{raw[:MOST_SHOWN]} … and {more} characters more"
