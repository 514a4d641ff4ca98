"""What time it is, for observers that a caller makes without saying so."""

from __future__ import annotations

import time

__all__ = ["RealClock"]


class RealClock:
    """The machine's own clocks."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
