"""What the population report counts, of a chunk of users at a time. Counts of chunks add up to counts of all.

    count_chunk (workers) ─▶ dicts of integers ─▶ merge_counts (in any order) ─▶ population_page

Counts are JSON: keys are text, and everything in them is an integer or holds integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.values import DAY, FIELDS, RESETS, STAGES

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bools, Chunk, Filtered, Floats, Ints

__all__ = [
    "CAUSES",
    "INGEST_REASONS",
    "INTERVALS",
    "QUALITIES",
    "SHARES",
    "count_chunk",
    "merge_counts",
    "no_counts",
]

#: reasons for which a row is not read, in words
INGEST_REASONS: Final = {
    "bad_encoding": "not UTF-8",
    "bad_time": "time missing or not readable",
    "blank_line": "blank line",
    "date_range": "outside the dates asked for",
    "exact_duplicate": "says what another row says",
    "leap_second": "in a leap second, which has no time of its own",
    "malformed_row": "not a row of the table",
    "no_user": "no user id",
    "no_weight": "no weight",
    "not_a_number": "weight is not a number",
    "not_selected": "of users not asked for",
    "out_of_range": "weight not over 0 and up to 1000 kg",
    "too_few_readings": "of users with too few readings",
    "unit_not_weight": "not a weight (BMI, body surface)",
    "unknown_unit": "unknown unit",
    "user_too_long": "user id too long",
    "where": "filtered out by --where",
}

#: what a rejected reading looks like, by place in `counts["causes"]`: the first that fits
CAUSES: Final = (
    "taken back by the retrospective pass",
    "pounds taken for kilograms",
    "kilograms taken for pounds",
    "decimal point in the wrong place",
    "no human weight",
    "heavier than expected",
    "lighter than expected",
    "nothing to compare it with",
)
#: bins of `counts["quality"]`: of 0.05 each, and one for readings whose quality is not known
QUALITIES: Final = 21
#: upper edges (inclusive) of the share of a user's readings that is rejected; the last bin is above all of them,
#: then come users without readings
SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
#: upper edges in days (exclusive) of the time between a user's readings; the last bin is from the last on
INTERVALS: Final = (0.5, 2.0, 8.0, 31.0, 92.0, 366.0)

_POUNDS = 1 / 0.45359237
_RATIOS = ((_POUNDS,), (1 / _POUNDS,), (10.0, 0.1))  # of the causes 1 to 3
_NEAR = 0.04  # of such a ratio: filtered weights are a few per cent off the true ones
_MONTHS = 48, 1461  # 48 months are 1461 days


def no_counts() -> dict[str, Any]:
    """Return the counts of nothing."""
    return {
        "users": 0,
        "rows": 0,
        "unused": 0,
        "cells": {},
        "causes": [0] * len(CAUSES),
        "quality": [[0] * QUALITIES, [0] * QUALITIES],
        "shares": [0] * (len(SHARES) + 2),
        "resets": {},
        "intervals": [0] * (len(INTERVALS) + 1),
    }


def count_chunk(chunk: Chunk, filtered: Filtered) -> dict[str, Any]:
    """Return the counts of a chunk.

    `cells[source][month]` holds a count for each of STAGES, `resets[month]` one for each of RESETS; a month counts from
    January 1970, or with `chunk.days` from birth or start. `quality` is of accepted and of rejected readings, `shares`
    of users, `intervals` of neighbouring readings of a user.
    """
    readings = np.diff(chunk.starts)
    rejected = filtered.stage > 1
    months = _months(chunk)
    quality = filtered.out[FIELDS.index("quality")]
    return {
        "users": len(chunk.users),
        "rows": len(filtered.stage),
        "unused": int(chunk.unused.sum()),
        "cells": _cells(chunk, months, filtered.stage),
        "causes": _causes(filtered, _expected(chunk, filtered), np.flatnonzero(rejected)),
        "quality": [_qualities(quality[~rejected]), _qualities(quality[rejected])],
        "shares": _shares(rejected, readings, chunk.starts),
        "resets": _resets(months, filtered),
        "intervals": _intervals(chunk, readings),
    }


def merge_counts(one: Any, other: Any) -> Any:
    """Add counts up; neither is changed. Any order and any grouping give the same."""
    if isinstance(one, dict):
        merged = {key: merge_counts(value, other[key]) if key in other else value for key, value in one.items()}
        merged.update((key, value) for key, value in other.items() if key not in one)
        return merged
    if isinstance(one, list):
        return [merge_counts(mine, yours) for mine, yours in zip(one, other, strict=True)]
    return one + other


def _months(chunk: Chunk) -> Ints:
    if chunk.days:
        many, days = _MONTHS
        return chunk.time // DAY * many // days
    return chunk.time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _cells(chunk: Chunk, months: Ints, stage: Any) -> dict[str, dict[str, list[int]]]:
    cells: dict[str, dict[str, list[int]]] = {}
    for (source, month), counts in _table(months, stage, len(STAGES), chunk.source):
        own = cells.setdefault(chunk.source_names[source], {})
        key = str(month)
        own[key] = merge_counts(own[key], counts) if key in own else counts  # two sources may have one name
    return cells


def _resets(months: Ints, filtered: Filtered) -> dict[str, list[int]]:
    some = np.flatnonzero(filtered.reset)
    whole = np.zeros(some.size, dtype=np.int64)
    table = _table(months[some], filtered.reset[some], len(RESETS), whole)
    return {str(month): counts for (_, month), counts in table}


def _table(months: Ints, kind: Any, kinds: int, group: Ints) -> list[tuple[tuple[int, int], list[int]]]:
    """Count rows by group and month, and in each by kind."""
    if not months.size:
        return []
    low = int(months.min())
    wide = int(months.max()) - low + 1
    cell, place = np.unique(group * wide + (months - low), return_inverse=True)
    counts = np.bincount(place * kinds + kind, minlength=cell.size * kinds).reshape(-1, kinds)
    keys = zip((cell // wide).tolist(), (cell % wide + low).tolist(), strict=True)
    return list(zip(keys, counts.tolist(), strict=True))


def _expected(chunk: Chunk, filtered: Filtered) -> Floats:
    """Return the weight that was expected; where the rules do not tell (compat), the last accepted filtered weight."""
    level = filtered.out[FIELDS.index("filtered_weight")]
    places = np.arange(len(level))
    last = np.maximum.accumulate(np.where(filtered.stage <= 1, places, -1))
    own = last >= np.repeat(chunk.starts[:-1], np.diff(chunk.starts))
    known: Floats = np.where(np.isnan(level) & own, level[last], level)
    return known


def _causes(filtered: Filtered, level: Floats, rows: Ints) -> list[int]:
    expected = level[rows]
    weight = filtered.weight[rows]
    stage = filtered.stage[rows]
    known = np.isfinite(expected) & (expected > 0) & np.isfinite(weight)
    ratio = np.divide(weight, expected, out=np.full(rows.size, np.nan), where=known)
    near = [
        np.any([np.abs(ratio - to) <= _NEAR * to for to in ratios], axis=0) if rows.size else known
        for ratios in _RATIOS
    ]
    impossible = (stage == STAGES.index("physiological")) | (stage == STAGES.index("preprocessing"))
    tests = [stage == STAGES.index("retrospective"), *near, impossible, ratio > 1, ratio <= 1]
    cause = np.select(tests, list(range(len(tests))), default=len(tests))
    return _bins(cause, len(CAUSES))


def _qualities(quality: Any) -> list[int]:
    known = np.isfinite(quality)
    bins = np.clip(np.floor(np.where(known, quality, 0.0) * (QUALITIES - 1)), 0, QUALITIES - 2)
    return _bins(np.where(known, bins, QUALITIES - 1).astype(np.int64), QUALITIES)


def _shares(rejected: Bools, readings: Ints, starts: Ints) -> list[int]:
    sums = np.concatenate(([0], np.cumsum(rejected)))
    own = sums[starts[1:]] - sums[starts[:-1]]
    bins = np.searchsorted(SHARES, own / np.maximum(readings, 1), side="left")
    return _bins(np.where(readings > 0, bins, len(SHARES) + 1), len(SHARES) + 2)


def _intervals(chunk: Chunk, readings: Ints) -> list[int]:
    owner = np.repeat(np.arange(len(readings)), readings)
    order = np.lexsort((chunk.time, owner))
    between = np.diff(chunk.time[order])[np.diff(owner) == 0]
    bins = np.searchsorted(np.array(INTERVALS) * DAY, between, side="right")
    return _bins(bins, len(INTERVALS) + 1)


def _bins(places: Any, length: int) -> list[int]:
    counted: list[int] = np.bincount(places, minlength=length).tolist()
    return counted
