"""What happened, in the past tense. Values only: nothing here can be called back.

Named tuples and not dataclasses, as what crosses a boundary elsewhere is: there are many kinds, and making one kind
takes a tenth of the time; that is what `import raddle` waits for. Events are told apart by their class.

The first group is what the machine hears, through the one inbox. The second is what observers hear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raddle._model import ErrorInfo, Outcome, Running, StopHow, Summary

# ------------------------------------------------------------------------------------------ heard by the machine


class Pulled(NamedTuple):
    """Items came from the source, in input order. The optional lists run parallel to `items`."""

    items: list[Any]
    keys: list[Any] | None = None
    priorities: list[Any] | None = None
    ids: list[bytes] | None = None
    #: offset -> outcome found in the journal; such an item is not run
    resumed: Mapping[int, Outcome] = {}
    #: offset -> attempts of earlier sessions that the program did not survive
    interruptions: Mapping[int, int] = {}
    #: what each item takes of the second quantity of `rate=`
    costs: list[float] | None = None
    #: the class that each item needs a permit of, or None; with `permits=`
    classes: list[str | None] | None = None


class SourceReady(NamedTuple):
    """The source has something to collect. The driver turns this into `Pulled`; the machine never hears it."""


class SourceEnded(NamedTuple):
    """The source is exhausted, or raised `error`."""

    error: BaseException | None = None


class ChunkEnded(NamedTuple):
    """A worker is through with a chunk, or gives the unstarted rest of it back.

    `values` has one entry for each item that was run to its end (None where `errors` has its offset); items beyond
    `len(values)` were not started. `clock` has the monotonic start of the first item, then the end of each:
    `len(values) + 1` entries. `stored` holds each value pickled, where the backend was asked for that.
    """

    worker: int
    chunk: int
    values: list[Any]
    clock: list[float]
    errors: Mapping[int, ErrorInfo] = {}
    stored: list[bytes] | None = None


class WorkerLost(NamedTuple):
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
    #: False: what it held is lost, but the worker goes on, such as a task whose coroutine was cancelled
    gone: bool = True


class Recorded(NamedTuple):
    """The journal committed everything up to and including this ticket."""

    ticket: int


class Consumed(NamedTuple):
    """The consumer took this many outcomes. It says so with 0 to wake the driver, which knows how many."""

    outcomes: int


class Memory(NamedTuple):
    """A look at memory. Bytes."""

    used: int
    #: what this process may use: the least of all limits that bind it
    limit: int
    #: part of the last ten seconds in which all work stood still for want of memory (PSI "full avg10"), 0 to 1
    stalled: float = 0.0
    #: resident memory of each worker process that runs an item, with all that it started, by slot
    workers: Mapping[int, int] = {}


class Ticked(NamedTuple):
    """Time passed; this is what the workers are running now."""

    running: list[Running]
    #: what memory is like now; None unless the machine wanted to know (`Machine.wants_memory`)
    memory: Memory | None = None


class StopAsked(NamedTuple):
    """Somebody wants the run to end: "close" lets running attempts drain, "kill" does not."""

    how: StopHow
    reason: str
    #: nobody will consume any more outcomes
    discard: bool = False


class RunFailed(NamedTuple):
    """The backend or the journal cannot go on; the run ends and raises `error`."""

    error: BaseException


class Measured(NamedTuple):
    """What a worker process saw of the first items: how `backend="auto"` knows where the others should run."""

    items: int
    #: seconds that the items took, all together
    wall: float
    #: seconds of CPU time that the worker used meanwhile, all its threads, and that its main thread stood in line for
    cpu: float
    #: how long, on average, another thread of the worker waited for the interpreter lock when it wanted it, in seconds
    lag: float
    #: how often that was tried; 0: `lag` says nothing
    probes: int
    #: seconds spent on pickling and unpickling these items and their results in the worker
    transfer: float


class Reported(NamedTuple):
    """An item says how far it is: `raddle.attempt().report(...)`."""

    worker: int
    chunk: int
    offset: int
    #: 0 to 100
    percent: float
    note: str


Event = (
    Pulled
    | SourceReady
    | SourceEnded
    | ChunkEnded
    | WorkerLost
    | Recorded
    | Consumed
    | Ticked
    | StopAsked
    | RunFailed
    | Measured
    | Reported
)

# ------------------------------------------------------------------------------------------- heard by observers


class RunStarted(NamedTuple):
    """A run begins. `total` is None when the source has no length."""

    name: str
    backend: str
    workers: int
    total: int | None


class ChunkStarted(NamedTuple):
    """A worker was given items."""

    worker: str
    items: int
    attempt: int


class AttemptFailed(NamedTuple):
    """An attempt did not end well and will be tried again after `wait` seconds."""

    position: int
    item: Any
    attempt: int
    error: ErrorInfo
    wait: float


class ItemsEnded(NamedTuple):
    """Items have their outcome (and, with a journal, it is committed)."""

    outcomes: Sequence[Outcome]


class WorkerReplaced(NamedTuple):
    """A worker was lost; its slot gets a new one."""

    worker: str
    reason: str


class AttemptReported(NamedTuple):
    """An item says how far it is."""

    position: int
    item: Any
    attempt: int
    #: 0 to 100
    percent: float
    note: str


class LimitChanged(NamedTuple):
    """Another number of workers may be busy at once, or another backend has been chosen."""

    limit: int
    reason: str
    #: the backend, if it has been chosen just now
    backend: str = ""


class RunStopping(NamedTuple):
    """Nothing more starts."""

    reason: str


class RunEnded(NamedTuple):
    """All is over; the last event of a run."""

    summary: Summary


Observed = (
    RunStarted
    | ChunkStarted
    | AttemptFailed
    | AttemptReported
    | ItemsEnded
    | WorkerReplaced
    | LimitChanged
    | RunStopping
    | RunEnded
)
