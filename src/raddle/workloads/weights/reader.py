"""Reading: every row of the file is either used or listed with its line and the reason.

rows_read == rows_used + the sum of rows_rejected, always.
"""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from raddle import errors
from raddle.workloads.weights.fields import Refused, is_missing, parse_days, parse_time, parse_unit, parse_weight
from raddle.workloads.weights.options import no_such
from raddle.workloads.weights.rows import Row, read_rows
from raddle.workloads.weights.values import Readings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from raddle.workloads.weights.options import ReadOptions

__all__ = ["Table", "read_table"]

_DEFAULTS = {
    "user": ("user_id",),
    "time": ("effectiveDateTime",),
    "weight": ("weight",),
    "unit": ("unit",),
    "source": ("source_type", "source"),
}
#: characters of a row that rejects.csv repeats; CSV readers refuse cells that are very long
_MOST_SHOWN = 20_000
_NEEDED = ("user", "time", "weight")


class _Writer(Protocol):
    def writerow(self, row: list[str | int], /) -> object: ...


@dataclass(slots=True)
class _Group:
    lines: array[int] = field(default_factory=lambda: array("q"))
    #: int microseconds, or float days
    times: list[float] = field(default_factory=list)
    weights: array[float] = field(default_factory=lambda: array("d"))
    sources: array[int] = field(default_factory=lambda: array("l"))
    seen: set[tuple[float, float, float, int]] = field(default_factory=set)
    unused: int = 0


@dataclass(slots=True)
class Table:
    """The used rows of a file by user, and the count of all others."""

    days: bool
    rows_read: int = 0
    rows_rejected: Counter[str] = field(default_factory=Counter)
    _groups: dict[str, _Group] = field(default_factory=dict)
    _sources: dict[str, int] = field(default_factory=dict)

    @property
    def rows_used(self) -> int:
        """Return how many rows will be filtered."""
        return sum(len(group.lines) for group in self._groups.values())

    @property
    def users(self) -> list[str]:
        """Return the users that have a used row, in order."""
        return sorted(user for user, group in self._groups.items() if group.lines)

    @property
    def users_without_rows(self) -> int:
        """Return how many users are named in the file but have no used row."""
        return sum(not group.lines for group in self._groups.values())

    def readings(self, user: str) -> Readings:
        """Return one user's rows by time, then by line."""
        group = self._groups[user]
        order = sorted(range(len(group.lines)), key=group.times.__getitem__)  # stable, and lines ascend
        names = list(self._sources)
        used: dict[int, int] = {}
        sources = tuple(used.setdefault(group.sources[at], len(used)) for at in order)
        return Readings(
            user=user,
            lines=tuple(group.lines[at] for at in order),
            times=tuple(group.times[at] for at in order),
            weights_kg=tuple(group.weights[at] for at in order),
            sources=sources,
            source_names=tuple(names[number] for number in used),
            days=self.days,
            unused=group.unused,
        )


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the cells of a row are."""

    width: int
    user: int
    time: int
    weight: int
    unit: int | None
    source: int | None
    where: tuple[tuple[int, frozenset[str]], ...]


def read_table(path: Path, options: ReadOptions, *, rejects: IO[str]) -> Table:
    """Read a file wholly; the rows that cannot be used go to `rejects` as CSV: line, reason, user_id, row.

    Raises:
        ConfigError: no such file or column, no header, gzip data cut short
    """
    table = Table(days=options.time_unit == "days")
    writer: _Writer = csv.writer(rejects, lineterminator="\n")
    writer.writerow(["line", "reason", "user_id", "row"])
    rows = read_rows(path)
    header = next(rows, None)
    if header is None or not header.cells:
        raise errors.ConfigError(f"{path}: line 1 is not a header row of a CSV file")
    places = _bind([cell.strip() for cell in header.cells], options, path)
    for row in _records(rows, table):
        try:
            _take(row, places, table)
        except Refused as refusal:
            reason = str(refusal)
            user = row.cells[places.user].strip() if row.cells and len(row.cells) == places.width else ""
            table.rows_rejected[reason] += 1
            if user and reason not in {"where", "bad_encoding"}:
                table._groups.setdefault(user, _Group()).unused += 1  # noqa: SLF001 - the table is built here
            writer.writerow([row.line, reason, user[:_MOST_SHOWN], _shown(row.raw)])
    return table


def _shown(raw: str) -> str:
    more = len(raw) - _MOST_SHOWN
    return raw if more <= 0 else f"{raw[:_MOST_SHOWN]} … and {more} characters more"


def _records(rows: Iterator[Row], table: Table) -> Iterator[Row]:
    for number in count(1):
        row = next(rows, None)
        if row is None:
            return
        table.rows_read = number
        yield row


def _take(row: Row, places: _Places, table: Table) -> None:
    """Put one row into its group.

    Raises:
        Refused: with the reason
    """
    user, source, cells = _checked(row, places)
    unit = cells[places.unit].strip() if places.unit is not None else ""
    factor = parse_unit(unit, source)
    kilograms = parse_weight(cells[places.weight].strip(), factor)
    text = cells[places.time].strip()
    time: float = parse_days(text) if table.days else parse_time(text)
    group = table._groups.get(user)  # noqa: SLF001 - the table is built here
    if group is None:
        group = table._groups[user] = _Group()  # noqa: SLF001
    number = table._sources.setdefault(source, len(table._sources))  # noqa: SLF001
    identity = (time, kilograms, factor, number)
    if identity in group.seen:
        raise Refused("exact_duplicate")
    group.seen.add(identity)
    group.lines.append(row.line)
    group.times.append(time)
    group.weights.append(kilograms)
    group.sources.append(number)


def _checked(row: Row, places: _Places) -> tuple[str, str, list[str]]:
    cells = row.cells
    if cells is not None and not row.raw.strip():
        raise Refused("blank_line")
    if cells is None or len(cells) != places.width:
        raise Refused("malformed_row")
    if not row.raw.isascii() and any("\ud800" <= letter <= "\udfff" for letter in row.raw):
        raise Refused("bad_encoding")
    for place, values in places.where:
        if cells[place].strip() not in values:
            raise Refused("where")
    user = cells[places.user].strip()
    if is_missing(user):
        raise Refused("no_user")
    source = cells[places.source].strip() if places.source is not None else ""
    return user, source or "unknown", cells


def _bind(header: list[str], options: ReadOptions, path: Path) -> _Places:
    def place(role: str) -> int | None:
        asked: str | None = getattr(options.columns, role)
        names = (asked,) if asked else _DEFAULTS[role]
        found = next((name for name in names if name in header), None)
        if found is not None:
            return _only(found)
        if asked or role in _NEEDED:
            raise errors.ConfigError(
                f"{path}, column for {role}: {no_such(names[0], header)} Name it with --columns {role}=NAME"
            )
        return None

    def _only(name: str) -> int:
        if header.count(name) > 1:
            raise errors.ConfigError(f"{path}: {header.count(name)} columns are called {name!r}; rename all but one")
        return header.index(name)

    for column, _ in options.where:
        if column not in header:
            raise errors.ConfigError(f"{path}, where={column}: {no_such(column, header)}")
    user, time, weight = (place(role) for role in _NEEDED)
    assert user is not None and time is not None and weight is not None  # noqa: S101, PT018 - place() raised if not
    return _Places(
        width=len(header),
        user=user,
        time=time,
        weight=weight,
        unit=place("unit"),
        source=place("source"),
        where=tuple((_only(column), values) for column, values in options.where),
    )
