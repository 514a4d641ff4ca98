"""Numbers, times and JSON as a page shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

__all__ = ["at", "axis_value", "date", "embedded_json", "kg", "label", "moment", "signed"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(ticks: float) -> datetime:
    """Return the instant of a time in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(ticks))


def moment(ticks: float, *, days: bool) -> str:
    """Return a time for people: `2025-01-31 07:15` or `day 412`."""
    if days:
        return f"day {ticks:.10g}"
    when = at(ticks)
    return f"{when:%Y-%m-%d}" if (when.hour, when.minute, when.second) == (0, 0, 0) else f"{when:%Y-%m-%d %H:%M}"


def date(ticks: float, *, days: bool) -> str:
    """Return the day of a time for people."""
    text = moment(ticks, days=days)
    return text if days else text[:10]


def axis_value(ticks: float, *, days: bool) -> str | float:
    """Return a time as Plotly's axis wants it."""
    if days:
        return ticks
    text = at(ticks).strftime("%Y-%m-%d %H:%M:%S")
    return text.removesuffix(":00").removesuffix(" 00:00")


def kg(value: float | None) -> str:
    """Return a weight: grams matter for newborns only."""
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) < 20 else f"{value:.1f}"  # noqa: PLR2004 - kg


def signed(value: float | None, digits: int = 2) -> str:
    """Return a change, with its sign; never `-0.00`."""
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def label(text: str, limit: int = 60) -> str:
    """Return somebody's text for a chart: not too long, and no markup (Plotly reads a little HTML)."""
    return escape(text if len(text) <= limit else text[: limit - 1] + "…")


def embedded_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    import orjson

    text: str = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
