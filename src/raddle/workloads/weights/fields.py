"""From text to weights and times: pure rules, each refusal with a short reason."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

__all__ = ["UNIT_KG", "Refused", "is_missing", "parse_days", "parse_time", "parse_unit", "parse_weight"]

_MISSING = frozenset({"", "null", "na", "n/a", "none"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1900, 2200
_MOST_DAYS = 100_000.0
_MOST_KG = 1000.0

# [lb_ap] is UCUM's apothecaries' pound (0.373 kg), but exports that carry it mean the ordinary one: nobody is weighed
# in the other.
_POUND, _STONE = 0.45359237, 6.35029318
UNIT_KG: dict[str, float] = {
    **dict.fromkeys(("kg", "kgs", "kilogram", "kilograms"), 1.0),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds", "[lb_ap]", "[lb_av]"), _POUND),
    **dict.fromkeys(("st", "stone", "stones"), _STONE),
    **dict.fromkeys(("g", "gram", "grams"), 0.001),
}


class Refused(Exception):
    """The row cannot be used; `args[0]` is the reason."""


def is_missing(text: str) -> bool:
    """Tell whether a cell says nothing: empty, NULL, NA, N/A, None."""
    return text.lower() in _MISSING


def parse_unit(text: str, source: str) -> float:
    """Return the kilograms in one of that unit; nothing given means kg.

    Raises:
        Refused: unit_not_weight (body-mass index, body surface), unknown_unit
    """
    unit = text.lower()
    if "m2" in unit or "m²" in unit or "bsa" in source.lower():
        raise Refused("unit_not_weight")
    if is_missing(unit):
        return 1.0
    factor = UNIT_KG.get(unit)
    if factor is None:
        raise Refused("unknown_unit")
    return factor


def parse_weight(text: str, factor: float) -> float:
    """Return kilograms, over 0 and at most 1000.

    Raises:
        Refused: no_weight, not_a_number, out_of_range
    """
    if is_missing(text):
        raise Refused("no_weight")
    number = _number(text)
    if number is None:
        raise Refused("not_a_number")
    kilograms = number * factor
    if not 0.0 < kilograms <= _MOST_KG:  # false for NaN too
        raise Refused("out_of_range")
    return kilograms


def parse_days(text: str) -> float:
    """Return a number of days.

    Raises:
        Refused: bad_time
    """
    number = _number(text)
    if number is None or not abs(number) <= _MOST_DAYS:
        raise Refused("bad_time")
    return number + 0.0  # -0 becomes 0


def parse_time(text: str) -> int:
    """Return UTC microseconds since 1970 of a date, `Y-m-d H:M:S` or ISO 8601 text; without an offset it is UTC.

    A time that cannot be read is never replaced by another one.

    Raises:
        Refused: bad_time, also for years before 1900 and after 2200 (typing errors such as `0025-`)
    """
    try:
        if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in {"", "T", "t", " "}:
            raise Refused("bad_time")  # fromisoformat takes more than dates, week numbers for instance
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_time") from error
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise Refused("bad_time")
    return (moment - _EPOCH) // _MICROSECOND


def _number(text: str) -> float | None:
    # float() alone would take "1_000" and digits of other scripts
    if _NUMBER.fullmatch(text):
        return float(text)
    return math.inf if text.lower().lstrip("+-") in {"inf", "infinity"} else None
