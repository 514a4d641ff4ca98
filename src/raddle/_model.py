"""The values that travel: what the user gives, what one try is, and how an item ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, repeat
from operator import sub
from typing import Any, Literal, NamedTuple, overload

from raddle import errors

__all__ = [
    "Batch",
    "Chunk",
    "ErrorInfo",
    "OnError",
    "OnInterrupted",
    "Outcome",
    "Running",
    "Status",
    "StopHow",
    "Summary",
    "error_of",
    "qualified_name",
]

OnError = Literal["skip", "fail"]
OnInterrupted = Literal["run", "fail"]

# "close": start nothing more of what the worker holds, give the unstarted rest back, finish the item under way.
# "kill": end the item under way too (process group killed, thread abandoned).
StopHow = Literal["close", "kill"]


class Status(StrEnum):
    """How an item ended."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What went wrong, as text that always survives the way from the worker.

    `type` is the qualified class name; `lineage` those of the class and its bases, so that rules can match a
    class without the object; `exception` is the object itself where it could travel, else None.
    """

    type: str
    message: str
    traceback: str = ""
    lineage: tuple[str, ...] = ()
    exception: BaseException | None = None
    #: seconds, of a `raddle.Rejected` that says so
    retry_after: float | None = None

    def __str__(self) -> str:
        """Return the text a traceback ends with."""
        return f"{self.type}: {self.message}" if self.message else self.type


class Outcome(NamedTuple):
    """How one item ended. One per admitted item, whatever happened to it.

    A named tuple and not a dataclass because the plain path makes millions of them, in bulk and at C speed.
    """

    #: place in the input, from 0
    position: int
    #: what the user gave
    item: Any
    status: Status
    #: what the function returned; None unless ok
    value: Any
    error: ErrorInfo | None
    #: tries made, the first one counted; 0 if the item never started
    attempts: int
    #: when the last attempt started: seconds on the run's clock (monotonic)
    started: float
    #: how long the last attempt took
    seconds: float
    #: which worker ran it, such as "process-0"; "" if none did
    worker: str
    #: items of one key run one at a time; None without `key`
    key: Any = None
    #: what resume goes by (canonical bytes); None without a journal
    id: bytes | None = None
    #: True if it was read from the journal of an earlier session and not run again
    resumed: bool = False

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.status is Status.OK

    def unwrap(self) -> Any:
        """Return the value, or raise what ended the item.

        Raises:
            Exception: the function's own exception where it could travel, with a note that names the item
            ItemError: one of its subclasses otherwise
        """
        if self.status is Status.OK:
            return self.value
        raise self._as_exception()

    def _as_exception(self) -> BaseException:
        text = str(self.error) if self.error else self.status.value
        where = f"item {self.position} ({_short(self.item)}), attempts={self.attempts}, worker={self.worker or None}"
        exception = self.error.exception if self.error else None
        if exception is None:
            exception = _EXCEPTIONS[self.status](f"{where}: {text}")
        else:
            _note(exception, where)
        if self.error and self.error.traceback and exception.__traceback__ is None:  # else it tells the same itself
            _note(exception, self.error.traceback)
        return exception


_new = tuple.__new__


class Batch(Sequence[Outcome]):
    """Outcomes of items that all ended ok, none of them resumed. Each is made when it is looked at.

    So a chunk costs next to nothing until somebody looks, and an outcome that the consumer drops is gone before the
    garbage collector hears of it: kept as a list, ten million of them cost more than all the rest.
    """

    __slots__ = ("attempt", "clock", "ids", "items", "keys", "positions", "values", "worker")

    def __init__(
        self,
        positions: Sequence[int],
        items: Sequence[Any],
        values: list[Any],
        clock: list[float],
        *,
        attempt: int,
        worker: str,
        keys: Sequence[Any] | None = None,
        ids: Sequence[bytes] | None = None,
    ) -> None:
        # `positions`, `items`, `keys` and `ids` may be longer than `values`; `clock` has one entry more.
        self.positions = positions
        self.items = items
        self.values = values
        self.clock = clock
        self.attempt = attempt
        self.worker = worker
        self.keys = keys
        self.ids = ids

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values)

    def __iter__(self) -> Iterator[Outcome]:
        """Make them one after another, without a line of Python for each."""
        clock = self.clock
        return map(
            _new,
            repeat(Outcome),
            zip(
                self.positions,
                self.items,
                repeat(Status.OK),
                self.values,
                repeat(None),
                repeat(self.attempt),
                clock,
                map(sub, islice(clock, 1, None), clock),
                repeat(self.worker),
                repeat(None) if self.keys is None else self.keys,
                repeat(None) if self.ids is None else self.ids,
                repeat(False),  # noqa: FBT003 - positional by nature: a row
            ),
        )

    @overload
    def __getitem__(self, place: int) -> Outcome: ...
    @overload
    def __getitem__(self, place: slice) -> list[Outcome]: ...
    def __getitem__(self, place: int | slice) -> Outcome | list[Outcome]:
        """Make one, or some."""
        if isinstance(place, slice):
            return list(self)[place]
        at = range(len(self.values))[place]
        return Outcome(
            self.positions[at],
            self.items[at],
            Status.OK,
            self.values[at],
            None,
            self.attempt,
            self.clock[at],
            self.clock[at + 1] - self.clock[at],
            self.worker,
            None if self.keys is None else self.keys[at],
            None if self.ids is None else self.ids[at],
        )

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence of outcomes."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


_EXCEPTIONS: dict[Status, type[errors.ItemError]] = {
    Status.FAILED: errors.ItemFailed,
    Status.TIMED_OUT: errors.ItemTimedOut,
    Status.CRASHED: errors.WorkerCrashed,
    Status.CANCELLED: errors.ItemCancelled,
}


def qualified_name(cls: type) -> str:
    """Return "module.Class", or "Class" for a built-in."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def error_of(cls: type[errors.ItemError], message: str) -> ErrorInfo:
    """Say in the engine's own name what ended an item."""
    return ErrorInfo(qualified_name(cls), message, lineage=tuple(qualified_name(base) for base in cls.__mro__))


