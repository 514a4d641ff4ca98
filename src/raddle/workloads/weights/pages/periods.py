"""The periods that charts over time are cut into: months, quarters, years or decades, as many as can be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MONTH_DAYS", "YEAR", "Period", "periods", "series"]

YEAR: Final = 12  # months
MONTH_DAYS: Final = 1461 / 48
_STEPS = ((72, 1), (180, 3), (1200, YEAR))  # up to so many months: so many to a period
_DECADE = 120  # months
_MOST = 100
_STRAY = 1000  # one row in so many may lie outside the chart on either side


@dataclass(frozen=True, slots=True)
class Period:
    """Some months; `end` is exclusive. None: no bound, and not in the chart."""

    label: str
    x: str | float | None
    first: int | None
    end: int | None


def periods(rows: Mapping[int, int], *, days: bool) -> list[Period]:
    """Cut time into at most about 100 periods; the few rows far off get one before and one after, without a bar.

    Args:
        rows: rows of each month, as counted
        days: months count from birth or start, not from January 1970
    """
    if not rows:
        return []
    months = sorted(rows)
    low, high = _quantile(months, rows), _quantile(months[::-1], rows)
    decades = -(-(high - low + 1) // (_MOST * _DECADE))
    step = next((step for most, step in _STEPS if high - low < most), decades * _DECADE)
    low -= low % step
    end = high - high % step + step
    whole = [_period(first, step, end, days=days) for first in range(low, end, step)]
    if months[0] < low:
        whole.insert(0, Period("before", None, None, low))
    if months[-1] >= end:
        whole.append(Period("after", None, end, None))
    return whole


def _quantile(months: Sequence[int], rows: Mapping[int, int]) -> int:
    left = sum(rows.values()) / _STRAY
    for month in months:
        left -= rows[month]
        if left <= 0:
            return month
    return months[-1]


def _period(first: int, step: int, end: int, *, days: bool) -> Period:
    name, x = _named_days(first, step, end) if days else _named_months(first, step)
    return Period(name, x, first, first + step)


def _named_days(first: int, step: int, end: int) -> tuple[str, float]:
    low, high = first * MONTH_DAYS, (first + step) * MONTH_DAYS
    if end <= 2 * YEAR:
        return f"day {low:.0f} to {high:.0f}", (low + high) / 2
    return f"year {first / YEAR:.10g} to {(first + step) / YEAR:.10g}", (low + high) / 2 / 365.25


def _named_months(first: int, step: int) -> tuple[str, str]:
    year, month = 1970 + first // YEAR, first % YEAR
    x = f"{year:04d}-{month + 1:02d}-01"
    if step == 1:
        return x[:7], x
    if step < YEAR:
        return f"{year:04d} Q{month // 3 + 1}", x
    return (f"{year:04d}" if step == YEAR else f"{year:04d} to {year + step // YEAR - 1:04d}"), x


def series(months: Mapping[str, Sequence[int]], cut: Sequence[Period], kinds: int) -> list[list[int]]:
    """Add the counts of months up to those of periods; one list of `kinds` numbers for each."""
    found = [[0] * kinds for _ in cut]
    ordered = iter(sorted((int(month), counts) for month, counts in months.items()))
    at = 0
    for month, counts in ordered:
        while cut[at].end is not None and month >= (cut[at].end or 0):
            at += 1
        found[at] = [a + b for a, b in zip(found[at], counts, strict=True)]
    return found
