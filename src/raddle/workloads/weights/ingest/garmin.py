"""Garmin Connect's Weight.csv: a line with a day, then lines with the hour and readings of that day.

By public parsers and their samples: the header ends in a comma, days are `" Jul 18, 2026",` or `" 21 Sep 2023",`, hours
`8:28 AM` or `17:08`, weights `80.0 kg` or `176.4 lbs`, and `--` stands for nothing.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Final

from raddle.workloads.weights.ingest.exports import Entry, cells_of, framed, physical_lines, spoiled
from raddle.workloads.weights.ingest.times import clock, named_date

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

__all__ = ["is_weight", "read"]

_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_WEIGHT: Final = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*([A-Za-z]+)", re.ASCII)
_STONES: Final = re.compile(r"(\d+)\s*st:?\s*(\d+(?:\.\d+)?)\s*lbs?", re.ASCII)
_NOTHING: Final = frozenset({"", "-", "--", "–", "—"})
_POUNDS_A_STONE: Final = 14


def is_weight(header: Sequence[str]) -> bool:
    """Tell whether a header is that of the export."""
    return list(header[:4]) == ["Time", "Weight", "Change", "BMI"]


def read(stream: IO[bytes], *, user: str) -> Iterator[pl.DataFrame]:
    """Read the export. Lines with a day are headings, no readings; one that cannot be read is a malformed row."""
    return framed(_entries(stream, user))


def _entries(stream: IO[bytes], user: str) -> Iterator[Entry]:
    lines = physical_lines(stream)
    next(lines, None)
    day: str | None = None
    for line in lines:
        cells = cells_of(line)
        if cells is None:
            yield spoiled(line, user)
        elif not any(cells):
            continue
        elif (hour := clock(cells[0])) is not None or any(cell not in _NOTHING for cell in cells[1:]):
            weight, unit = _weight(cells[1] if len(cells) > 1 else "")
            when = f"{day}T{hour}" if day and hour else cells[0]
            yield Entry(line.number, user, when, weight, unit, "garmin", line.text)
        else:
            day = _day(cells[0])
            if day is None:  # in another language, for instance: no reading below has a day
                yield spoiled(line, user)


def _day(text: str) -> str | None:
    if _ISO.fullmatch(text):
        return text
    found = named_date(text)
    return "{:04}-{:02}-{:02}".format(*found) if found else None


def _weight(text: str) -> tuple[str | None, str | None]:
    if text in _NOTHING:
        return None, None
    if stones := _STONES.fullmatch(text):
        return f"{int(stones[1]) * _POUNDS_A_STONE + float(stones[2]):g}", "lb"
    found = _WEIGHT.fullmatch(text)
    return (found[1].replace(",", "."), found[2]) if found else (text, None)
