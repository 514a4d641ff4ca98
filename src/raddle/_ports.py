"""What the engine needs from outside, as small as it can be said. Suites in `raddle.testing` hold each to its word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from raddle._events import Event, Memory, Observed
    from raddle._model import Chunk, Outcome, Running, StopHow, Summary

__all__ = [
    "Backend",
    "Capabilities",
    "Clock",
    "Gauge",
    "Inbox",
    "Journal",
    "Known",
    "Lease",
    "Observer",
    "Record",
    "RunHeader",
]


class Clock(Protocol):
    """Seconds that never go back, and the time of day for people."""

    def now(self) -> float: ...
    def wall(self) -> float: ...


class Gauge(Protocol):
    """A look at memory, ten times a second."""

    def sample(self, pids: Mapping[int, int]) -> Memory:
        """Look; `pids` are those of the worker processes that run an item, by slot."""
        ...

    def close(self) -> None: ...


class Inbox(Protocol):
    """The one way up. Anybody may put, from any thread; the driver alone takes."""

    def put(self, event: Event) -> None: ...

    def take(self, timeout: float | None) -> list[Event]:
        """Return what has come, waiting up to `timeout` seconds (None: for ever) for the first; may return []."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can promise; checked when a run is configured, never ignored."""

    #: such as "processes"; a worker is called f"{worker_name}-{number}"
    name: str
    worker_name: str
    workers: int
    #: can end an attempt at its deadline and free the slot
    enforces_timeout: bool
    #: most items in one chunk; 1: no chunking
    max_chunk: int = 8192
    #: chunks a worker may hold, the running one included
    depth: int = 2
    #: items that take at most so many seconds wait at the worker, so that it is never without one
    prefetch_below: float = 0.02
    #: of the workers, one for each slot; empty: f"{worker_name}-{number}"
    names: tuple[str, ...] = ()


class Backend(Protocol):
    """Where attempts run. Made ready to use by its factory, before any other thread of the run exists.

    Slots are numbered from 0 to `capabilities.workers - 1`. Only the driver calls it. Its own news (`ChunkEnded`,
    `WorkerLost`, `RunFailed`) arrive at `inbox`: exactly one `ChunkEnded` for each started chunk, or one
    `WorkerLost` for all chunks its worker held.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def inbox(self) -> Inbox: ...

    def start(self, worker: int, chunk: Chunk) -> None:
        """Hand a chunk to a slot, without waiting. Chunks of a slot run in the order given."""
        ...

    def stop(self, worker: int, how: StopHow) -> None:
        """Stop a slot: "close" gives back all it has not started, "kill" ends the item under way too.

        After "close" nothing is started on the slot any more; `raddle.attempt().cancelled` turns true in it.

        After "kill" exactly one `WorkerLost` follows, also when the worker had nothing under way any more.
        """
        ...

    def running(self) -> list[Running]:
        """Return the item under way in each busy slot. Cheap: no message is exchanged."""
        ...

    def close(self) -> None:
        """End all workers, at once, and wait for what can be waited for. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What identifies a run in a journal."""

    name: str
    #: "module:qualname"
    function: str
    #: digest of the function's code and bound arguments; "" if it cannot be told
    version: str
    #: number of items, if the source has a length
    total: int | None = None
    backend: str = ""
    workers: int = 0
    #: the caller gave `id=`: a second item of one id is an error; else equal items are told apart by counting
    unique_ids: bool = False
    #: JSON of {"argv": [...], "cwd": "..."} if a command line started the run, so that it can be started again
    command: str = ""


class Known(NamedTuple):
    """What the journal knows of an item from earlier sessions."""

    #: its outcome, with `resumed=True`, value loaded; `position` and `item` are filled in by the caller
    outcome: Outcome | None
    #: attempts that were under way when the program died
    interruptions: int = 0


class Lease(NamedTuple):
    """These items are about to start. Committed before they do."""

    chunk: int
    worker: str
    ids: Sequence[bytes]
    attempt: int


class Record(NamedTuple):
    """What is to be committed as one: outcomes, attempts that will be retried, and leases that end or begin."""

    ticket: int
    lease: Lease | None = None
    #: final outcomes, each with the pickled value (b"" unless ok)
    outcomes: Sequence[tuple[Outcome, bytes]] = ()
    #: attempts that failed and will be tried again, as outcomes that are not final
    retried: Sequence[Outcome] = ()
    #: chunks none of whose items is under way any more
    ended: Sequence[int] = ()


class Journal(Protocol):
    """Durable memory. `append` returns at once; `Recorded(ticket)` is put to the inbox after the commit."""

    def begin(
        self, header: RunHeader, *, resume: bool, put: Callable[[Event], None], retry_failed: bool = False
    ) -> str:
        """Start a session, new or (resume, if a run of that name is there) continued; return the run's unique id.

        With `retry_failed`, items of earlier sessions that did not end ok count as not known; their new outcome takes
        the place of the old one.

        Raises:
            JournalError: also if the run of that name was made by another function or version of it
        """
        ...

    def known(self, ids: Sequence[bytes]) -> Mapping[int, Known]:
        """Return what is known of each id, by its offset; each recorded outcome is given out once a session."""
        ...

    def append(self, record: Record) -> None:
        """Queue for the next group commit. A failure arrives as `RunFailed`, and nothing after it is committed."""
        ...

    def close(self, summary: Summary | None) -> None:
        """Commit what is queued, note how the run ended (None: it is not known), give the journal free."""
        ...


class Observer(Protocol):
    """Somebody who watches. Whatever it raises is contained and never harms the run."""

    def __call__(self, event: Observed, /) -> None: ...
