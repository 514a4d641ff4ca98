"""A synthetic file with the trouble of real ones. Seeded: the same arguments write the same bytes.

People gain and lose by diets, holidays and weekends, and weigh themselves daily, weekly or now and then. Their rows
come through several sources, with readings of other people, pounds taken for kilograms, typing errors, gaps,
duplicates, rows out of order, missing values, and units that are no weight.

Users are made some at a time, as arrays. How many at a time depends on the rows of each only, and each time has random
numbers of its own, so that a user is the same however many there are.
"""

from __future__ import annotations

import gzip
import hashlib
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from raddle import errors
from raddle.workloads.weights.files import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from raddle.workloads.weights.values import Floats, Ints

__all__ = ["HEADER", "write_sample"]

HEADER: Final = ("user_id", "effectiveDateTime", "source_type", "weight", "unit")

_START: Final = "2020-01-01"
_POUND: Final = 0.45359237
_SOURCES: Final = (
    "patient-device",
    "patient-upload",
    "care-team-upload",
    "internal-questionnaire",
    "https://connectivehealth.io",
    "https://api.iglucose.com",
)
_DEVICE, _UPLOAD, _CARE, _QUESTION, _CONNECTED, _GLUCOSE = range(len(_SOURCES))
#: kg, by source
_NOISE: Final = (0.5, 0.4, 0.3, 1.0, 0.9, 1.6)
_UNITS: Final = ("kg", "lb", "lbs", "[lb_ap]", "kg/m2", "m2", "NULL", "", "cm")
_KG, _LB, _, _, _BMI, _BSA, _NULL, _, _CM = range(len(_UNITS))
_NO_WEIGHT: Final = ("NULL", "", "n.a.", "error", "8O.2", "0", "-1", "NaN")
_NO_TIME: Final = ("", "yesterday", "2024-02-30", "0024-05-01")

_ROWS_AT_A_TIME: Final = 32_768
_USERS_AT_A_TIME: Final = 1024
_NOON: Final = 12.0
_NO_TIME_SHARE: Final = 0.001
_LAST_DAY: Final = 1500.0
#: a day of the series is at most: the last one, the first reading, and five months after each of some gaps
_DAYS: Final = 25_000
_MOST_DIETS: Final = 8

#: rows in a hundred that are spoiled
_SPOILS: Final = {
    "pounds as kilograms": 0.8,
    "somebody else": 0.8,
    "outlier": 0.8,
    "no point": 0.3,
    "missing": 0.5,
    "body-mass index": 0.5,
    "body surface": 0.3,
    "no number": 0.15,
    "no unit": 0.05,
}


class _Chance:
    """Random numbers straight from the generator's bits, whose stream numpy promises never to change."""

    def __init__(self, text: str) -> None:
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
        self._bits = np.random.Philox(key=key)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Floats:
        raw: NDArray[np.uint64] = self._bits.random_raw(count)
        return low + (high - low) * ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def normal(self, count: int) -> Floats:
        """Sums of twelve: never beyond six sigma, and the same to the last bit on every machine."""
        total: Floats = self.uniform(12 * count).reshape(12, count).sum(axis=0)
        return total - 6.0

    def below(self, count: int, end: int) -> Ints:
        return (self.uniform(count) * end).astype(np.int64)

    def choice(self, count: int, values: Sequence[float]) -> Any:
        return np.asarray(values)[self.below(count, len(values))]

    def share(self, count: int, share: Floats | float) -> NDArray[np.bool_]:
        return self.uniform(count) < share

    def users(self, count: int) -> list[str]:
        raw = self._bits.random_raw(2 * count).tobytes()
        return [str(uuid.UUID(bytes=raw[at : at + 16], version=4)) for at in range(0, len(raw), 16)]


@dataclass(frozen=True, slots=True)
class _People:
    """Arrays with a place for each person."""

    names: list[str]
    base: Floats
    pounds: NDArray[np.bool_]
    #: mean days between readings
    every: Floats
    #: people x 7: four times the usual source, then up to three others
    sources: Ints
    source_count: Ints
    #: people x diets: first day, length, kg per day (0: no such diet)
    begin: Floats
    length: Floats
    rate: Floats
    first: Floats
    count: Ints
    #: weight of somebody else on the same scale
    other: Floats

    def weight(self, who: Ints, day: Floats) -> Floats:
        """Return the true weight in kg: diets, half of which comes back, Decembers, weekends."""
        kilograms = self.base[who]
        for diet in range(_MOST_DIETS):
            rate, length = self.rate[who, diet], self.length[who, diet]
            since = np.maximum(day - self.begin[who, diet], 0.0)
            lost = rate * np.minimum(since, length)
            kilograms += lost - 0.5 * rate * length * (1 - np.exp(-np.maximum(since - length, 0.0) / 200))
        since = (day + 8) % 365.25  # the series starts on 1 January, Christmas is a week before
        holidays = 1.4 * np.exp(-since / 25) * np.minimum(1.0, since / 8)
        kilograms += np.where(day > self.first[who] + 30, holidays, 0.0)
        return kilograms + 0.25 * np.cos(2 * np.pi * (day - 1) / 7)


