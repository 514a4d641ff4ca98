"""Fitbit: the weight-….json of Takeout, and the Body section of the CSV export.

Facts by public converters of such files: an entry is {"logId", "weight", "bmi", "fat", "date": "05/18/15" (month
first), "time": "23:59:59", "source": "Aria"}; its weight is in pounds, whatever the account shows, and the file does
not say so. logId is the same moment in milliseconds of UTC. The CSV section has the account's unit and order of dates,
and says neither.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final

from raddle import errors
from raddle.workloads.weights.ingest.exports import Entry, Line, cells_of, framed, physical_lines, spoiled, unit_by_bmi
from raddle.workloads.weights.ingest.times import decided_order, looks_numeric, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

__all__ = ["is_body", "is_takeout", "read_body", "read_takeout"]

_BODY: Final = re.compile(r'(?:\A|^"?Body"?,*\s*\n)"?Date"?,"?Weight"?,"?BMI"?,"?Fat"?\s*$', re.MULTILINE)
_HEADER: Final = ["Date", "Weight", "BMI", "Fat"]
_LONGEST: Final = 64 << 20
_MOST_ROWS: Final = 1_000_000
_SPACE: Final = re.compile(r"[\s,]*")


def is_takeout(text: str) -> bool:
    """Tell whether a file that begins so is a weight-….json."""
    return text.lstrip()[:1] == "[" and '"logId"' in text[:4000] and '"weight"' in text[:4000]


def is_body(text: str) -> bool:
    """Tell whether a file that begins so has the Body section of a CSV export."""
    return _BODY.search(text) is not None


def read_takeout(stream: IO[bytes], *, path: Path, user: str, unit: str | None) -> Iterator[pl.DataFrame]:
    """Read a JSON list of weights; in pounds if no `unit` is said.

    Raises:
        ConfigError: no such list, cut short; the body-mass indices in it say that these are kilograms
    """
    data = stream.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise errors.ConfigError(
            f"{path} has over {_LONGEST >> 20} MB, a month of weights has some kB: is it another file?"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.ConfigError(f"{path}: byte {error.start} is not UTF-8: download the file again") from error
    items = list(_items(text, path))
    if unit is None:
        unit = "lb"
        if unit_by_bmi((_text(item, "weight"), _text(item, "bmi")) for _, item, _ in items) == "kg":
            raise errors.ConfigError(
                f"{path}: such files are in pounds, but by the body-mass indices in it this one is in kilograms: "
                f"say which with --unit kg or --unit lb"
            )
    return framed(_entry(line, item, row, user=user, unit=unit) for line, item, row in items)


def _items(text: str, path: Path) -> Iterator[tuple[int, Any, str]]:
    """Yield the line where each begins, what it is, and its text."""
    # numbers stay text: they are parsed, and refused, like all others
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
    at, line = text.find("[") + 1, 1
    line += text.count("\n", 0, at)
    try:
        while True:
            begin = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches the empty text too
            line += text.count("\n", at, begin)
            if text[begin : begin + 1] == "]":
                return
            item, at = decoder.raw_decode(text, begin)
            yield line, item, " ".join(text[begin:at].split())
            line += text.count("\n", begin, at)
    except (json.JSONDecodeError, RecursionError) as error:
        raise errors.ConfigError(
            f"{path}: no JSON list of weights from line {line} on: the file is cut short or damaged, download it again"
        ) from error


def _text(item: Any, name: str) -> str | None:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else None


def _entry(line: int, item: Any, row: str, *, user: str, unit: str) -> Entry:
    day, clock = _text(item, "date"), _text(item, "time")
    when = to_iso(f"{day} {clock}" if clock else day, "mdy") if day else None
    return Entry(line, user, when or day, _text(item, "weight"), unit, _text(item, "source") or "fitbit", row)


def read_body(
    stream: IO[bytes], *, path: Path, user: str, unit: str | None, date_order: str | None
) -> Iterator[pl.DataFrame]:
    """Read the Body section. Its unit is told by the body-mass indices in it, the order of its dates by the dates.

    Raises:
        ConfigError: one of them cannot be told, and is not said by the options
    """
    rows = list(islice(_section(stream), _MOST_ROWS + 1))
    if len(rows) > _MOST_ROWS:
        raise errors.ConfigError(f"{path} has over {_MOST_ROWS:,} rows, which is not one person's: say its --columns")
    good = [cells for _, cells in rows if cells is not None]
    days = [cells[0] for cells in good if looks_numeric(cells[0])]
    order = decided_order(days, where=f"{path}: column 'Date'", given=date_order) if days else "ymd"
    unit = unit or unit_by_bmi((cells[1], cells[2]) for cells in good)
    if unit is None and good:
        raise errors.ConfigError(
            f"{path} does not say its unit of weight, nor do its BMIs: say it with --unit kg or lb"
        )
    return framed(
        Entry(line.number, user, to_iso(cells[0], order) or cells[0], cells[1], unit, "fitbit", line.text)
        if cells is not None
        else spoiled(line, user)
        for line, cells in rows
    )


def _section(stream: IO[bytes]) -> Iterator[tuple[Line, list[str] | None]]:
    """Yield the lines of the Body section, with None for one that is not four cells."""
    inside = gap = False
    for line in physical_lines(stream):
        cells = cells_of(line)
        if cells == _HEADER:
            inside = True
        elif cells is not None and not any(cells):
            gap = True
            continue
        elif gap and cells is not None and not any(cells[1:]):
            inside = False  # the name of the next section
        elif inside:
            yield line, cells if cells is not None and len(cells) == len(_HEADER) else None
        gap = False
