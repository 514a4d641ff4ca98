"""What page.js draws one user's chart from: columns of rounded numbers, and where resets, gaps and the like are.

Only numbers travel; traces, colours and words for the screen are made in the browser, which makes a page ten times
smaller and quicker than one with finished traces in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.pages.explain import ADAPTING
from raddle.workloads.weights.pages.kinds import before
from raddle.workloads.weights.values import DAY, FIELDS, RESETS

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bools, Bytes, Floats, Ints, Person

__all__ = ["MOST_DRAWN", "columns", "drawn_rows", "gaps", "settling"]

#: more rows than these are thinned, to the lowest and highest per pixel column; rejected ones stay while there are
#: no more of them than this
MOST_DRAWN: Final = 4_000
_PIXELS = 1_000

#: keys of the columns made from rows of FIELDS, with what they are multiplied by
_KEYS: Final = {
    "f": ("filtered_weight", 1),
    "w": ("trend", 7),
    "s": ("sigma", 1),
    "ws": ("trend_sigma", 7),
    "i": ("innovation", 1),
    "a": ("allowed", 1),
    "q": ("quality", 1),
    "qs": ("safety", 1),
    "qp": ("plausibility", 1),
    "qc": ("consistency", 1),
    "qr": ("reliability", 1),
}
_ORDER = np.array([FIELDS.index(name) for name, _ in _KEYS.values()])
_SCALE = np.array([[times] for _, times in _KEYS.values()], dtype=np.float64)
_FIRST_READING, _GAP = RESETS.index("first reading"), RESETS.index("gap")
_LIGHT = 30.0  # kg: below it grams matter
_GAP_DAYS = 30.0  # where the profile does not say, or says more
_INTERVALS = 8  # a pause is one that is this many times the usual


def columns(person: Person, rejected: Ints, severity: Bytes) -> dict[str, Any]:
    """Return what the chart is drawn from, for orjson with OPT_SERIALIZE_NUMPY.

    Args:
        person: the user; at least one row
        rejected: offsets of the rejected rows
        severity: of each of them
    """
    accepted = person.stage <= 1
    last = before(person)
    keep = drawn_rows(person, accepted)
    weight = person.weight[keep]
    span = _range(person, accepted)
    digits = 3 if span[1] < _LIGHT else 2
    clock = _clock(person.time, days=person.days)
    start = clock[0].item()
    numbers = np.round(person.out.take(_ORDER, axis=0).take(keep, axis=1) * _SCALE, digits) + 0.0  # no -0.0
    sources, names = _sources(person, accepted)
    told = {key: row for key, row in zip(_KEYS, numbers, strict=True) if not np.isnan(row).all()}
    if person.smoothed is not None:
        told["h"] = np.round(person.smoothed[0, keep], digits)
    shown = np.isin(rejected, keep)
    data = {
        "days": person.days,
        "post": person.rules == "compat",
        "of": len(person.line),
        "t0": start,
        "t": np.round(clock[keep] - start, 3) if person.days else clock[keep] - start,
        "line": person.line[keep],
        "kg": np.round(weight, digits),
        "stage": person.stage[keep],
        "src": sources[keep],
        "names": names,
        **told,
        "y": span,
        "digits": digits,
        "resets": _resets(person, keep, last),
        "gaps": [[begin - start, end - start] for begin, end in gaps(person, accepted, clock)],
        "settling": [[begin - start, end - start] for begin, end in settling(person, accepted, clock)],
        "rejected": [np.searchsorted(keep, rejected[shown]), severity[shown], np.flatnonzero(shown)],
        "revised": _revised(person, keep, digits),
    }
    if "quality_threshold" in person.facts:
        data["threshold"] = person.facts["quality_threshold"]
    return data


def drawn_rows(person: Person, accepted: Bools) -> Ints:
    """Return the offsets of the rows to draw: all, or of many those that make the picture."""
    count = len(person.line)
    if count <= MOST_DRAWN:
        return np.arange(count)
    span = max(1, int(person.time[-1]) - int(person.time[0]))
    column = ((person.time - person.time[0]) / span * (_PIXELS - 1)).astype(np.int64)
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[[0, -1]] = True
    for rows, whole in ((np.flatnonzero(accepted), False), (np.flatnonzero(~accepted), True)):
        if whole and len(rows) <= MOST_DRAWN:
            chosen[rows] = True
            continue
        order = rows[np.lexsort((person.weight[rows], column[rows]))]
        edges = np.flatnonzero(np.diff(column[order], prepend=-1, append=_PIXELS))
        chosen[order[edges[:-1]]] = True
        chosen[order[edges[1:] - 1]] = True
        chosen[rows[np.flatnonzero(np.diff(column[rows], append=_PIXELS))]] = True
    marked = np.flatnonzero(person.reset)
    if len(marked) <= MOST_DRAWN // 4:
        chosen[marked] = True
    kept: Ints = np.flatnonzero(chosen)
    return kept


def _clock(ticks: Ints, *, days: bool) -> Any:
    """Return seconds since 1970, or days."""
    return ticks / DAY if days else ticks // 1_000_000


def _sources(person: Person, accepted: Bools) -> tuple[Ints, list[str]]:
    """Return the sources that occur, most used first, and each row's number among them."""
    most = len(person.source_names)
    counts = np.bincount(person.source, minlength=most) + np.bincount(person.source[accepted], minlength=most) / 2
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    numbers = np.zeros(most, dtype=np.int64)
    numbers[order] = np.arange(len(order))
    names = [person.source_names[at] for at in order.tolist()]
    return numbers[person.source], [_clean(name if len(name) <= 80 else f"{name[:79]}…") for name in names]  # noqa: PLR2004


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _range(person: Person, accepted: Bools) -> list[float]:
    """Return the kilograms to show: all that is accepted, its band within reason, and what is not too far off."""
    line, sigma = (person.out[FIELDS.index(name), accepted] for name in ("filtered_weight", "sigma"))
    inner = _finite(np.concatenate((person.weight[accepted], line)))
    if len(inner):
        low, high = float(inner.min()), float(inner.max())
        span = max(high - low, 0.04 * high)
        band = 2 * np.nan_to_num(sigma, posinf=0.0)
        low = max(low - 0.3 * span, float(_finite(line - band).min(initial=low)))
        high = min(high + 0.3 * span, float(_finite(line + band).max(initial=high)))
    else:
        weight = _finite(person.weight)
        low, high = (float(weight.min()), float(weight.max())) if len(weight) else (0.0, 1.0)
    span = max(high - low, 0.04 * high)
    near = _finite(person.weight[~accepted])
    near = near[(near >= low - 0.5 * span) & (near <= high + 0.5 * span)]
    low, high = float(near.min(initial=low)), float(near.max(initial=high))
    pad = 0.06 * max(high - low, 0.04 * high, 1e-3)
    return [round(max(0.0, low - pad), 3), round(high + pad, 3)]