def write_sample(path: Path, *, users: int, seed: int = 0, rows_per_user: int = 100) -> int:
    """Write a file (gzipped if its name ends in .gz) and return how many data rows it has.

    Raises:
        ConfigError: the file cannot be written
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as spare, spare.open("wb") as file:
            if path.suffix != ".gz":
                return _write(file, users, seed, rows_per_user)
            # no name and time in the gzip header, which would differ between runs
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=5, mtime=0) as packed:
                return _write(packed, users, seed, rows_per_user)
    except OSError as error:
        raise errors.ConfigError(f"output={path}: cannot write there: {error.strerror or error}") from error


def _write(file: Any, users: int, seed: int, rows_per_user: int) -> int:
    file.write((",".join(HEADER) + "\n").encode())
    count = 0
    for lines in _blocks(users, seed, rows_per_user):
        count += len(lines)
        file.write((lines.str.join("\n").item() + "\n").encode())
    return count


def _blocks(users: int, seed: int, rows_per_user: int) -> Iterator[pl.Series]:
    at_a_time = min(_USERS_AT_A_TIME, max(1, _ROWS_AT_A_TIME // rows_per_user))
    for number, first in enumerate(range(0, users, at_a_time)):
        chance = _Chance(f"{seed}/{number}")
        people = _people(at_a_time, rows_per_user, chance)
        lines, ends = _rows(people, chance)
        yield lines.head(int(ends[min(at_a_time, users - first) - 1]))


def _people(count: int, rows: int, chance: _Chance) -> _People:
    base = np.clip(84 + 17 * chance.normal(count), 45, 170)
    begin, length, rate = (np.zeros((count, _MOST_DIETS)) for _ in range(3))
    day, goes_on = chance.uniform(count, 0, 200), np.ones(count, dtype=bool)
    for diet in range(_MOST_DIETS):
        goes_on &= (day < _LAST_DAY) & chance.share(count, 0.75)
        begin[:, diet], length[:, diet] = day, chance.uniform(count, 40, 130)
        rate[:, diet] = np.where(goes_on, -base * chance.uniform(count, 0.0004, 0.0013), 0.0)
        day = day + length[:, diet] + chance.uniform(count, 120, 400)
    usual = chance.choice(count, (_UPLOAD, _DEVICE, _CONNECTED, _DEVICE))
    shuffled = np.argsort(chance.uniform(5 * count).reshape(count, 5), axis=1, kind="stable")
    others = np.array((_UPLOAD, _CARE, _CONNECTED, _GLUCOSE, _DEVICE))[shuffled[:, :3]]
    number = np.maximum(1, np.rint(rows * np.clip(1 + 0.35 * chance.normal(count), 0.25, 1.8))).astype(np.int64)
    people = _People(
        names=chance.users(count),
        base=base,
        pounds=chance.share(count, 0.2),
        every=np.minimum(chance.choice(count, (1.05, 1.05, 1.6, 3.5, 7.0, 7.0, 12.0)), _LAST_DAY / number),
        sources=np.concatenate([np.repeat(usual[:, None], 4, axis=1), others], axis=1),
        source_count=4 + chance.choice(count, (1, 1, 2, 3)),
        begin=begin,
        length=length,
        rate=rate,
        first=chance.uniform(count, 0, 360),
        count=number,
        other=np.empty(count),
    )
    today = people.weight(np.arange(count), np.zeros(count))
    people.other[:] = today * chance.uniform(count, 0.55, 0.85)
    return people


def _rows(people: _People, chance: _Chance) -> tuple[pl.Series, Ints]:
    """Return the lines, and where each person's end."""
    who = np.repeat(np.arange(len(people.count)), people.count)
    count = len(who)
    starts = np.cumsum(people.count) - people.count
    day = _days(people, who, starts, chance)
    slot = (chance.uniform(count) * people.source_count[who]).astype(np.int64)
    source = people.sources[who, slot]
    source[starts] = _QUESTION
    hour = chance.choice(count, (6.5, 7.0, 7.5, 8.0, 21.0)) + chance.uniform(count, -0.4, 0.4)
    noise = np.asarray(_NOISE)[source] * chance.normal(count) + np.where(hour > _NOON, 0.8, 0.0)
    kilograms = people.weight(who, day) + noise
    cells = [pl.Series(people.names)[who], _times(day, hour, chance), *_texts(people, who, source, kilograms, chance)]
    table = pl.DataFrame(dict(zip(HEADER, cells, strict=True)))
    written = table.select(pl.concat_str(pl.all(), separator=",")).to_series()
    twice = np.repeat(np.arange(count), 1 + chance.share(count, 0.012))  # some are exported twice
    order = _disordered(who[twice], chance)
    return written[twice[order]], np.searchsorted(who[twice], np.arange(len(people.count)), side="right")


