"""Items as short text, whatever they are."""

from __future__ import annotations

import reprlib

__all__ = ["one_line", "short"]

_LONGEST = 500


def short(item: object, limit: int = _LONGEST) -> str:
    """Return the repr of an item, cut to `limit` characters; never raises."""
    if isinstance(item, str):
        item = item[: limit + 1]  # a string may be a whole book
    try:
        text = repr(item)
    except Exception:  # noqa: BLE001 - a hostile __repr__ costs its own text only
        text = reprlib.repr(item)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str) -> str:
    """Return text that cannot move the cursor: names and messages may hold anything."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST])
