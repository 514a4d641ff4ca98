"""The index of all users: one page whose list is drawn by index.js, only as far as it is seen."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.files import asset
from raddle.workloads.weights.pages import weekly
from raddle.workloads.weights.text import date, embedded_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raddle.workloads.weights.values import Readings, UserResult

__all__ = ["failed_row", "index_page", "user_row"]

_POINTS = 32
_LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz"

REASONS = {
    "blank_line": "blank line",
    "malformed_row": "not a row of the table",
    "bad_encoding": "not UTF-8",
    "where": "filtered out by --where",
    "no_user": "no user id",
    "no_weight": "no weight",
    "not_a_number": "weight is not a number",
    "out_of_range": "weight not over 0 and up to 1000 kg",
    "bad_time": "time missing or not readable",
    "unit_not_weight": "not a weight (BMI, body surface)",
    "unknown_unit": "unknown unit",
    "exact_duplicate": "exact duplicate",
}


def user_row(readings: Readings, result: UserResult, name: str) -> list[Any]:
    """Return what the index needs of a user; index.js knows the order."""
    trend = weekly(result)
    last = readings.times[result.last] if result.state is not None else readings.times[-1]
    return [
        readings.user,
        0 if name == f"{readings.user}.html" else name,
        len(readings.lines),
        len(readings.lines) - result.accepted,
        readings.unused,
        None if result.state is None else round(result.state[0], 2),
        None if trend is None else round(trend, 3),
        last if readings.days else date(last, days=False),
        _spark(result),
    ]


def failed_row(readings: Readings, name: str) -> list[Any]:
    """Return the row of a user whose data could not be processed."""
    return [readings.user, name, len(readings.lines), None, readings.unused, None, None, None, ""]


def index_page(
    rows: Sequence[list[Any]], *, title: str, days: bool, rows_read: int, rejected: Mapping[str, int]
) -> bytes:
    """Return index.html."""
    readings = sum(row[2] for row in rows)
    refused = sum(row[3] or 0 for row in rows)
    unused = sum(rejected.values())
    listed = "".join(
        f"<tr><td>{count:,}</td><td>{escape(REASONS.get(reason, reason))}</td><td>{reason}</td></tr>"
        for reason, count in sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    share = f"{100 * refused / readings:.1f} % of the readings" if readings else ""
    tiles = [
        ("users", f"{len(rows):,}", ""),
        ("rows in the file", f"{rows_read:,}", f"{unused:,} not used"),
        ("readings", f"{readings:,}", f"{readings / len(rows):.1f} a user" if rows else ""),
        ("rejected by the filter", f"{refused:,}", share),
    ]
    return (
        Template(asset("index.html"))
        .substitute(
            title=escape(title),
            tiles="".join(
                f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b><small>{more}</small></dd></div>'
                for name, value, more in tiles
            ),
            unused=f"{unused:,}",
            reasons=listed,
            users=embedded_json({"days": days, "rows": rows}),
        )
        .encode()
    )


def _spark(result: UserResult) -> str:
    """Return the filtered weight's course as at most 32 levels, a character each."""
    course = [
        value
        for value, stage in zip(result.filtered_kg, result.stages, strict=True)
        if stage <= 1 and value is not None
    ]
    if len(course) < 2:  # noqa: PLR2004 - a point is no course
        return ""
    step = max(1.0, (len(course) - 1) / (_POINTS - 1))
    points = [course[round(number * step)] for number in range(int((len(course) - 1) / step + 1e-9) + 1)]
    low, high = min(points), max(points)
    scale = (len(_LEVELS) - 1) / max(high - low, 0.02 * high)  # 2 %: noise is not made a mountain range
    middle = (len(_LEVELS) - 1) / 2 - scale * (low + high) / 2
    return "".join(_LEVELS[round(middle + scale * point)] for point in points)
