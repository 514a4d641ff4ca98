"""A catalogue through a provider: one window of items under way, one row out for each, in input order."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import raddle
from raddle.errors import ConfigError, RaddleError
from raddle.workloads.classify.batch.outputs import label_fields, output_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from raddle.workloads.classify.batch.inputs import Entry
    from raddle.workloads.classify.values import Label, Provider

__all__ = ["DUPLICATE", "BatchOptions", "InvalidRow", "Totals", "entry_row", "run_batch"]

#: flag of a row whose id an earlier row has
DUPLICATE: Final = "duplicate_id"
_CONFIG: Final = f"{ConfigError.__module__}.{ConfigError.__qualname__}"
#: rows between input and output, at least and for each at work: while the oldest takes its time, the others go on; not
#: more, since a row may hold a whole picture
_WINDOW, _WINDOW_EACH = 2048, 32
_WORDS: Final = {
    raddle.Status.OK: "ok",
    raddle.Status.TIMED_OUT: "timed_out",
    raddle.Status.CANCELLED: "cancelled",
}


class InvalidRow(RaddleError):
    """A row of the input is no product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """Options of the run, by their names in `raddle.arun`."""

    name: str
    workers: int
    timeout: float | None = None
    on_error: Literal["skip", "fail"] = "skip"
    journal: Path | None = None
    resume: bool | Literal["failed"] = False
    progress: str | None = None


@dataclass(slots=True, kw_only=True)
class Totals:
    """What became of a batch."""

    statuses: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    #: of all, taken from the journal
    resumed: int = 0
    #: labels of this session that came from the cache or from an identical item
    cached: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    @property
    def items(self) -> int:
        """All rows."""
        return self.statuses.total()

    @property
    def all_ok(self) -> bool:
        """Whether each has its label."""
        return self.statuses["ok"] == self.items

    def count(self, outcome: raddle.Outcome, row: dict[str, Any]) -> None:
        """Add one."""
        self.statuses[row["status"]] += 1
        self.resumed += outcome.resumed
        if outcome.ok:
            self.categories[row["category"]] += 1
            if not outcome.resumed:
                self.cached += outcome.value["cached"]
                calls, read, written = outcome.value["usage"]
                self.calls += calls
                self.input_tokens += read
                self.output_tokens += written

    def as_dict(self) -> dict[str, Any]:
        """Return it for `--json`."""
        done = self.items - self.resumed
        return {
            "items": self.items,
            "status": dict(self.statuses),
            "category": dict(self.categories.most_common()),
            "resumed": self.resumed,
            "cached": self.cached,
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 3),
            "items_per_second": round(done / self.seconds, 1) if self.seconds else None,
        }


async def run_batch(
    provider: Provider,
    entries: Iterable[Entry],
    options: BatchOptions,
    write: Callable[[dict[str, Any]], None],
    *,
    streaming: bool = False,
) -> Totals:
    """Label all entries and write a row for each, in their order.

    Args:
        provider: what labels
        entries: read as they are needed, in a thread of its own
        options: of the run
        write: takes a row
        streaming: `write` may wait for a reader: it is called in a thread, so that the items under way do not

    Raises:
        ConfigError, JournalError: as `raddle.arun`
    """

    async def classify(entry: Entry) -> dict[str, Any]:
        if entry.product is None:
            raise InvalidRow(entry.error)
        return _journaled(await provider.label(entry.product))

    totals = Totals()
    async with raddle.arun(
        classify,
        entries,
        workers=options.workers,
        timeout=options.timeout,
        on_error=options.on_error,
        id=attrgetter("key") if options.journal else None,
        journal=options.journal,
        name=options.name,
        resume=options.resume,
        progress=options.progress,
        window=max(_WINDOW, _WINDOW_EACH * options.workers),
    ) as run:
        async for outcome in run:
            if outcome.error is not None and _CONFIG in outcome.error.lineage:
                raise ConfigError(outcome.error.message)  # no model, no library: it will be so for every row
            row = _row(outcome)
            totals.count(outcome, row)
            if streaming:
                await asyncio.to_thread(write, row)
            else:
                write(row)
    totals.seconds = run.summary.seconds
    return totals


def entry_row(entry: Entry, label: Label | None, *, status: str, error: str | None = None) -> dict[str, Any]:
    """Return the row of the output for an entry whose label came some other way."""
    return _known(entry, label_fields(label) if label else {}, status, error)


def _journaled(label: Label) -> dict[str, Any]:
    """What the journal keeps of a label."""
    usage = label.usage
    return label_fields(label) | {
        "cached": label.cached,
        "usage": [usage.calls, usage.input_tokens, usage.output_tokens],
    }


def _row(outcome: raddle.Outcome) -> dict[str, Any]:
    fields = {key: value for key, value in (outcome.value or {}).items() if key not in {"cached", "usage"}}
    return _known(outcome.item, fields, *_ended(outcome))


def _known(entry: Entry, fields: dict[str, Any], status: str, error: str | None) -> dict[str, Any]:
    flags = [*fields.get("flags", ()), *([DUPLICATE] if entry.duplicate else [])]
    name = entry.product.name if entry.product else None
    return output_row(**fields | {"id": entry.id, "name": name, "status": status, "error": error, "flags": flags})


def _ended(outcome: raddle.Outcome) -> tuple[str, str | None]:
    error = outcome.error
    if error is None:
        return _WORDS.get(outcome.status, "failed"), None
    message = error.message if error.type.startswith("raddle.") and error.message else str(error)
    if error.type == f"{InvalidRow.__module__}.{InvalidRow.__qualname__}":
        return "invalid", message
    if outcome.status is raddle.Status.FAILED and any(name.endswith("TimeoutError") for name in error.lineage):
        return "timed_out", message  # the provider gave up a moment before the run would have
    return _WORDS.get(outcome.status, "failed"), message
