"""Times that are not ISO 8601: `31/1/2025`, `1/31/25 7:05 AM`, `Jan 3, 2023`. The result is ISO text.

Which number of `1/2/2025` is the month is never guessed row by row. A whole column decides: a number over 12 cannot be
a month. A column without one says nothing, and the user is asked.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Final, Literal

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["DateOrder", "clock", "decided_order", "looks_numeric", "named_date", "parser", "to_iso"]

DateOrder = Literal["ymd", "mdy", "dmy"]

_NUMERIC: Final = re.compile(
    r"(?P<a>\d{1,4})(?P<sign>[/.\-])(?P<b>\d{1,2})(?P=sign)(?P<c>\d{1,4})(?:(?:,\s*|\s+|T)(?P<clock>\S.*))?", re.ASCII
)
_ISO: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)", re.ASCII)
_CLOCK: Final = re.compile(
    r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?P<part>\.\d{1,9})?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "january"),
            ("feb", "february"),
            ("mar", "march"),
            ("apr", "april"),
            ("may",),
            ("jun", "june"),
            ("jul", "july"),
            ("aug", "august"),
            ("sep", "sept", "september"),
            ("oct", "october"),
            ("nov", "november"),
            ("dec", "december"),
        ),
        start=1,
    )
    for name in names
}
_NAMED: Final = re.compile(
    r"([A-Za-z]{3,9})\.? (\d{1,2}), ?(\d{4})|(\d{1,2})\.? ([A-Za-z]{3,9})\.?,? (\d{4})", re.ASCII
)
_MONTHS_A_YEAR, _NOON, _CENTURY, _TURN = 12, 12, 100, 70
_HOURS, _SIXTY = 24, 60
_PLACES: Final[dict[DateOrder, tuple[int, int, int]]] = {"ymd": (0, 1, 2), "mdy": (2, 0, 1), "dmy": (2, 1, 0)}


def looks_numeric(text: str) -> bool:
    """Tell whether a cell is a date of three numbers that is not ISO 8601."""
    found = _NUMERIC.fullmatch(text)
    return found is not None and not _ISO.match(text)


def decided_order(texts: Iterable[str], *, where: str, given: str | None = None) -> DateOrder:
    """Return the order of year, month and day in a column; `given` says it, otherwise its numbers do.

    Raises:
        ConfigError: the column says nothing, or contradicts itself
    """
    if given in _PLACES:
        return given
    first_over, second_over, years, short = False, False, False, False
    for text in texts:
        found = _NUMERIC.fullmatch(text.strip())
        if found is None:
            continue
        if len(found["a"]) > 2:  # noqa: PLR2004 - a year's digits
            years = True
        else:
            short |= len(found["c"]) <= 2  # noqa: PLR2004 - as above
            first_over |= int(found["a"]) > _MONTHS_A_YEAR
            second_over |= int(found["b"]) > _MONTHS_A_YEAR
    found_orders = years + first_over + second_over
    if found_orders == 1 and not short:
        return "ymd" if years else "dmy" if first_over else "mdy"
    trouble = "has dates in several orders" if found_orders > 1 else "does not say which number is the month"
    if short:
        trouble = "has years of two digits"
    raise errors.ConfigError(f"{where} {trouble}: say it with --date-order ymd, mdy or dmy")


def parser(order: DateOrder) -> Callable[[str], str | None]:
    """Return a function from such a time to ISO text; None for what is no date in that order. ISO text stays."""

    def parse(text: str) -> str | None:
        return to_iso(text, order)

    return parse


def to_iso(text: str, order: DateOrder) -> str | None:
    """Return ISO text of a date in that order, with or without a time; None if it is none. ISO text stays as it is.

    A year of two digits is 1970 to 2069.
    """
    text = text.strip()
    found = _NUMERIC.fullmatch(text)
    if found is None:
        return None
    if _ISO.match(text):
        return text
    numbers = (found["a"], found["b"], found["c"])
    year, month, day = (numbers[place] for place in _PLACES[order])
    if len(year) not in {2, 4} or len(month) > 2 or len(day) > 2:  # noqa: PLR2004 - digits
        return None
    whole = int(year)
    if len(year) == 2:  # noqa: PLR2004 - digits
        whole += 19 * _CENTURY if whole >= _TURN else 20 * _CENTURY
    return _joined(whole, int(month), int(day), found["clock"])


def named_date(text: str) -> tuple[int, int, int] | None:
    """Return year, month, day of `Jan 3, 2023` or `3 Jan 2023`, English names only; None if it is no such date."""
    found = _NAMED.fullmatch(text.strip())
    if found is None:
        return None
    month = _MONTHS.get((found[1] or found[5]).lower())
    if month is None:
        return None
    year, day = int(found[3] or found[6]), int(found[2] or found[4])
    return (year, month, day) if _joined(year, month, day, None) else None


def clock(text: str) -> str | None:
    """Return `HH:MM:SS`, with its fraction and zone if it has one, of `7:05 AM` or `19:05`; None if it is no time."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hour = int(found["h"])
    if found["half"]:
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + (_NOON if found["half"][0] in "Pp" else 0)
    zone = (found["zone"] or "").upper()
    if len(zone) == 5:  # noqa: PLR2004 - +0100
        zone = f"{zone[:3]}:{zone[3:]}"
    minute, second = int(found["m"]), int(found["s"] or 0)
    if hour >= _HOURS or minute >= _SIXTY or second > _SIXTY:  # a leap second is for others to refuse
        return None
    return f"{hour:02}:{minute:02}:{second:02}{(found['part'] or '')[:7]}{zone}"


def _joined(year: int, month: int, day: int, rest: str | None) -> str | None:
    try:
        said = date(year, month, day).isoformat()
    except ValueError:
        return None
    if rest is None:
        return said
    of_day = clock(rest)
    return None if of_day is None else f"{said}T{of_day}"
