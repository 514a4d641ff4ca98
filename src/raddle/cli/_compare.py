"""Two runs side by side: what became of the same items, and how fast.

Work and memory are bounded however many outcomes there are: of each run every outcome is read once, four columns of
it, a page at a time. Kept are the items that are not ok (10,000 of each status) and the seconds of about 100,000 items.
Which ones is told by a checksum of their ids, so that they are the same items in both runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from raddle._model import Status

if TYPE_CHECKING:
    from raddle.journal.history import History, OutcomeRow, RunRow

__all__ = ["Changed", "Comparison", "Group", "Moved", "Side", "compare"]

_NOT_OK = (Status.FAILED, Status.TIMED_OUT, Status.CRASHED)
_KEPT = 100_000
_BAD_KEPT = 10_000
_FIRST = 10
#: an item has become slower or faster if it takes this many times as long, and this many seconds more
_FACTOR, _NOTICEABLE = 1.5, 0.001
_MISSING = "not there"


class Group(NamedTuple):
    """Failures of one kind, and how many of them there are in each run."""

    status: str
    error_type: str
    before: int
    after: int

    @property
    def change(self) -> str:
        """Which way it went: "gone", "new", "fewer", "more" or "as many"."""
        if not self.before or not self.after:
            return "new" if self.after else "gone"
        return "as many" if self.before == self.after else "more" if self.after > self.before else "fewer"


class Changed(NamedTuple):
    """An item that ended otherwise. A status may also be "not there"."""

    position: int
    item: str
    before: str
    after: str


class Moved(NamedTuple):
    """An item that took another time."""

    position: int
    item: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the runs."""

    run: RunRow
    counts: dict[str, int]
    #: of a sample, in ascending order
    seconds: list[float]
    #: of all
    longest: float

    @property
    def exact(self) -> bool:
        """Whether the sample is all."""
        return len(self.seconds) >= sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs."""

    before: Side
    after: Side
    groups: list[Group]
    #: (status before, status after) -> how many items
    changes: dict[tuple[str, str], int]
    #: whether there were more that are not ok than could be looked at
    cut: bool
    #: the first ones
    changed: list[Changed]
    #: items that ended ok in both, of the sample
    matched: int
    slower: int
    faster: int
    #: median of seconds after / seconds before; None if there is none to compare
    ratio: float | None
    #: those that lost most time, and those that gained most
    slowed: list[Moved]
    hastened: list[Moved]


class _Times(NamedTuple):
    """Seconds of the sample by item, those that ended ok, and all of the sample."""

    ok: dict[bytes, tuple[int, float]]
    all: list[float]


def compare(before: History, first: RunRow, after: History, second: RunRow) -> Comparison:
    """Compare two runs, of one journal or of two.

    Raises:
        JournalError: a journal cannot be read
    """
    counts = _counts(before, first), _counts(after, second)
    part = max(1, -(-max(sum(each.values()) for each in counts) // _KEPT))
    (old_bad, old_cut), (new_bad, new_cut) = _bad(before, first), _bad(after, second)
    wanted = old_bad.keys() | new_bad.keys()
    old, old_status = _read(before, first, wanted, part)
    new, new_status = _read(after, second, wanted, part)
    changes: dict[tuple[str, str], int] = {}
    changed: list[Changed] = []
    for item_id, row in {**new_bad, **old_bad}.items():
        pair = old_status.get(item_id, _MISSING), new_status.get(item_id, _MISSING)
        if pair[0] != pair[1]:
            changes[pair] = changes.get(pair, 0) + 1
            changed.append(Changed(row.position, row.label, *pair))
    matched, slower, faster, ratio, moved = _speed(old.ok, new.ok)
    return Comparison(
        before=Side(first, counts[0], sorted(old.all), _longest(before, first)),
        after=Side(second, counts[1], sorted(new.all), _longest(after, second)),
        groups=_groups(before, first, after, second),
        changes=changes,
        cut=old_cut or new_cut,
        changed=sorted(changed)[:_FIRST],
        matched=matched,
        slower=slower,
        faster=faster,
        ratio=ratio,
        slowed=[_moved(after, second.id, each) for each in moved[:_FIRST] if each[0] > 0],
        hastened=[_moved(after, second.id, each) for each in moved[::-1][:_FIRST] if each[0] < 0],
    )


def _counts(history: History, run: RunRow) -> dict[str, int]:
    return {status.value: count for status, count in history.counts(run.id).items()}


def _longest(history: History, run: RunRow) -> float:
    return max((row.seconds for row in history.slowest(run.id, limit=1)), default=0.0)


def _bad(history: History, run: RunRow) -> tuple[dict[bytes, OutcomeRow], bool]:
    """Return the items that are not ok, and whether that is not all of them."""
    found: dict[bytes, OutcomeRow] = {}
    cut = False
    for status in _NOT_OK:
        rows = list(islice(history.outcomes(run.id, status=status), _BAD_KEPT + 1))
        cut = cut or len(rows) > _BAD_KEPT
        found |= {row.item_id: row for row in rows[:_BAD_KEPT]}
    return found, cut


def _read(history: History, run: RunRow, wanted: set[bytes], part: int) -> tuple[_Times, dict[bytes, str]]:
    """Read a run once: the seconds of one item in `part`, and how those that are wanted ended."""
    times, statuses = _Times({}, []), dict[bytes, str]()
    for rows in history.timed(run.id):
        statuses |= {row[1]: row[2] for row in rows if row[1] in wanted}
        for number, item_id, status, seconds in (
            rows if part == 1 else [row for row in rows if not crc32(row[1]) % part]
        ):
            times.all.append(seconds or 0.0)
            if status == "ok":
                # Of items of equal content the first counts.
                times.ok.setdefault(item_id, (number, seconds or 0.0))
    return times, statuses


def _speed(
    old: dict[bytes, tuple[int, float]], new: dict[bytes, tuple[int, float]]
) -> tuple[int, int, int, float | None, list[tuple[float, int, float, float]]]:
    """Return how many are in both, became slower, became faster; the median ratio; who moved, slowed most first."""
    pairs = [
        (new[each][1] - old[each][1], new[each][0], old[each][1], new[each][1]) for each in old.keys() & new.keys()
    ]
    ratios = sorted(now / then for _, _, then, now in pairs if then > 0)
    moved = sorted((each for each in pairs if _noticed(each[2], each[3])), reverse=True)
    slower = sum(each[0] > 0 for each in moved)
    ratio = ratios[len(ratios) // 2] if ratios else None
    return len(pairs), slower, len(moved) - slower, ratio, moved


def _noticed(before: float, after: float) -> bool:
    low, high = sorted((before, after))
    return high - low >= _NOTICEABLE and high >= _FACTOR * low


def _moved(history: History, run_id: int, moved: tuple[float, int, float, float]) -> Moved:
    _, number, before, after = moved
    row = next(history.outcomes(run_id, after=number - 1, limit=1))
    return Moved(row.position, row.label, before, after)


def _groups(before: History, first: RunRow, after: History, second: RunRow) -> list[Group]:
    old, new = (
        {(group.status.value, group.error_type): group.count for group in history.failures(run.id)}
        for history, run in ((before, first), (after, second))
    )
    groups = [Group(*kind, old.get(kind, 0), new.get(kind, 0)) for kind in old.keys() | new.keys()]
    return sorted(groups, key=lambda group: (-max(group.before, group.after), group))
