"""How many workers may be busy at once. A limit computes the number; the machine is the gate."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FixedLimit"]


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """Always the same number."""

    value: int
