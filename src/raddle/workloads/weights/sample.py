# ruff: noqa: ARG001 - every way to spoil a row is given the same
"""A synthetic file with the trouble of real ones. Seeded: the same arguments write the same bytes.

People gain and lose by diets, holidays and weekends, and weigh themselves daily, weekly or now and then. Their rows
come through several sources, with readings of other people, pounds taken for kilograms, typing errors, gaps,
duplicates, rows out of order, missing values, and units that are no weight.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from raddle import errors
from raddle.workloads.weights.files import replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["HEADER", "sample_rows", "write_sample"]

HEADER = ["user_id", "effectiveDateTime", "source_type", "weight", "unit"]

_START = datetime(2020, 1, 1, tzinfo=UTC)
_POUND = 0.45359237
_DEVICE, _UPLOAD, _CARE, _QUESTION = "patient-device", "patient-upload", "care-team-upload", "internal-questionnaire"
_CONNECTED, _GLUCOSE = "https://connectivehealth.io", "https://api.iglucose.com"
_NOISE = {_DEVICE: 0.5, _UPLOAD: 0.4, _CARE: 0.3, _QUESTION: 1.0, _CONNECTED: 0.9, _GLUCOSE: 1.6}
_Row = list[str]
_TIME, _SOURCE, _WEIGHT, _UNIT = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class _Person:
    user: str
    base: float
    pounds: bool
    #: mean days between readings
    every: float
    sources: tuple[str, ...]
    #: (first day, length, kg per day) of diets
    diets: tuple[tuple[float, float, float], ...]
    first: float

    def weight(self, day: float) -> float:
        """Return the true weight: diets, half of which comes back, Decembers, weekends."""
        kilograms = self.base
        for begin, length, rate in self.diets:
            kilograms += rate * min(max(day - begin, 0.0), length)
            back = max(day - begin - length, 0.0)
            kilograms -= 0.5 * rate * length * (1 - math.exp(-back / 200))
        since_holidays = (day + 8) % 365.25  # the series starts on 1 January, Christmas is a week before
        if day > self.first + 30:
            kilograms += 1.4 * math.exp(-since_holidays / 25) * min(1.0, since_holidays / 8)
        return kilograms + 0.25 * math.cos(2 * math.pi * (day - 1) / 7)


def write_sample(path: Path, *, users: int, seed: int = 0, rows_per_user: int = 100) -> int:
    """Write a file (gzipped if its name ends in .gz) and return how many data rows it has.

    Raises:
        ConfigError: the file cannot be written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as spare, spare.open("wb") as file:
            # no name and time in the gzip header, which would differ between runs
            packed = gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) if path.suffix == ".gz" else None
            with io.TextIOWrapper(packed or file, encoding="utf-8", newline="") as text:
                writer = csv.writer(text, lineterminator="\n")
                writer.writerow(HEADER)
                count = 0
                for row in sample_rows(users=users, seed=seed, rows_per_user=rows_per_user):
                    writer.writerow(row)
                    count += 1
                return count
    except OSError as error:
        raise errors.ConfigError(f"output={path}: cannot write there: {error.strerror or error}") from error


def sample_rows(*, users: int, seed: int, rows_per_user: int) -> Iterator[_Row]:
    """Yield rows, user after user; about one in ten is in the wrong place, or no good."""
    for number in range(users):
        chance = Random(f"{seed}/{number}")  # a user is the same however many there are
        person = _person(chance)
        yield from _disordered(list(_rows_of(person, rows_per_user, chance)), chance)


def _person(chance: Random) -> _Person:
    base = min(170.0, max(45.0, chance.gauss(84, 17)))
    diets = []
    day = chance.uniform(0, 200)
    while day < 1500 and chance.random() < 0.75:  # noqa: PLR2004 - days
        length = chance.uniform(40, 130)
        diets.append((day, length, -base * chance.uniform(0.0004, 0.0013)))
        day += length + chance.uniform(120, 400)
    first = chance.choice((_UPLOAD, _DEVICE, _CONNECTED, _DEVICE))
    others = chance.sample((_UPLOAD, _CARE, _CONNECTED, _GLUCOSE, _DEVICE), chance.choice((1, 1, 2, 3)))
    return _Person(
        user=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        base=base,
        pounds=chance.random() < 0.2,  # noqa: PLR2004 - share
        every=chance.choice((1.05, 1.05, 1.6, 3.5, 7.0, 7.0, 12.0)),
        sources=(first, first, first, first, *others),
        diets=tuple(diets),
        first=chance.uniform(0, 360),
    )


