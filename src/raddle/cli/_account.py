"""`raddle runs show`: what became of a run, where the time went, and how to go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from raddle._model import Status
from raddle.cli._go_on import how_to_go_on
from raddle.cli._history import total_of
from raddle.progress._text import one_line
from raddle.progress.line import duration, rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.journal.history import FailureGroup, Happening, History, OutcomeRow, RunRow, Sample

__all__ = ["Account", "account_of", "as_record", "busy_share", "clock_time", "percentiles", "phrase", "seconds", "text"]

_SLOWEST = 5
_CHANGES = 5
_GROUPS = 10
_PAGE = 1000
_PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Account:
    """All that is told of a run."""

    run: RunRow
    counts: dict[str, int]
    earlier: dict[str, int]
    groups: list[FailureGroup]
    slowest: list[OutcomeRow]
    seconds: Sample
    happenings: list[Happening]
    #: how to go on, one line each
    next: list[str]


def account_of(history: History, run: RunRow) -> Account:
    """Collect it. Work is bounded: figures of items come from at most 20,000 of them.

    Raises:
        JournalError: the journal cannot be read
    """
    counts = {status.value: count for status, count in history.counts(run.id).items()}
    return Account(
        run=run,
        counts=counts,
        earlier=history.earlier_attempts(run.id),
        groups=history.failures(run.id),
        slowest=history.slowest(run.id, limit=_SLOWEST),
        seconds=history.sample(run.id),
        happenings=list(_happenings(history, run.id)),
        next=how_to_go_on(run, counts, str(history.path)),
    )


def _happenings(history: History, run_id: int) -> Iterator[Happening]:
    after = 0
    while page := history.happenings(run_id, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def as_record(account: Account) -> dict[str, Any]:
    """Return it as JSON has it."""
    took = _took(account.run)
    record: dict[str, Any] = asdict(account.run)
    record |= {"counts": account.counts, "earlier_attempts": account.earlier}
    record["failures"] = [asdict(group) for group in account.groups]
    record["slowest"] = [
        {"position": row.position, "item": row.label, "seconds": row.seconds, "status": row.status.value}
        for row in account.slowest
    ]
    record["item_seconds"] = _percentiles(account) | {"of": len(account.seconds.seconds)}
    record["busy_share"] = busy_share(account)
    record["rate"] = sum(account.counts.values()) / took if took else None
    record["limits"] = [each._asdict() for each in account.happenings if each.kind in {"limit", "choice"}]
    record["next"] = account.next
    return record


def _percentiles(account: Account) -> dict[str, float]:
    longest = max((row.seconds for row in account.slowest), default=0.0)
    return percentiles(account.seconds.seconds, longest=longest)


def percentiles(seconds: list[float], *, longest: float = 0.0) -> dict[str, float]:
    """Return p50, p90, p99 and max of values in ascending order (nearest rank); nothing of nothing.

    Args:
        seconds: all of them or a sample
        longest: the greatest of all, where it is known
    """
    if not seconds:
        return {}
    last = len(seconds) - 1
    found = {name: seconds[min(last, int(part * len(seconds)))] for name, part in _PERCENTILES.items()}
    return found | {"max": max(seconds[-1], longest)}


def busy_share(account: Account) -> float | None:
    """Return which part of the workers' time was spent on last attempts, 0 to 1; None if it cannot be told.

    It cannot of several sessions: how long nothing ran in between is not known.
    """
    took, (values, count) = _took(account.run), account.seconds
    if not took or not values or not account.run.workers:
        return None
    return min(1.0, sum(values) / len(values) * count / (account.run.workers * took))


def _took(run: RunRow) -> float | None:
    """Return seconds of a run that ended in the session in which it began."""
    return None if run.ended is None or run.sessions > 1 else run.ended - run.created


# --------------------------------------------------------------------------------------------------------- text


def text(account: Account) -> Iterator[str]:
    """Yield it as lines."""
    for name, value in _described(account):
        yield f"{name:<10} {one_line(value)}"
    if account.groups:
        yield "failures"
    for group in account.groups[:_GROUPS]:
        yield _group(group)
    if len(account.groups) > _GROUPS:
        left = account.groups[_GROUPS:]
        yield f"  {sum(group.count for group in left):,} more, of {len(left):,} other kinds"
    for place, line in enumerate(account.next):
        # Not cut, as the rest is: it is there to be copied.
        yield f"{'' if place else 'next':<10} {line if line.isprintable() else one_line(line)}"


def _group(group: FailureGroup) -> str:
    example = f"item {group.example_position} {group.example_label}: {group.example_message}"
    status = group.status.value.replace("_", " ")
    return one_line(f"  {group.count:,} {status} {group.error_type}, such as {example}")


def _described(account: Account) -> Iterable[tuple[str, str]]:
    run, summary = account.run, account.run.summary or {}
    yield "run", f"{run.name} (id {run.id}, {run.uid})"
    yield "function", run.function
    why = f": {summary['stopped']}" if summary.get("stopped") else ""
    yield "state", run.state + why + ("" if run.sessions == 1 else f", {run.sessions} sessions")
    yield "started", clock_time(run.created)
    if run.ended is not None:
        yield "ended", f"{clock_time(run.ended)}, took {duration(run.ended - run.created)}"
    yield "where", f"{run.backend}, {run.workers} workers, Python {run.python}, process {run.pid} on {run.host}"
    total = total_of(run)
    yield "items", phrase(account.counts) + ("" if total is None else f" of {total:,}")
    if summary.get("cancelled"):
        yield "left", f"{summary['cancelled']:,} that never ran to their end"
    if account.earlier:
        tries = sum(account.earlier.values()) + sum(account.counts.values())
        yield "attempts", f"{tries:,}: the last ones, and before them {phrase(account.earlier)}"
    yield from _times(account)
    yield from _decisions(account)
    for place, row in enumerate(account.slowest):
        status = "" if row.status is Status.OK else f", {row.status.value.replace('_', ' ')}"
        yield "" if place else "slowest", f"{seconds(row.seconds)} item {row.position} {row.label}{status}"


def _times(account: Account) -> Iterable[tuple[str, str]]:
    took, done = _took(account.run), sum(account.counts.values())
    if took and done:
        yield "rate", f"{rate(done / took)} over all"
    found = _percentiles(account)
    if found:
        of = "" if account.seconds.exact else f" (of a sample of {len(account.seconds.seconds):,})"
        yield "item time", " · ".join(f"{name} {seconds(value)}" for name, value in found.items()) + of
    share = busy_share(account)
    if share is not None:
        about = "" if account.seconds.exact else "about "
        yield "busy", f"{about}{share * 100:.0f} % of the time of {account.run.workers} workers went to last attempts"


def _decisions(account: Account) -> Iterable[tuple[str, str]]:
    summary = account.run.summary or {}
    if summary.get("decision"):
        yield "chosen", str(summary["decision"])
    lost = sum(each.kind == "worker" for each in account.happenings) or summary.get("workers_lost", 0)
    if lost:
        yield "lost", f"{lost:,} workers"
    peak = max((each.number or 0.0 for each in account.happenings if each.kind == "memory"), default=0.0)
    peak = max(peak, float(summary.get("memory_peak", 0.0)))
    if peak:
        yield "memory", f"at most {peak * 100:.0f} % of what is granted"
    changes = [each for each in account.happenings if each.kind in {"limit", "choice"}]
    if len(changes) > _CHANGES:
        yield "limit", f"moved {len(changes):,} times; the last {_CHANGES}:"
    for place, each in enumerate(changes[-_CHANGES:]):
        number = "" if each.number is None else f"to {each.number:.0f}"
        first = not place and len(changes) <= _CHANGES
        yield "limit" if first else "", f"{clock_time(each.at)[11:]} {number}: {each.text}"


def phrase(counts: dict[str, int]) -> str:
    """Say how many of what."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"


def seconds(value: float) -> str:
    """Write seconds of an item, where milliseconds count."""
    if value < 0.001:  # noqa: PLR2004 - a millisecond
        return f"{value * 1e6:.3g} µs"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return duration(value)


def clock_time(at: float) -> str:
    """Write an instant in local time."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
