"""CSV as people have it: blank lines first, Excel's `sep=`, any delimiter, a quotation mark that nobody closed."""

from __future__ import annotations

import csv
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LONGEST", "Line", "csv_lines"]

#: longest cell and longest JSON line, in characters
LONGEST: Final = 16 * 2**20
#: a field may be longer than the longest one taken: its end must be found
_FIELD_LIMIT: Final = 4 * LONGEST
_DELIMITERS: Final = ",;\t|"
_SEP: Final = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_OPEN: Final = "a quotation mark is not closed: all lines from here to the end are in one cell"


class Line(NamedTuple):
    """A row of a table, or why there is none."""

    cells: list[str]
    #: of the file, from 1
    number: int
    error: str = ""


def csv_lines(file: IO[str], *, delimiter: str = "") -> Iterator[Line]:
    """Yield the rows of a table, first that with the names of columns; empty ones are left out.

    Args:
        file: that can be sought in, opened with newline=""
        delimiter: "": what a line `sep=;` before all others says, else what the first line has most of
    """
    skipped, delimiter = _begin(file, delimiter)
    at_end: list[bool] = []

    def until_end() -> Iterator[str]:
        yield from file
        at_end.append(True)

    reader = csv.reader(until_end(), delimiter=delimiter)
    while True:
        began = skipped + reader.line_num + 1
        try:
            with _wide_fields():  # the limit is the interpreter's; others may set it between two rows
                cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line([], skipped + reader.line_num, str(error))
            continue
        if at_end:  # a row that is whole is given before the next line is asked for
            yield Line(cells, began, _OPEN)
        elif cells:
            yield Line(cells, skipped + reader.line_num)


def _begin(file: IO[str], delimiter: str) -> tuple[int, str]:
    """Go to the names of columns; return how many lines are before them, and the delimiter."""
    skipped = 0
    while True:
        here = file.tell()
        line = file.readline(LONGEST)
        if line and not line.strip():
            skipped += 1
        elif not delimiter and (told := _SEP.fullmatch(line)):
            skipped += 1
            delimiter = told[1]
        else:
            file.seek(here)
            unquoted = "".join(line.split('"')[::2])
            return skipped, delimiter or max(_DELIMITERS, key=unquoted.count)


@contextmanager
def _wide_fields() -> Iterator[None]:
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
