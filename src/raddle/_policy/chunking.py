"""How many items travel together."""

from __future__ import annotations

__all__ = ["ChunkSize"]


class ChunkSize:
    """Follow the measured item time, so that a chunk takes about `target` seconds.

    It starts at one item, at most doubles from chunk to chunk, and shrinks at once: a chunk that is too small costs
    some overhead, one that is too long leaves other workers without work.
    """

    #: a worker gives the rest back when a chunk takes this many times its target
    PATIENCE = 4.0
    #: growth of the item time that a chunk is believed, for each of its items
    RISE = 4.0

    def __init__(self, *, largest: int, target: float = 0.005, prefetch_below: float = 0.02) -> None:
        self.largest = largest
        self.target = target
        self._prefetch_below = prefetch_below
        self.size = 1
        self._mean: float | None = None

    def observe(self, items: int, seconds: float) -> None:
        """Learn from a chunk (or a part of one) that ran `items` items in `seconds`."""
        if items == 0:
            return
        seen = max(seconds / items, 1e-9)
        old = self._mean
        if old is None:
            self._mean = seen
        elif seen > old:
            # Not at once: a chunk of one item that met a garbage collection must not cost a thousand small chunks.
            self._mean = min(seen, self.RISE * items * old)
        else:
            self._mean = (old + seen) / 2
        fitting = int(self.target / self._mean) or 1
        self.size = max(1, min(fitting, self.size * 2, self.largest))

    def depth(self, most: int) -> int:
        """Return how many chunks a worker should hold, the running one included."""
        return most if self._mean is not None and self._mean < self._prefetch_below else 1

    @property
    def budget(self) -> float:
        """Seconds after which a worker gives the unstarted rest of a chunk back."""
        return self.PATIENCE * self.target
