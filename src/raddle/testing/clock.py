"""Time that moves when it is told to."""

from __future__ import annotations

__all__ = ["FakeClock"]

# 2024-01-01 00:00:00 UTC: the time of day when a fake clock shows 0
_EPOCH = 1_704_067_200.0


class FakeClock:
    """A clock for tests: `now()` starts at `start` seconds and moves by `advance` alone."""

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return seconds that never go back."""
        return self._now

    def wall(self) -> float:
        """Return the time of day, as seconds since 1970; it goes as `now()` does."""
        return _EPOCH + self._now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: seconds < 0
        """
        if seconds < 0:
            raise ValueError(f"seconds={seconds} would turn the clock back: give 0 or more")
        self._now += seconds

    def advance_to(self, instant: float) -> None:
        """Let time pass until exactly `instant`; nothing happens if that is over already.

        Not the same as `advance(instant - now())`, which may miss the instant by a rounding error.
        """
        self._now = max(self._now, instant)
