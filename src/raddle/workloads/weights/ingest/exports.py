"""What readers of people's own exports share: such files are no tables of many users, and small, but may be hostile."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    import polars as pl

__all__ = ["Entry", "Line", "Reader", "cells_of", "framed", "owner", "physical_lines", "spoiled", "unit_by_bmi"]

#: characters of a line; an export has a few hundred
_LONGEST: Final = 1 << 16
_SHOWN: Final = 1000
_ROWS: Final = 32_768
_DATED: Final = re.compile(r"[-_ ]*\d{4}-\d{2}-\d{2}$", re.ASCII)
_ENDINGS: Final = (".gz", ".csv", ".json", ".xml", ".txt", ".tsv", ".parquet")

#: m² between which nearly all adults' height squared lies (1.35 m to 2.2 m), and the pounds in a kilogram
_SQUARES: Final = (1.82, 4.84)
_POUNDS: Final = 2.2046226


class Entry(NamedTuple):
    """One reading as text. None: the export has nothing there, or nothing that can be read."""

    line: int
    user: str
    time: str | None
    weight: str | None
    unit: str | None
    source: str | None
    #: what rejects.csv shows
    row: str
    #: why the format itself refuses it
    reason: str | None = None


class Line(NamedTuple):
    """A line of a text file, without its end."""

    number: int
    #: bytes that are not UTF-8 are shown escaped
    text: str
    #: why it cannot be used
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """An export that is no table. `read` takes its bytes, unzipped, and yields blocks, with `row` and `reason`.

    `read` raises ConfigError where the file breaks off.
    """

    name: str
    read: Callable[[IO[bytes]], Iterator[pl.DataFrame]]


def framed(entries: Iterable[Entry]) -> Iterator[pl.DataFrame]:
    """Put entries together, some ten thousand at a time."""
    import polars as pl

    schema = {name: pl.Int64 if name == "line" else pl.String for name in Entry._fields}
    waiting = iter(entries)
    while some := list(islice(waiting, _ROWS)):
        yield pl.DataFrame(some, schema=schema, orient="row")


def owner(stem: str, user: str | None) -> str:
    """Return whose export it is: as said, otherwise by the file's name without its date and its endings."""
    if user:
        return user
    if stem in {"-", "stdin", ""}:
        raise errors.ConfigError(
            "this export names no user, and standard input has no name: say whose it is with --user"
        )
    bare = stem
    while bare.lower().endswith(_ENDINGS):
        bare = bare[: bare.rindex(".")]
    return _DATED.sub("", bare) or bare or stem


def physical_lines(stream: IO[bytes]) -> Iterator[Line]:
    """Yield each line with its number, from 1; of one that is too long only the beginning, whatever its length."""
    number = 0
    while piece := stream.readline(_LONGEST):
        number += 1
        if len(piece) == _LONGEST and not piece.endswith(b"\n"):
            shown = piece[:_SHOWN].decode("utf-8", errors="replace")
            length = len(piece)
            while (piece := stream.readline(_LONGEST)) and not piece.endswith(b"\n"):
                length += len(piece)
            yield Line(number, f"{shown} … and {length + len(piece) - _SHOWN} bytes more", "malformed_row")
            continue
        try:
            yield Line(number, piece.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"))
        except UnicodeDecodeError:
            yield Line(number, piece.decode("utf-8", errors="backslashreplace").rstrip("\r\n"), "bad_encoding")


def spoiled(line: Line, user: str) -> Entry:
    """Return the entry of a line that is no row of the format."""
    return Entry(line.number, user, None, None, None, None, line.text, line.reason or "malformed_row")


def cells_of(line: Line, delimiter: str = ",") -> list[str] | None:
    """Return the cells of one line; None: it is no CSV. None of these exports has line ends inside of cells."""
    if line.reason is not None:
        return None
    try:
        cells = next(csv.reader([line.text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None
    return [cell.strip() for cell in cells]


def unit_by_bmi(pairs: Iterable[tuple[str | None, str | None]]) -> str | None:
    """Tell kilograms from pounds by (weight, body-mass index): their ratio is a height squared. None: it does not say.

    In kilograms it is 1.8 to 4.8 m² for nearly all adults, in pounds 2.2 times as much; between 4.0 and 4.8 both are
    possible (a tall person in kilograms, a short one in pounds), and so they are below 1.8, for children.
    """
    ratios = []
    for weight, bmi in pairs:
        try:
            ratios.append(float(weight or "") / float(bmi or ""))
        except (ValueError, ZeroDivisionError):
            continue
    if not ratios:
        return None
    middle = sorted(ratios)[len(ratios) // 2]
    kilograms = _SQUARES[0] <= middle <= _SQUARES[1]
    pounds = _SQUARES[0] * _POUNDS <= middle <= _SQUARES[1] * _POUNDS
    return None if kilograms == pounds else "kg" if kilograms else "lb"
