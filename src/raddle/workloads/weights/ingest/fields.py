"""From text to users, units, weights and times: pure rules, each refusal with a short reason."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from raddle.workloads.weights.ingest.units import NO_UNIT, UNKNOWN, V2_KG, unit_code

__all__ = [
    "FIRST_TICK",
    "LAST_TICK",
    "MOST_DAYS",
    "MOST_KG",
    "QUIET",
    "REASONS",
    "WHITE",
    "Refused",
    "day_ticks",
    "is_missing",
    "parse_days",
    "parse_number",
    "parse_time",
    "parse_unit",
    "parse_user",
    "parse_weight",
]

#: why a row is not used, by code; 0: it is
REASONS: Final = (
    "",
    "blank_line",
    "malformed_row",
    "bad_encoding",
    "where",
    "no_user",
    "user_too_long",
    "not_selected",
    "unit_not_weight",
    "unknown_unit",
    "no_weight",
    "not_a_number",
    "out_of_range",
    "bad_time",
    "leap_second",
    "date_range",
    "too_few_readings",
)
#: a user is not blamed for rows that are refused for these; `too_few_readings` leaves no user to blame
QUIET: Final = frozenset({"", "bad_encoding", "where", "not_selected", "date_range"})

#: what is cut off at the ends of a cell. `str.strip` alone takes four control characters more.
WHITE: Final = (
    " \t\n\x0b\x0c\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
MOST_KG: Final = 1000.0
MOST_DAYS: Final = 100_000.0

_MISSING = frozenset({"", "null", "na", "n/a", "none"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_LEAP = re.compile(r"\d{4}-\d\d-\d\d[ Tt]\d\d:\d\d:60(?!\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: instants that are believed, inclusive: 1900 to 2200. Others are typing errors such as `0025-`.
FIRST_TICK: Final = (datetime(1900, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST_TICK: Final = (datetime(2201, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND - 1
_DAY: Final = 86_400_000_000
_LONGEST_USER: Final = 4096


class Refused(Exception):
    """The row cannot be used; `args[0]` is the reason."""


def is_missing(text: str) -> bool:
    """Tell whether a cell says nothing: empty, NULL, NA, N/A, None."""
    return text.lower() in _MISSING


def parse_user(text: str) -> str:
    """Return the id.

    Raises:
        Refused: no_user, user_too_long (over 4 kB)
    """
    user = text.strip(WHITE)
    if is_missing(user):
        raise Refused("no_user")
    if len(user) > _LONGEST_USER or len(user.encode()) > _LONGEST_USER:
        raise Refused("user_too_long")
    return user


def parse_unit(text: str, source: str, *, strict: bool) -> int:
    """Return the code of a unit; not strict: UNKNOWN instead of a refusal.

    Raises:
        Refused: unit_not_weight (body-mass index, body surface), unknown_unit
    """
    if "m2" in text.lower() or "m²" in text.lower() or "bsa" in source.lower():
        raise Refused("unit_not_weight")
    code = unit_code(text.strip(WHITE))
    if code == UNKNOWN and strict:
        raise Refused("unknown_unit")
    return code


def parse_weight(text: str, unit: int = NO_UNIT, *, strict: bool = True) -> float:
    """Return a weight as written. It must be over 0 and at most 1000: strict, in kg; otherwise the number itself.

    Raises:
        Refused: no_weight, not_a_number, out_of_range
    """
    if is_missing(text):
        raise Refused("no_weight")
    number = parse_number(text)
    if number is None:
        raise Refused("not_a_number")
    if not 0.0 < (number * V2_KG[unit] if strict else number) <= MOST_KG:
        raise Refused("out_of_range")
    return number


def parse_days(text: str) -> int:
    """Return a number of days as microseconds.

    Raises:
        Refused: bad_time
    """
    number = parse_number(text)
    if number is None or not abs(number) <= MOST_DAYS:
        raise Refused("bad_time")
    return day_ticks(number)


def day_ticks(days: float) -> int:
    """Return days in microseconds, to the nearest one."""
    return round(days * _DAY)


def parse_time(text: str) -> int:
    """Return UTC microseconds since 1970 of a date, `Y-m-d H:M:S` or ISO 8601 text; without an offset it is UTC.

    A time that cannot be read is never replaced by another one.

    Raises:
        Refused: bad_time, also for years before 1900 and after 2200 (typing errors such as `0025-`); leap_second
    """
    if _LEAP.match(text):
        raise Refused("leap_second")  # no tick is its own, and the one after it may be taken
    try:
        if text[4:5] != "-" or text[7:8] != "-" or text[10:11] not in {"", "T", "t", " "} or not text.isascii():
            raise Refused("bad_time")  # fromisoformat takes more than dates, week numbers for instance
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refused("bad_time") from error
    tick = (moment - _EPOCH) // _MICROSECOND
    if not FIRST_TICK <= tick <= LAST_TICK:
        raise Refused("bad_time")
    return tick


def parse_number(text: str) -> float | None:
    """Return a decimal number or an infinity; None for all else, NaN too."""
    # float() alone would take "1_000" and digits of other scripts
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.lower().lstrip("+-") in {"inf", "infinity"}:
        return -math.inf if text.startswith("-") else math.inf
    return None