def _finite(numbers: Floats) -> Floats:
    found: Floats = numbers[np.isfinite(numbers)]
    return found


def _resets(person: Person, keep: Ints, last: Ints) -> list[Any]:
    """Return of each reset: place among the drawn rows, code, and its days without reading or its change in kg."""
    own = keep[person.reset[keep] > 0]
    if not len(own):
        return [[], [], []]
    old = np.maximum(last[own], 0)
    kind = person.reset[own]
    days = (person.time[own] - person.time[old]) / DAY
    change = person.weight[own] - person.out[0, old]
    number = np.round(np.where(kind == _GAP, days, change), 2)
    number[last[own] < 0] = np.nan
    return [np.searchsorted(keep, own), kind, number]


def gaps(person: Person, accepted: Bools, clock: Any) -> list[list[float]]:
    """Return from when to when no reading was accepted: the profile's gap, or less where readings are frequent."""
    rows = np.flatnonzero(accepted)
    if len(rows) < 2:  # noqa: PLR2004 - no interval
        return []
    between = np.diff(person.time[rows])
    usual = _INTERVALS * float(np.median(between)) / DAY
    limit = min(person.facts.get("gap_days", _GAP_DAYS), max(_GAP_DAYS, usual))
    wide = np.flatnonzero(between >= limit * DAY)
    if len(wide) > MOST_DRAWN // 4:
        return []
    return [[clock[begin].item(), clock[end].item()] for begin, end in zip(rows[wide], rows[wide + 1], strict=True)]


def settling(person: Person, accepted: Bools, clock: Any) -> list[list[float]]:
    """Return from when to when the filter was still adapting: after each reset, for the profile's days and readings."""
    starts = np.flatnonzero(accepted & (person.reset > 0))
    facts = person.facts
    if "first_adaptation_days" not in facts or not 0 < len(starts) <= MOST_DRAWN // 4:
        return []
    kinds = person.reset[starts]
    days, count = (
        np.array([facts.get(f"{name}_adaptation_{what}", 0.0) for name in ADAPTING])[kinds]
        for what in ("days", "readings")
    )
    rows = np.flatnonzero(accepted)
    places = np.searchsorted(rows, starts) + np.maximum(count.astype(np.int64) - 1, 0)
    ends = np.maximum(person.time[rows[np.minimum(places, len(rows) - 1)]], person.time[starts] + days * DAY)
    ends = np.minimum(ends, np.append(person.time[starts[1:]], person.time[-1])).astype(np.int64)
    spans = zip(clock[starts].tolist(), _clock(ends, days=person.days).tolist(), strict=True)
    return [[begin, end] for begin, end in spans if end > begin]


def _revised(person: Person, keep: Ints, digits: int) -> list[Any]:
    """Return of each revised row that is drawn: place, old stage, old filtered weight."""
    items = person.revisions
    if not items:
        return [[], [], []]
    rows = np.array([item.row for item in items])
    shown = np.isin(rows, keep)
    stages = np.array([item.old_stage for item in items])[shown]
    old: Floats = np.array([item.old_filtered for item in items])[shown]
    return [np.searchsorted(keep, rows[shown]), stages, np.round(old, digits)]
