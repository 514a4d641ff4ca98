"""Which frame comes next. No lock, no thread, no clock in here: the renderer guards it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

__all__ = ["FrameOrder"]

T = TypeVar("T")


@dataclass(slots=True)
class FrameOrder(Generic[T]):
    """Frames that wait for their turn, at most `capacity` of them and the one whose turn it is.

    Invariant: every waiting number is at least `turn`, and `turn` only grows until `restart`. So a number is drawn
    once at most, and numbers that are drawn ascend.
    """

    capacity: int
    first: int = 0
    turn: int = field(init=False)
    waiting: dict[int, T] = field(default_factory=dict, init=False)
    pass_to: float = field(default=0.0, init=False)  # gaps below this number are not waited for

    def __post_init__(self) -> None:
        self.turn = self.first

    def restart(self) -> None:
        """Forget all; the first number has its turn again."""
        self.waiting.clear()
        self.turn, self.pass_to = self.first, 0.0

    def refusal(self, number: int) -> Literal["late", "twice", ""]:
        """Why a number cannot wait: its turn has passed, or it waits already."""
        if number < self.turn:
            return "late"
        return "twice" if number in self.waiting else ""

    def has_room(self, number: int) -> bool:
        """The number whose turn it is always has: it is what the others wait for."""
        return len(self.waiting) < self.capacity or number == self.turn

    def pass_gaps(self) -> None:
        """Numbers missing below the highest that waits are not waited for."""
        self.pass_to = max(self.pass_to, max(self.waiting, default=-1) + 1)

    def ready(self) -> int | None:
        """The number to draw now, if it is there."""
        if self.turn in self.waiting:
            return self.turn
        if self.waiting and self.turn < self.pass_to:
            lowest = min(self.waiting)
            return lowest if lowest < self.pass_to else None
        return None

    def take(self) -> tuple[int, T, int] | None:
        """The next number, its frame, and how many missing numbers were passed over before it."""
        number = self.ready()
        if number is None:
            return None
        passed, self.turn = number - self.turn, number + 1
        return number, self.waiting.pop(number), passed

    def shed(self) -> T:
        """Give up the lowest number that waits, and with it all below: room for a newer one."""
        number = min(self.waiting)
        self.turn = number + 1
        return self.waiting.pop(number)
