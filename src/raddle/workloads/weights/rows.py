"""Rows of a CSV file with the line each begins at, whatever is in the file.

The csv module is used in its strict mode: a quote that is never closed would otherwise swallow the rows after it.
When a record does not parse, only its first line is given up and reading goes on at the next one.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import deque
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Row", "read_rows"]

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Row(NamedTuple):
    """One record."""

    #: line it begins at, from 1
    line: int
    #: its text without the line end
    raw: str
    #: None if it is not CSV
    cells: list[str] | None


#: characters in a cell; the csv module's own limit may have been moved by others, for it is one for the whole process
_CELL_LIMIT = 131_072


class _Lines:
    """What csv.reader pulls from. Remembers the lines of the record under way, so that they can be given back."""

    def __init__(self, source: Iterator[str]) -> None:
        self.source = source
        self.held: list[str] = []
        self.back: deque[str] = deque()
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.back.popleft() if self.back else next(self.source)
        self.taken += 1
        self.held.append(line)
        return line

    def give_back(self) -> None:
        """Keep the first line of the record only."""
        rest = self.held[1:]
        self.back.extendleft(reversed(rest))
        self.taken -= len(rest)
        del self.held[1:]


def read_rows(path: Path, *, width: int = 0) -> Iterator[Row]:
    """Yield every record of a CSV file, plain or gzipped, the header too.

    `width` is the number of cells a record of several lines must have (0: that of the first record); with any
    other number it is taken for a stray quote, and each of its lines is read for itself.

    Raises:
        ConfigError: the file is missing, cannot be read, is cut short, or is not UTF-8 at all
    """
    with _opened(path) as (text, place):
        lines = _Lines(text)
        place.append(lines)
        reader = csv.reader(lines, strict=True)
        while True:
            lines.held.clear()
            start = lines.taken + 1
            try:
                cells: list[str] | None = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = None
            if cells and max(map(len, cells)) > _CELL_LIMIT:
                cells = None
            if len(lines.held) > 1 and (cells is None or (width and len(cells) != width)):
                lines.give_back()
                cells = None
            if cells and not width:
                width = len(cells)
            yield Row(start, "".join(lines.held).rstrip("\r\n"), cells)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[str], list[_Lines]]]:
    place: list[_Lines] = []
    try:
        with path.open("rb") as file:
            head = file.read(2)
            file.seek(0)
            if head in _UTF16:
                raise errors.ConfigError(f"{path} is UTF-16: save it as UTF-8, for instance with `iconv -f UTF-16`")
            binary = gzip.GzipFile(fileobj=file) if head == _GZIP else file
            # surrogateescape: bytes that are not UTF-8 spoil their own row only
            with io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
                yield text, place
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        line = place[0].taken if place else 0
        raise errors.ConfigError(
            f"{path}: the gzip data ends or breaks after line {line} ({error}): copy or download the file again"
        ) from error
    except FileNotFoundError as error:
        raise errors.ConfigError(f"{path}: there is no such file") from error
    except OSError as error:
        raise errors.ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
