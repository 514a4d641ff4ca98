"""A comparison of two runs, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raddle.cli._account import percentiles, phrase, seconds
from raddle.cli._history import total_of
from raddle.progress._text import one_line
from raddle.progress.line import duration, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.cli._compare import Comparison, Moved, Side

__all__ = ["as_record", "text"]

_WIDTH = 28


def as_record(found: Comparison) -> dict[str, Any]:
    """Return it as JSON has it."""
    return {
        "runs": [_side(side) for side in (found.before, found.after)],
        "failures": [group._asdict() | {"change": group.change} for group in found.groups],
        "changed": {
            "counts": [{"before": old, "after": new, "items": count} for (old, new), count in _sorted(found)],
            "complete": not found.cut,
            "first": [each._asdict() for each in found.changed],
        },
        "speed": {
            "matched": found.matched,
            "slower": found.slower,
            "faster": found.faster,
            "median_ratio": found.ratio,
            "slowed": [each._asdict() for each in found.slowed],
            "hastened": [each._asdict() for each in found.hastened],
        },
    }


def _side(side: Side) -> dict[str, Any]:
    run = side.run
    return {
        "id": run.id,
        "uid": run.uid,
        "name": run.name,
        "state": run.state,
        "sessions": run.sessions,
        "backend": run.backend,
        "workers": run.workers,
        "total": total_of(run),
        "counts": side.counts,
        "took": _took(side),
        "rate": _rate(side),
        "item_seconds": percentiles(side.seconds, longest=side.longest) | {"of": len(side.seconds)},
    }


def _took(side: Side) -> float | None:
    return None if side.run.ended is None else side.run.ended - side.run.created


def _rate(side: Side) -> float | None:
    """Return items per second; of several sessions it is not known how long nothing ran in between."""
    took = _took(side)
    return sum(side.counts.values()) / took if took and side.run.sessions == 1 else None


# --------------------------------------------------------------------------------------------------------- text


def text(found: Comparison) -> Iterator[str]:
    """Yield it as lines."""
    yield from _figures(found.before, found.after)
    if found.groups:
        yield ""
        yield "failures"
        for group in found.groups:
            kind = f"{group.status.replace('_', ' ')} {group.error_type}"
            yield one_line(f"  {group.before:,} -> {group.after:,}  {kind} ({group.change})")
    yield ""
    yield from _changes(found)
    yield from _speed(found)


def _figures(before: Side, after: Side) -> Iterator[str]:
    times = percentiles(before.seconds, longest=before.longest), percentiles(after.seconds, longest=after.longest)
    rows = [
        ("", *(f"{side.run.name} (id {side.run.id})" for side in (before, after))),
        ("state", before.run.state, after.run.state),
        ("where", *(f"{side.run.backend} {side.run.workers}" for side in (before, after))),
        ("items", *("?" if (total := total_of(side.run)) is None else f"{total:,}" for side in (before, after))),
        *(
            (status.replace("_", " "), *(f"{side.counts.get(status, 0):,}" for side in (before, after)))
            for status in dict.fromkeys(["ok", *before.counts, *after.counts])
        ),
        ("took", *map(_taken, (before, after))),
        ("rate", *("" if (speed := _rate(side)) is None else rate(speed) for side in (before, after))),
        *((name, *(seconds(each[name]) if each else "" for each in times)) for name in ("p50", "p90", "p99", "max")),
    ]
    for name, first, second in rows:
        if not (first or second):
            continue
        yield f"{name:<10} {one_line(first):>{_WIDTH}} {one_line(second):>{_WIDTH}}".rstrip()
    if not (before.exact and after.exact):
        yield f"(times of a sample of {len(before.seconds):,} and {len(after.seconds):,} items)"


def _taken(side: Side) -> str:
    took = _took(side)
    more = f", {side.run.sessions} sessions" if side.run.sessions > 1 else ""
    return "" if took is None else duration(took) + more


def _changes(found: Comparison) -> Iterator[str]:
    if not found.changes:
        yield "no item ended otherwise" + (", of those looked at" if found.cut else "")
        return
    total = sum(found.changes.values())
    words = {f"{old.replace('_', ' ')} -> {new.replace('_', ' ')}": count for (old, new), count in _sorted(found)}
    yield f"{'at least ' if found.cut else ''}{total:,} items ended otherwise: {phrase(words)}"
    for each in found.changed:
        yield one_line(f"  item {each.position} {each.item}: {each.before} -> {each.after}".replace("_", " "))


def _sorted(found: Comparison) -> list[tuple[tuple[str, str], int]]:
    return sorted(found.changes.items(), key=lambda each: (-each[1], each[0]))


def _speed(found: Comparison) -> Iterator[str]:
    if not found.matched or found.ratio is None:
        return
    yield (
        f"{found.matched:,} items were ok in both: median {found.ratio:.2f} times as long, "
        f"{found.slower:,} slower, {found.faster:,} faster (1.5 times and 1 ms at least)"
    )
    yield from (_moved("slower", each) for each in found.slowed[:3])
    yield from (_moved("faster", each) for each in found.hastened[:3])


def _moved(word: str, each: Moved) -> str:
    return one_line(f"  {word}: item {each.position} {each.item} {seconds(each.before)} -> {seconds(each.after)}")
