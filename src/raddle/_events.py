"""What happened, in the past tense. Values only: nothing here can be called back.

The first group is what the machine hears, through the one inbox. The second is what observers hear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raddle._model import ErrorInfo, Outcome, Running, StopHow, Summary

# ------------------------------------------------------------------------------------------ heard by the machine


@dataclass(frozen=True, slots=True)
class Pulled:
    """Items came from the source, in input order. The optional lists run parallel to `items`."""

    items: list[Any]
    keys: list[Any] | None = None
    priorities: list[Any] | None = None
    ids: list[bytes] | None = None
    #: offset -> outcome found in the journal; such an item is not run
    resumed: dict[int, Outcome] = field(default_factory=dict)
    #: offset -> attempts of earlier sessions that the program did not survive
    interruptions: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceReady:
    """The source has something to collect. The driver turns this into `Pulled`; the machine never hears it."""


@dataclass(frozen=True, slots=True)
class SourceEnded:
    """The source is exhausted, or raised `error`."""

    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ChunkEnded:
    """A worker is through with a chunk, or gives the unstarted rest of it back.

    `values` has one entry for each item that was run to its end (None where `errors` has its offset); items beyond
    `len(values)` were not started. `clock` has the monotonic start of the first item, then the end of each:
    `len(values) + 1` entries. `stored` holds each value pickled, where the backend was asked for that.
    """

    worker: int
    chunk: int
    values: list[Any]
    clock: list[float]
    errors: dict[int, ErrorInfo] = field(default_factory=dict)
    stored: list[bytes] | None = None


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died, was killed, or was abandoned; all it held beyond `ended` and `offset` was not started.

    The slot is free again at once: the backend brings a new worker when the next chunk is started on it. So a chunk
    may have been started on the slot after the loss and before this was heard: it is not among `chunks`.
    Each "kill" is answered by exactly one of these, also when the worker had nothing under way any more.
    """

    worker: int
    #: numbers of the chunks that the lost worker held, the one it was running first
    chunks: tuple[int, ...]
    #: the finished part of the chunk it was running; None if it was idle
    ended: ChunkEnded | None
    #: the item under way; None if it died between items
    offset: int | None
    #: such as "killed by SIGKILL", "exit code 3", "abandoned: still running at its deadline"
    reason: str
    #: when the item under way started; 0 if there was none
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """The journal committed everything up to and including this ticket."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Consumed:
    """The consumer took this many outcomes."""

    count: int


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed; this is what the workers are running now."""

    running: list[Running]


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the run to end: "close" lets running attempts drain, "kill" does not."""

    how: StopHow
    reason: str
    #: nobody will consume any more outcomes
    discard: bool = False


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The backend or the journal cannot go on; the run ends and raises `error`."""

    error: BaseException


Event = (
    Pulled | SourceReady | SourceEnded | ChunkEnded | WorkerLost | Recorded | Consumed | Ticked | StopAsked | RunFailed
)

# ------------------------------------------------------------------------------------------- heard by observers


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins. `total` is None when the source has no length."""

    name: str
    backend: str
    workers: int
    total: int | None


@dataclass(frozen=True, slots=True)
class ChunkStarted:
    """A worker was given items."""

    worker: str
    items: int
    attempt: int


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt did not end well and will be tried again after `wait` seconds."""

    position: int
    item: Any
    attempt: int
    error: ErrorInfo
    wait: float


@dataclass(frozen=True, slots=True)
class ItemsEnded:
    """Items have their outcome (and, with a journal, it is committed)."""

    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class WorkerReplaced:
    """A worker was lost; its slot gets a new one."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunStopping:
    """Nothing more starts."""

    reason: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """All is over; the last event of a run."""

    summary: Summary


Observed = RunStarted | ChunkStarted | AttemptFailed | ItemsEnded | WorkerReplaced | RunStopping | RunEnded
