"""How long the item under way still has."""

from __future__ import annotations

import raddle

__all__ = ["remaining"]


def remaining() -> float:
    """Return the seconds until the deadline of the attempt under way; infinity if there is none, or no run."""
    try:
        return raddle.attempt().remaining()
    except LookupError:
        return float("inf")
