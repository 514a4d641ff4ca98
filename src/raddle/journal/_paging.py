"""A page of outcomes in any order. The work of a call is bounded, whatever the number of outcomes.

Every order is by a pair of numbers, rank and tie; a cursor is the pair of the last outcome that is done with. Stretches
come in the order of the least pair that they may hold, so that the rows found are final as soon as no stretch that is
left can hold a smaller one. A search, or a filter, that finds little stops after `LOOK` outcomes and says how to go on.

The order of slowness is the odd one: the slowest of all are in few stretches, but those of page 100 may be in any, and
then a page is one pass over the run, up to two million outcomes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, get_args

from raddle._model import Status
from raddle.errors import ConfigError
from raddle.journal import _rows, _sql
from raddle.journal._stretches import stretches
from raddle.journal._views import Order

if TYPE_CHECKING:
    import sqlite3

    from raddle.journal._stretches import Stretch

__all__ = ["LOOK", "MOST", "Wanted", "find", "wanted"]

#: outcomes that one call looks through, about, when it finds too few
LOOK = 131_072
# The slowest may be anywhere, so that what is left would have to be looked through again by the next call.
_SLOW = 16
#: rows on a page
MOST = 10_000
_LONGEST = 1000
_TOO_BIG = 1 << 63

Pair = tuple[float, int]
_START: Pair = (float("-inf"), -(1 << 62))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for."""

    order: Order
    status: Status | None
    error_type: str | None
    search: str
    after: Pair
    limit: int

    def least(self, stretch: Stretch) -> Pair:
        """Return a pair that no outcome of the stretch is below."""
        match self.order:
            case "recorded":
                return stretch.first, stretch.first
            case "newest":
                return -stretch.last, -stretch.last
            case "position":
                return stretch.least_position, stretch.first
            case "slowest":
                return -stretch.slowest, -stretch.last

    def is_in(self, stretch: Stretch) -> bool:
        """Whether it may hold something."""
        if stretch.bounded and self.status is Status.OK and stretch.not_ok == stretch.rows:
            return False
        bad = self.error_type is not None or self.status not in {None, Status.OK}
        if stretch.bounded and bad and not stretch.not_ok:
            return False
        match self.order:
            case "recorded":
                return stretch.last > self.after[0]
            case "newest":
                return -stretch.first > self.after[0]
            case "position":
                return stretch.greatest_position >= self.after[0]
            case "slowest":
                return True

    def look(self, conn: sqlite3.Connection, stretch: Stretch, run_id: int, most: float) -> list[Pair]:
        """Return the first pairs of a stretch, and none whose rank is above `most`."""
        status = None if self.status is None else self.status.value
        text = "%" + "".join(f"!{char}" if char in "!%_" else char for char in self.search) + "%"
        kind = (run_id, status, status, self.error_type, self.error_type, not self.search, text, text, text, text)
        rank = self.after[0]
        if self.order == "slowest":
            slow = (stretch.first, stretch.last, rank, most, *self.after, *kind, self.limit + 1)
            found = conn.execute(_sql.query("look_for_slow"), slow)
        else:
            sign = -1 if self.order == "newest" else 1
            row = (self.order, sign, stretch.first, stretch.last, *kind, rank, most, *self.after, self.limit + 1)
            found = conn.execute(_sql.query("look_through"), row)
        return [(rank, tie) for rank, tie in found]


def wanted(
    *, order: Order, status: Status | str | None, error_type: str | None, search: str, cursor: str | None, limit: int
) -> Wanted:
    """Check what is asked for.

    Raises:
        ConfigError: an option is out of range
        ValueError: there is no such status
    """
    if order not in get_args(Order):
        raise ConfigError(f"order={order!r} is unknown: give one of {', '.join(get_args(Order))}")
    if not 1 <= limit <= MOST:
        raise ConfigError(f"limit={limit} is out of range: give 1 to {MOST}")
    if len(search) > _LONGEST:
        raise ConfigError(f"search=... has {len(search)} characters: give {_LONGEST} or fewer")
    return Wanted(
        order=order,
        status=None if status is None else Status(status),
        error_type=None if error_type is None else _rows.safe_text(error_type),
        search=_rows.safe_text(search),
        after=_START if cursor is None else _after(cursor, order),
        limit=limit,
    )


def find(conn: sqlite3.Connection, run_id: int, what: Wanted, *, look: int = LOOK) -> tuple[list[int], str | None]:
    """Return the numbers of the outcomes of a page, in order, and the cursor for the next; None if there is none."""
    todo = sorted((what.least(one), one) for one in stretches(conn, run_id) if what.is_in(one))
    found: list[Pair] = []
    looked, enough = 0, (_SLOW if what.order == "slowest" else 1) * look
    for least, stretch in todo:
        settled = [pair for pair in found if pair < least]
        if len(settled) > what.limit:
            break
        before = least[0], least[1] - 1
        if looked >= enough and before > what.after and isfinite(least[0]):
            full = len(settled) == what.limit
            return _numbers(settled), _cursor(what.order, settled[-1] if full else before)
        most = found[-1][0] if len(found) > what.limit else float("inf")
        found += what.look(conn, stretch, run_id, most)
        found.sort()
        del found[what.limit + 1 :]
        looked += stretch.rows
    page = found[: what.limit]
    return _numbers(page), _cursor(what.order, page[-1]) if len(found) > what.limit else None


def _numbers(pairs: list[Pair]) -> list[int]:
    return [abs(tie) for _, tie in pairs]


def _cursor(order: str, pair: Pair) -> str:
    return json.dumps([order, *pair], separators=(",", ":"))


def _after(cursor: str, order: str) -> Pair:
    try:
        of, rank, tie = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        of = rank = tie = None
    numbers = type(rank) in {int, float} and type(tie) is int
    if of != order or not numbers or not (abs(rank) < _TOO_BIG and abs(tie) < _TOO_BIG):
        raise ConfigError(f"cursor={cursor[:100]!r} is none of order={order!r}: leave it out to begin anew")
    return rank, tie
