"""Numbers, times and JSON as a page shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

__all__ = ["at", "kg", "label", "script_json", "signed"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(ticks: float) -> datetime:
    """Return the instant of a time in microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=int(ticks))


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


def script_json(value: Any) -> str:
    """Return JSON that cannot end the script element it stands in; numpy arrays are lists."""
    import orjson

    try:
        text: str = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError:  # text that no encoding takes: half a pair of surrogates
        text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
