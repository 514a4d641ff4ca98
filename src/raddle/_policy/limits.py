"""How many workers may be busy at once. A limit computes the number; the machine is the gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from raddle.errors import ConfigError

__all__ = ["FixedLimit", "HillClimb", "Limit"]


class Limit(Protocol):
    """What the machine asks of a limit."""

    @property
    def value(self) -> int:
        """How many workers may be busy now."""

    @property
    def reason(self) -> str:
        """Why it is that number, for people, with the figures."""

    def ended(self, now: float, items: int, busy: int) -> None:
        """Learn that a chunk of `items` ended at `now` (seconds); `busy` workers were busy until then."""


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """Always the same number."""

    value: int

    @property
    def reason(self) -> str:
        """Why it is that number, for people."""
        return f"{self.value} workers, as given"

    def ended(self, now: float, items: int, busy: int) -> None:
        """Learn nothing."""


class _Seen:
    """Throughput at one level, from blocks of as many completions as there are workers.

    The sums are those of the ratio estimator: noise is how far the blocks are from their common rate. Equal items
    that end in step have none, heavy-tailed ones have much.
    """

    __slots__ = ("blocks", "calls", "ii", "it", "items", "seconds", "tt")

    def __init__(self) -> None:
        self.blocks = self.calls = self.items = self.seconds = self.ii = self.it = self.tt = 0.0

    def add(self, calls: int, items: int, seconds: float) -> None:
        self.blocks += 1
        self.calls += calls
        self.items += items
        self.seconds += seconds
        self.ii += items * items
        self.it += items * seconds
        self.tt += seconds * seconds

    def merge(self, other: _Seen) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def fade(self, factor: float) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) * factor)

    @property
    def rate(self) -> float:
        """Items per second."""
        return max(self.items, 1e-9) / max(self.seconds, 1e-9)

    @property
    def noise(self) -> float:
        """Variance of a block relative to its mean, times its calls: what one call contributes."""
        rate, mean = self.rate, self.items / self.blocks
        spread = max(0.0, self.ii - 2 * rate * self.it + rate * rate * self.tt)
        return spread / max(mean * mean, 1e-9) * self.calls / self.blocks


class HillClimb:
    """Climb on throughput: keep what makes more items end per second; on a tie, fewer workers.

    A level is tried and compared with the base level by a sequential test (Wald's): it goes on until the difference
    stands out of the noise, or ends for the base. First the level doubles while that pays; then it steps up and down
    in turn, by 20 % or as much more as the noise demands, and the longer nothing pays, the rarer. Latency plays no
    part, see docs/explanation/concurrency.md. Completions at which fewer workers were busy than allowed do not count.

    Args:
        start: how many workers at first
        least: never fewer
        most: never more
    """

    #: blocks that a window has at least while the level doubles, and later
    SHORT, LONG = 2, 3
    #: seconds that a window lasts at least
    SECONDS = 0.1
    #: completions per worker after which a trial without a clear result ends
    PATIENCE = 25
    #: smallest step
    STEP = 1.2
    #: windows between trials: at first, and at most
    REST, LONG_REST = 2, 64
    #: part of the limit that must be busy for a block to count
    BINDING = 0.9
    #: more workers must gain this part (in logarithms) of what they would if they did not hinder each other ...
    WORTH = 0.2
    #: ... and this at least; fewer may lose as much: it counts as a tie
    TOLERANCE = math.log(1.03)
    #: gain that the test tells from none, as part of the step
    EXPECTED = 0.7
    #: log-likelihood ratio that decides. While doubling, a yes needs less: not to grow can cost half of
    #: the throughput, to grow without need costs some percent and is found out later
    YES, NO = 1.0, 1.0
    EARLY_YES = 0.45
    #: what counts of a level, of the noise, after one more window
    FADE, NOISE_FADE = 0.98, 0.97
    #: noise of one call before any is known: the square of the items' coefficient of variation
    PRIOR = 0.5
    PRIOR_WEIGHT = 3.0
    #: the noisier, the larger the smallest step
    REACH = 1.5
    #: a base level whose throughput changes by this much (in logarithms) is another world: all is forgotten
    CHANGED = 0.3

    def __init__(self, *, start: int, least: int = 1, most: int) -> None:
        if not 1 <= least <= most:
            raise ConfigError(f"least={least}, most={most}: must be 1 <= least <= most")
        self.least, self.most = least, most
        self.value = self._base = min(most, max(least, start))
        self._factor, self._up, self._doubling = 2.0, True, True
        self._levels: dict[int, _Seen] = {}
        self._window = _Seen()
        self._noise, self._noise_weight = self.PRIOR, self.PRIOR_WEIGHT
        self._tried = 0.0
        self._rest, self._rest_length = 0, self.REST
        self._said = (0, 0.0)
        self._since: float | None = None
        self._settling = True
        self._items = self._busy = 0
        self._left = self._size = self.value

    def ended(self, now: float, items: int, busy: int) -> None:
        """Learn that a chunk of `items` ended at `now` (seconds); `busy` workers were busy until then."""
        self._items += items
        self._busy += busy
        self._left -= 1
        if self._left <= 0:
            self._end_block(now)

    @property
    def reason(self) -> str:
        """Why it is that number, for people, with the figures."""
        base = self._levels.get(self._base)
        if base is None:
            return f"{self.value} workers; nothing measured yet"
        text = f"{self._base} workers: {base.rate:.3g} items/s"
        if self._said[0]:
            text += f"; with {self._said[0]}: {100 * math.expm1(self._said[1]):+.0f} %"
        return text if self.value == self._base else f"{text}; trying {self.value}"

    def _end_block(self, now: float) -> None:
        since, self._since = self._since, now
        items, busy, size = self._items, self._busy, self._size
        self._items = self._busy = 0
        # A multiple of the level: equal items that end in step fill such a block evenly.
        self._left = self._size = self.value * -(-4 // self.value)
        if since is None or busy < self.BINDING * self.value * size:
            return  # the source or the consumer is slow: this says nothing about the level
        if self._settling:
            self._settling = False
            return
        window = self._window
        window.add(size, items, max(now - since, 1e-9))
        if window.blocks >= (self.SHORT if self._doubling else self.LONG) and window.seconds >= self.SECONDS:
            self._window = _Seen()
            self._end_window(window)

    def _end_window(self, window: _Seen) -> None:
        degrees = window.blocks - 1
        weight = self._noise_weight * self.NOISE_FADE
        self._noise = (self._noise * weight + window.noise * degrees) / (weight + degrees)
        self._noise_weight = weight + degrees
        base = self._levels.get(self._base)
        if self.value == self._base and base is not None and self._differs(window, base):
            self._levels.clear()
            self._rest = self._rest_length = self.REST
        for seen in self._levels.values():
            seen.fade(self.FADE)
        self._levels = {level: seen for level, seen in self._levels.items() if seen.blocks >= 1}
        self._levels.setdefault(self.value, _Seen()).merge(window)
        if self.value != self._base:
            self._tried += window.calls
            self._judge()
            return
        self._rest -= 1
        if self._rest <= 0:
            self._try()

    def _differs(self, window: _Seen, base: _Seen) -> bool:
        error = math.sqrt(self._noise * (1 / window.calls + 1 / base.calls))
        return abs(math.log(window.rate / base.rate)) > max(self.CHANGED, 4 * error)

    def _judge(self) -> None:
        trial, base = self._levels[self.value], self._levels.get(self._base)
        if base is None:
            self._go(self._base)
            return
        step = abs(math.log(self.value / self._base))
        gain = math.log(trial.rate / base.rate)
        worth = max(self.TOLERANCE, self.WORTH * step) if self.value > self._base else -self.TOLERANCE
        # The small constant keeps figures without any noise from deciding on a millionth.
        variance = self._noise * (1 / trial.calls + 1 / base.calls) + 1e-4
        evidence = self.EXPECTED * step * (gain - worth) / variance
        tired = self._tried >= self.PATIENCE * self.value
        if evidence > (self.EARLY_YES if self._doubling else self.YES) or (tired and self._doubling and evidence > 0):
            self._said = (self._base, -gain)
            self._base = self.value
            self._factor = min(2.0, self._factor**2)
            self._rest_length = self.REST
            self._try()
        elif evidence < -self.NO or tired:
            self._said = (self.value, gain)
            self._turn()
            self._go(self._base)

    def _turn(self) -> None:
        # The first no may have been bad luck with a few items: once more up, by a smaller step.
        self._up, self._doubling = self._doubling or not self._up, False
        self._rest, self._rest_length = self._rest_length, min(self.LONG_REST, 2 * self._rest_length)
        self._factor = self._small_step()

    def _small_step(self) -> float:
        """Return the smallest step whose gain can stand out of the noise within some ten items per worker."""
        return min(2.0, max(self.STEP, math.exp(math.sqrt(self.REACH * self._noise / self._base))))

    def _try(self) -> None:
        """Go to the next level in the direction that is due."""
        for _ in range(2):
            if self._up:
                level = min(self.most, max(self._base + 1, round(self._base * self._factor)))
            else:
                level = max(self.least, min(self._base - 1, round(self._base / self._factor)))
            if level != self._base:
                self._go(level)
                return
            self._doubling, self._up, self._factor = False, not self._up, self._small_step()
        self._rest = self.LONG_REST

    def _go(self, level: int) -> None:
        # What ends at first was begun at the old level. While doubling, half of it must do: time is short.
        settle = max(level, self.value) / (2 if self._doubling else 1)
        self.value = level
        self._window, self._tried = _Seen(), 0.0
        self._settling, self._items, self._busy = True, 0, 0
        self._left = self._size = max(1, round(settle))
