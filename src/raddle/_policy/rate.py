"""How many items may start per second, when the caller knows what a service allows."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bucket", "Rate"]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many starts, and so much of a second quantity, per time; spread evenly.

        Rate(10)                                             ten items a second
        Rate(60, per=60, units=90_000, cost=count_tokens)    60 requests and 90,000 tokens a minute

    Every try counts, also one after an error or a rejection. In no `per` seconds more than `items` start, and what
    `burst` allows on top (at least one).

    Args:
        items: starts per `per` seconds; None for any number
        per: seconds
        units: of what `cost` counts, per `per` seconds; None for no second limit
        cost: units of one item, 0 or more. Called in the run's own thread: it should be quick. An item that costs
            more than can be saved up goes when the savings are full, and what follows waits until it is paid.
        burst: seconds' worth of either limit that may start at once after a pause
    """

    items: float | None = None
    _: KW_ONLY
    per: float = 1.0
    units: float | None = None
    cost: Callable[[Any], float] | None = None
    burst: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: naming the value
        """
        for name in ("items", "per", "units"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value}: must be more than 0")
        if self.items is None and self.units is None:
            raise ConfigError("items=None, units=None: a rate needs one of them, such as Rate(60, per=60)")
        if not 0 <= self.burst <= self.per:
            raise ConfigError(f"burst={self.burst}: must be seconds, from 0 to per={self.per}")
        if (self.units is None) != (self.cost is None):
            missing = "cost=..., a function of an item" if self.cost is None else "units=..., the limit"
            raise ConfigError(f"units={self.units}, cost={self.cost}: units and cost go together: give {missing}")

    def cost_of(self, item: Any) -> float:
        """Return what the item costs in units; 0 without `cost`.

        Raises:
            ConfigError: if `cost` gives no number of 0 or more
        """
        if self.cost is None:
            return 0.0
        cost = self.cost(item)
        if not isinstance(cost, (int, float)) or not 0 <= cost < math.inf:
            raise ConfigError(f"cost(item)={cost!r}: must be a number of units, 0 or more")
        return float(cost)


class Bucket:
    """What a `Rate` still permits: GCRA (ITU-T I.371), a token bucket that keeps one instant per limit.

    `_full` is when the bucket will be full again; `_depth` how many seconds it takes to fill. Comparing instants that
    are computed the same way leaves no room for a wait that ends a rounding error too early.
    """

    __slots__ = ("_item_depth", "_item_full", "_per_item", "_per_unit", "_unit_depth", "_unit_full")

    def __init__(self, rate: Rate) -> None:
        self._per_item = 0.0 if rate.items is None else rate.per / rate.items
        self._per_unit = 0.0 if rate.units is None else rate.per / rate.units
        self._item_depth = max(rate.burst, self._per_item)
        self._unit_depth = max(rate.burst, self._per_unit)
        self._item_full = self._unit_full = -math.inf

    def next_at(self, now: float, cost: float = 0.0) -> float:
        """Return the instant from which an item of this cost may start; `now` if it may at once."""
        item_at = self._item_full - (self._item_depth - self._per_item)
        # More than the bucket holds: when it is full.
        missing = min(cost * self._per_unit, self._unit_depth)
        return max(now, item_at, self._unit_full - (self._unit_depth - missing))

    def permits(self, now: float, cost: float = 0.0) -> int:
        """Return how many items may start now; at most one where costs differ: the next of `cost` units."""
        if self.next_at(now, cost) > now:
            return 0
        if self._per_unit:
            return 1
        saved = self._item_depth - max(0.0, self._item_full - now)
        return max(1, int(saved / self._per_item + 1e-9))

    def take(self, now: float, items: int = 1, cost: float = 0.0) -> None:
        """Count `items` starts of `cost` units in all, permitted or not."""
        self._item_full = max(now, self._item_full) + items * self._per_item
        self._unit_full = max(now, self._unit_full) + cost * self._per_unit
