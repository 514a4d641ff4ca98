"""So many items of each class at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Permits"]


class Permits:
    """Who holds a permit of which class. A chunk holds one, as a worker runs its items one after another."""

    def __init__(self, most: Mapping[str, int]) -> None:
        #: of each class, how many more may start now
        self.free = dict(most)
        #: by position, for as long as an item has no outcome; items that need no permit are not in it
        self.classes: dict[int, str] = {}
        # By number of the chunk and not by its items: those are forgotten when they have their outcome.
        self._held: dict[int, str] = {}

    def note(self, positions: Iterable[int], classes: Iterable[str | None]) -> None:
        """Remember the classes of items."""
        for position, name in zip(positions, classes, strict=True):
            if name is not None:
                self.classes[position] = name

    def take(self, chunk: int, position: int) -> None:
        """Say that a chunk, which begins with the item at this position, goes to a worker."""
        name = self.classes.get(position)
        if name is not None:
            self.free[name] -= 1
            self._held[chunk] = name

    def give_back(self, chunk: int) -> None:
        """Say that no worker has a chunk any more."""
        name = self._held.pop(chunk, None)
        if name is not None:
            self.free[name] += 1
