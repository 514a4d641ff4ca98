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
    #: items slower than this are not worth a chunk waiting behind them: the way to the worker is short against it
    PREFETCH_BELOW = 0.02

    def __init__(self, *, largest: int, target: float = 0.005) -> None:
        self.largest = largest
        self.target = target
        self.size = 1
        self._mean: float | None = None

    def observe(self, items: int, seconds: float) -> None:
        """Learn from a chunk (or a part of one) that ran `items` items in `seconds`."""
        if items == 0:
            return
        seen = max(seconds / items, 1e-9)
        old = self._mean
        self._mean = seen if old is None or seen > old else 0.7 * old + 0.3 * seen
        fitting = int(self.target / self._mean) or 1
        self.size = max(1, min(fitting, self.size * 2, self.largest))

    def depth(self, most: int) -> int:
        """Return how many chunks a worker should hold, the running one included."""
        return most if self._mean is not None and self._mean < self.PREFETCH_BELOW else 1

    @property
    def budget(self) -> float:
        """Seconds after which a worker gives the unstarted rest of a chunk back."""
        return self.PATIENCE * self.target
