"""Ways to watch a run."""

from __future__ import annotations

from typing import Literal

__all__ = ["View"]

#: auto: the line; live: raddle's live view, with each active encode; line: one line, painted in place on a terminal;
#: compact: the same, shorter; none: nothing
View = Literal["auto", "live", "line", "compact", "none"]