def _rows_of(person: _Person, rows: int, chance: Random) -> Iterator[_Row]:
    count = max(1, round(rows * min(1.8, max(0.25, chance.gauss(1, 0.35)))))
    other = person.weight(0) * chance.uniform(0.55, 0.85)  # somebody else on the same scale
    day = person.first
    every = min(person.every, 1500 / count)  # five years at most
    for number in range(count):
        source = _QUESTION if number == 0 else chance.choice(person.sources)
        hour = chance.choice((6.5, 7.0, 7.5, 8.0, 21.0)) + chance.uniform(-0.4, 0.4)
        kilograms = person.weight(day) + chance.gauss(0, _NOISE[source]) + (0.8 if hour > 12 else 0.0)  # noqa: PLR2004 - noon
        row = _row(person, math.floor(day) + hour / 24, source, kilograms, other=other, chance=chance)
        yield row
        if chance.random() < 0.012:  # noqa: PLR2004 - share
            yield list(row)  # exported twice
        day += every * chance.uniform(0.5, 1.5)
        if chance.random() < min(0.05, 0.012 * every):
            day += chance.uniform(32, 140)


def _row(person: _Person, day: float, source: str, kilograms: float, *, other: float, chance: Random) -> _Row:
    """Return a row; a few in a hundred are wrong in one of the ways that real ones are."""
    unit = chance.choice(("lb", "lbs", "[lb_ap]")) if person.pounds else "kg"
    value = kilograms / _POUND if person.pounds else kilograms
    row = [person.user, _time_text(day, chance), source, f"{value:.{chance.choice((1, 1, 1, 2))}f}", unit]
    kind = chance.random() * 100
    for share, spoil in _SPOILS:
        if kind < share:
            spoil(row, kilograms, other, chance)
            break
        kind -= share
    return row


def _pounds_as_kilograms(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT], row[_UNIT] = f"{kilograms / _POUND:.1f}", "kg"


def _somebody_else(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT], row[_UNIT] = f"{other + chance.gauss(0, 0.6):.1f}", "kg"


def _outlier(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT], row[_UNIT] = f"{kilograms + chance.choice((-1, 1)) * chance.uniform(8, 35):.1f}", "kg"


def _no_point(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT], row[_UNIT] = f"{kilograms * 10:.0f}", "kg"


def _missing(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT] = chance.choice(("NULL", "", "NULL"))


def _body_mass_index(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT], row[_UNIT] = f"{kilograms / 1.71**2:.1f}", "kg/m2"


def _body_surface(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_SOURCE] = f"BSA {row[_SOURCE]}"
    row[_WEIGHT], row[_UNIT] = f"{0.0235 * kilograms**0.515 * 171**0.422:.2f}", "m2"


def _no_number(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_WEIGHT] = chance.choice(("n.a.", "error", "8O.2", "0", "-1", "NaN"))


def _no_time(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_TIME] = chance.choice(("", "yesterday", "2024-02-30", "0024-05-01"))


def _no_unit(row: _Row, kilograms: float, other: float, chance: Random) -> None:
    row[_UNIT] = chance.choice(("NULL", "", "cm"))


#: rows in a hundred that are spoiled, and how
_SPOILS: tuple[tuple[float, Callable[[_Row, float, float, Random], None]], ...] = (
    (0.8, _pounds_as_kilograms),
    (0.8, _somebody_else),
    (0.8, _outlier),
    (0.3, _no_point),
    (0.5, _missing),
    (0.5, _body_mass_index),
    (0.3, _body_surface),
    (0.15, _no_number),
    (0.1, _no_time),
    (0.05, _no_unit),
)


def _time_text(day: float, chance: Random) -> str:
    when = (_START + timedelta(days=day)).replace(microsecond=0)
    kind = chance.random()
    if kind < 0.6:  # noqa: PLR2004 - shares
        return f"{when:%Y-%m-%d %H:%M:%S}"
    if kind < 0.8:  # noqa: PLR2004
        return f"{when:%Y-%m-%dT%H:%M:%SZ}"
    if kind < 0.9:  # noqa: PLR2004
        return f"{when:%Y-%m-%dT%H:%M:%S}.{chance.randrange(1000):03d}Z"
    return f"{when + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+02:00"


def _disordered(rows: list[_Row], chance: Random) -> list[_Row]:
    for at in range(1, len(rows)):
        if chance.random() < 0.02:  # noqa: PLR2004 - share
            to = max(0, at - chance.randrange(1, 6))
            rows.insert(to, rows.pop(at))
    return rows