def _days(people: _People, who: Ints, starts: Ints, chance: _Chance) -> Floats:
    every = people.every[who]
    step = every * chance.uniform(len(who), 0.5, 1.5)
    gap = chance.uniform(len(who), 32, 140)
    step += np.where(chance.share(len(who), np.minimum(0.05, 0.012 * every)), gap, 0.0)
    passed = np.cumsum(step) - step
    day = people.first[who] + passed - passed[starts][who]
    # with thousands of readings a day each gap counts; nobody's series is longer than the calendar below
    return np.minimum(day, _DAYS - 2.0)


def _disordered(who: Ints, chance: _Chance) -> Ints:
    """Return an order in which some rows come up to five places too early, among those of their person."""
    place = np.arange(len(who), dtype=np.float64)
    first = np.searchsorted(who, who, side="left")
    early = place - 1.5 - chance.below(len(who), 5)
    return np.argsort(
        np.where(chance.share(len(who), 0.02), np.maximum(early, first - 0.5), place), kind="stable"
    ).astype(np.int64)


def _texts(
    people: _People, who: Ints, source: Ints, kilograms: Floats, chance: _Chance
) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Return source, weight and unit as text; some in a hundred are wrong in one of the ways that real ones are."""
    count = len(who)
    pounds = people.pounds[who]
    unit = np.where(pounds, _LB + chance.below(count, 3), _KG)
    value = np.where(pounds, kilograms / _POUND, kilograms)
    decimals = chance.choice(count, (1, 1, 1, 2))
    bounds = np.cumsum([share / 100 for share in _SPOILS.values()])
    kind = np.searchsorted(bounds, chance.uniform(count), side="right")
    spoil = {name: kind == number for number, name in enumerate(_SPOILS)}
    away = chance.choice(count, (-1, 1)) * chance.uniform(count, 8, 35)
    for name, wrong, digits, code in (
        ("pounds as kilograms", kilograms / _POUND, 1, _KG),
        ("somebody else", people.other[who] + 0.6 * chance.normal(count), 1, _KG),
        ("outlier", kilograms + away, 1, _KG),
        ("no point", kilograms * 10, 0, _KG),
        ("body-mass index", kilograms / 1.71**2, 1, _BMI),
        ("body surface", 0.0235 * kilograms**0.515 * 171**0.422, 2, _BSA),
    ):
        at = spoil[name]
        value[at], decimals[at], unit[at] = wrong[at], digits, code
    unit = np.where(spoil["no unit"], chance.below(count, 3) + _NULL, unit)
    no_weight = np.where(spoil["missing"], chance.below(count, 3) % 2, -1)
    no_weight = np.where(spoil["no number"], 2 + chance.below(count, 6), no_weight)
    names = (*_SOURCES, *(f"BSA {name}" for name in _SOURCES))
    return (
        pl.Series(names)[source + np.where(spoil["body surface"], len(_SOURCES), 0)],
        _or(_number(value, decimals), _NO_WEIGHT, no_weight),
        pl.Series(_UNITS)[unit],
    )


def _or(texts: pl.Series, others: Sequence[str], which: Ints) -> pl.Series:
    """Put `others[which]` where which is not negative."""
    at = np.flatnonzero(which >= 0)
    return texts.scatter(at, pl.Series(others)[which[at]])


def _number(value: Floats, decimals: Ints) -> pl.Series:
    scaled = np.rint(value * 10.0**decimals).astype(np.int64)
    whole, part = np.divmod(np.abs(scaled), 10**decimals)
    table = pl.Series(["", *(f".{digit}" for digit in range(10)), *(f".{digits:02}" for digits in range(100))])
    ends = table[np.where(decimals == 0, 0, np.where(decimals == 1, 1 + part, 11 + part))]
    minus = pl.Series(["", "-"])[(scaled < 0).astype(np.int64)]
    return minus + pl.Series(whole).cast(pl.String) + ends


def _times(day: Floats, hour: Floats, chance: _Chance) -> pl.Series:
    """Three in five as `2020-01-31 07:05:00`, the others as ISO 8601 in three ways, and a few are no times."""
    count = len(day)
    kind = np.searchsorted((0.6, 0.8, 0.9), chance.uniform(count), side="right")
    second = np.floor(day).astype(np.int64) * 86_400 + np.rint(hour * 3600).astype(np.int64)
    number, of_day = np.divmod(second + np.where(kind == 3, 7200, 0), 86_400)  # noqa: PLR2004 - the one with an offset
    days, clocks, ends = _calendar()
    end = np.where(kind == 2, 3 + chance.below(count, 1000), np.minimum(kind, 2))  # noqa: PLR2004 - with a fraction
    texts = days[number] + pl.Series([" ", "T"])[np.minimum(kind, 1)] + clocks[of_day] + ends[end]
    none = np.where(chance.share(count, _NO_TIME_SHARE), chance.below(count, len(_NO_TIME)), -1)
    return _or(texts, _NO_TIME, none)


@cache
def _calendar() -> tuple[pl.Series, pl.Series, pl.Series]:
    days = np.datetime64(_START) + np.arange(_DAYS)
    clocks = [f"{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}" for at in range(86_400)]
    ends = ["", "Z", "+02:00", *(f".{part:03}Z" for part in range(1000))]
    return pl.Series(np.datetime_as_string(days).tolist()), pl.Series(clocks), pl.Series(ends)
