"""What a journal tells, as JSON for the page. Pure: the time comes in as an argument."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from raddle.journal.history import (
    Bucket,
    FailureGroup,
    Happening,
    Lease,
    OutcomeRow,
    RunRow,
    Span,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Command", "Speed", "activity", "command_of", "failure", "item", "run_summary", "running", "total_of"]

#: seconds that the rate looks back, and the least that says anything
_WINDOW, _LEAST = 30.0, 1.5
_OUTPUT = ("-o", "--output")
#: characters of an error message in a table
_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Command:
    """The command line that started a run."""

    argv: list[str]
    cwd: str
    #: its items came from standard input
    stdin: bool
    #: items that it counted beforehand; the run itself saw a source without a length
    total: int | None

    @property
    def name(self) -> str:
        """Such as "map", or a workload's."""
        return next((word for word in self.argv if not word.startswith("-")), "")

    @property
    def text(self) -> str:
        """As one would type it."""
        return shlex.join(["raddle", *self.argv])

    @property
    def output(self) -> str | None:
        """Where it was told to write."""
        for place, word in enumerate(self.argv):
            if word == "--":
                return None
            name, equals, value = word.partition("=")
            if name in _OUTPUT:
                found = value if equals else next(iter(self.argv[place + 1 :]), None)
                return None if not found else str(PurePath(self.cwd) / found)
        return None


def command_of(run: RunRow) -> Command | None:
    """Return what started a run; None if that was no command line."""
    try:
        stored = json.loads(run.command)
        argv, cwd, stdin, total = stored["argv"], stored["cwd"], bool(stored.get("stdin")), stored.get("total")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    strings = isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)
    counted = total if type(total) is int and total >= 0 else None
    return Command(argv, cwd, stdin, counted) if strings and isinstance(cwd, str) else None


class Speed:
    """How fast runs are of late, by samples of how much was done when."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int], list[tuple[float, int]]] = {}

    def add(self, key: tuple[str, int], now: float, done: int) -> float | None:
        """Take a sample of the run and session; return items per second, None if it cannot be told yet."""
        samples = self._samples.setdefault(key, [])
        if samples and done < samples[-1][1]:
            samples.clear()  # failed items are run again: their rows went
        samples.append((now, done))
        while len(samples) > 2 and now - samples[1][0] > _WINDOW:  # noqa: PLR2004 - one to compare with
            samples.pop(0)
        then, before = samples[0]
        return (done - before) / (now - then) if now - then >= _LEAST and done > before else None

    def forget(self, alive: set[tuple[str, int]]) -> None:
        """Drop the samples of all others."""
        for key in self._samples.keys() - alive:
            del self._samples[key]


def total_of(run: RunRow) -> int | None:
    """Return the number of items; of a source without a length, as it was counted, or once it was read to its end."""
    if run.total is not None:
        return run.total
    if run.summary is not None and run.summary.get("source_ended"):
        admitted = run.summary.get("admitted")
        return admitted if isinstance(admitted, int) else None
    command = command_of(run)
    return None if command is None else command.total


def running(run: RunRow) -> bool:
    """Whether somebody works on it."""
    return run.state == "running"


def run_summary(run: RunRow, journal: int, counts: Mapping[str, int], rate: float | None, now: float) -> dict[str, Any]:
    """Return a run as its line in the list says it."""
    done = sum(counts.values())
    total = total_of(run)
    total = None if total is None else max(total, done)
    took = max(0.0, (now if running(run) else run.ended or run.created) - run.created)
    ended_after = run.ended is not None and not running(run)
    if not running(run):
        rate = done / took if took and run.sessions == 1 and done else None
    elif rate is None and run.sessions == 1 and took >= _LEAST and done:
        rate = done / took
    left = None if total is None else total - done
    return {
        "journal": journal,
        "uid": run.uid,
        "number": run.id,
        "name": run.name,
        "function": run.function,
        "state": run.state,
        "total": total,
        "done": done,
        "counts": {name: counts.get(name, 0) for name in ("ok", "failed", "timed_out", "crashed")},
        "rate": rate,
        "eta": left / rate if running(run) and left is not None and rate else None,
        "started": run.created,
        "ended": run.ended,
        "took": took if ended_after or running(run) else None,
        "backend": run.backend,
        "workers": run.workers,
        "sessions": run.sessions,
    }


def item(row: OutcomeRow, *, whole: bool = False) -> dict[str, Any]:
    """Return an outcome as a row of the table; `whole`: with all that was said of its error."""
    message = row.error_message
    told: dict[str, Any] = {
        "id": row.id,
        "position": row.position,
        "label": row.label,
        "key": row.key,
        "status": row.status.value,
        "attempts": row.attempts,
        "started": row.started or None,
        "seconds": row.seconds,
        "worker": row.worker,
        "error_type": row.error_type,
        "error_message": message if whole or message is None else message[:_MESSAGE],
        "value_size": row.value_size,
    }
    return told | {"traceback": row.traceback} if whole else told


def failure(group: FailureGroup) -> dict[str, Any]:
    """Return a group of failures."""
    return {
        "status": group.status.value,
        "error_type": group.error_type,
        "count": group.count,
        "position": group.example_position,
        "label": group.example_label,
        "message": group.example_message,
        "traceback": group.example_traceback,
    }


def activity(
    buckets: Sequence[Bucket], spans: Sequence[Span], leases: Sequence[Lease], happenings: Sequence[Happening]
) -> dict[str, Any]:
    """Return what the charts show."""
    return {
        "buckets": [bucket._asdict() for bucket in buckets],
        "spans": [span._asdict() for span in spans],
        "under_way": [lease._asdict() for lease in leases],
        "happenings": [happening._asdict() for happening in happenings],
    }
