"""What `raddle.journal.history` gives back: values only. Times are seconds since 1970."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from raddle._model import Status
from raddle.errors import JournalError
from raddle.journal import _explain, _rows, _sql

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Bucket",
    "FailureGroup",
    "Happening",
    "Lease",
    "Mark",
    "Order",
    "OutcomePage",
    "OutcomeRow",
    "RunRow",
    "Sample",
    "Span",
    "Timed",
]

#: of `History.page`
Order = Literal["recorded", "newest", "slowest", "position"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run. Times are seconds since 1970."""

    id: int
    #: 32 hex digits, the same wherever the run is named
    uid: str
    name: str
    #: "module:qualname"
    function: str
    version: str
    python: str
    total: int | None
    backend: str
    workers: int
    created: float
    ended: float | None
    #: "running", "ended" (source read to its end), "stopped" (as asked), "interrupted" (nobody said how it ended)
    state: str
    #: JSON of {"argv": [...], "cwd": "..."} if a command line started it; "" if none did
    command: str
    #: totals of the last session, with the names of `raddle.Summary`; None if it did not say
    summary: dict[str, Any] | None
    sessions: int
    #: process and host of the last session
    pid: int
    host: str


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """How an item ended. `id` is its place in the order of recording."""

    id: int
    run_id: int
    item_id: bytes
    position: int
    #: short text of the item
    label: str
    key: str | None
    status: Status
    attempts: int
    #: seconds since 1970
    started: float
    seconds: float
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None
    #: length of the pickled value
    value_size: int
    _path: Path = field(repr=False, compare=False)

    def load(self) -> Any:
        """Return the value, read and unpickled now; None if the item did not end ok.

        Raises:
            JournalError: it cannot be read
            Exception: whatever unpickling raises, such as AttributeError when its class has moved
        """
        if self.status is not Status.OK:
            return None
        with closing(_sql.connect_reader(self._path)) as conn:
            row = conn.execute(_sql.query("value_of"), (self.id,)).fetchone()
        if row is None:
            raise JournalError(f"journal={self._path}: row {self.id} is gone: its item was run again")
        item_id, position, seal, value, file, size = row
        if seal is not None and seal != next(_rows.seals([item_id], [position], [value or b""])):
            raise _explain.damaged(self._path, f"row {self.id} of outcome is not what was written")
        return _rows.load_value(self._path, value, file, size)


@dataclass(frozen=True, slots=True)
class OutcomePage:
    """Some outcomes of many."""

    rows: list[OutcomeRow]
    #: give it to the next call, with the same other arguments; None: there is no more now. With `search`, `rows` may
    #: be few or none and yet there is more to look through.
    cursor: str | None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Items that ended in the same way."""

    status: Status
    #: qualified class name; "" if there was no exception
    error_type: str
    count: int
    #: the item recorded first, and what was said of it
    example_position: int
    example_label: str
    example_message: str
    example_traceback: str | None


#: number, item id, status, seconds or None of an outcome; a plain tuple, as there are millions
Timed = tuple[int, bytes, str, float | None]


class Sample(NamedTuple):
    """Seconds that last attempts took, in ascending order, and of how many outcomes."""

    seconds: list[float]
    of: int

    @property
    def exact(self) -> bool:
        """Whether these are all."""
        return len(self.seconds) == self.of


class Bucket(NamedTuple):
    """How many items ended in a span of time that begins `at` and lasts `seconds`."""

    at: float
    seconds: float
    ok: int
    not_ok: int


class Span(NamedTuple):
    """One attempt, on the worker that ran it."""

    worker: str
    started: float
    seconds: float
    #: "ok", "failed", "timed_out", "crashed", "cancelled", "interrupted"
    status: str
    #: None and "" of an attempt that was not the last: it is known by its item's id only
    position: int | None
    label: str
    attempt: int


class Lease(NamedTuple):
    """What a worker was given and has not reported yet. `items` is how many; which of them runs is not known."""

    worker: str
    started: float
    items: int
    attempt: int


class Happening(NamedTuple):
    """Something that the run decided or that befell it."""

    id: int
    at: float
    kind: Literal["limit", "worker", "memory", "stopping", "choice"]
    #: limit, choice: most workers busy at once. memory: part of what is granted that is in use (0 to 1). Else None.
    number: float | None
    #: limit, choice, stopping: why. worker: "NAME: what befell it". memory: "USED of GRANTED bytes".
    text: str


class Mark(NamedTuple):
    """Equal marks: nothing has changed in between. Cheap to get, so that a viewer may ask for it often."""

    #: device and number of the file: another one has been put in its place if these differ
    file: tuple[int, int]
    #: highest numbers so far
    outcome: int
    attempt: int
    happening: int
    session: int
    #: differs when work is given out or comes back
    lease: int
    #: how many runs are in which state
    states: tuple[tuple[str, int], ...]