_MOST_NOTES = 16


def _note(exception: BaseException, text: str) -> None:
    """Add a note, once: an outcome may be unwrapped again. Nor for ever: one object may be what ended many items."""
    with suppress(Exception):  # somebody's __notes__
        notes = getattr(exception, "__notes__", ())
        if text not in notes and len(notes) < _MOST_NOTES:
            exception.add_note(text)


def _short(item: object, limit: int = 80) -> str:
    try:
        text = repr(item)
    except Exception as broken:  # noqa: BLE001 - somebody's __repr__ must not hide what ended the item
        text = f"<{type(item).__name__} whose repr raised {type(broken).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Chunk(NamedTuple):
    """Items that one worker runs one after another. An outcome stays per item; only the travel is shared.

    `offset` below and in the events means a place within a chunk, from 0.
    """

    number: int
    items: list[Any]
    #: place of each item in the input: a range on the plain path, a list otherwise
    positions: Sequence[int]
    #: which try this is, the first is 1; one number for the whole chunk
    attempt: int
    #: resume ids, when the run has a journal
    ids: list[bytes] | None = None
    #: seconds; after this long the worker starts no further item and gives the unstarted rest back
    budget: float = float("inf")
    #: which run this is, the same in all its sessions: first part of idempotency keys
    run: str = ""


class Running(NamedTuple):
    """The item a worker is running at this moment."""

    worker: int
    chunk: int
    offset: int
    started: float
    #: of the worker process; 0 if it has none of its own
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals of a run. `sum of the five statuses == admitted`, always."""

    name: str = ""
    backend: str = ""
    workers: int = 0
    admitted: int = 0
    ok: int = 0
    failed: int = 0
    timed_out: int = 0
    crashed: int = 0
    cancelled: int = 0
    #: of the above, read from the journal and not run again
    resumed: int = 0
    #: attempts started in this session, retries included
    attempts: int = 0
    #: of these, how many the function ended with `raddle.Rejected`; each is tried again and not counted as a try
    rejected: int = 0
    #: workers that died or were killed, and threads that were abandoned
    workers_lost: int = 0
    #: highest memory in use that was seen, as a part of what is granted; 0 if it was not watched
    memory_peak: float = 0.0
    #: what was chosen while the run went on (backend, number of workers), and the figures it was chosen by
    decision: str = ""
    #: False if the run stopped before the source was read to its end
    source_ended: bool = False
    #: why the run stopped early; "" if it did not
    stopped: str = ""
    #: seconds from the start of the run to its end
    seconds: float = 0.0

    @property
    def all_ok(self) -> bool:
        """Whether every item of the source ended ok."""
        return self.source_ended and self.ok == self.admitted
