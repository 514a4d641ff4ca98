"""What the machine wants done. The driver does it, in this order, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle import _events, _ports
    from raddle._model import Chunk, Outcome, StopHow, Summary

__all__ = ["Command", "Commit", "Deliver", "Emit", "Finish", "Pull", "Start", "Stop"]


class Pull(NamedTuple):
    """Let the source give this many items more, on top of what it was let before."""

    items: int


class Start(NamedTuple):
    """Give a chunk to a worker."""

    worker: int
    chunk: Chunk


class Stop(NamedTuple):
    """Stop a worker; after "kill" the machine waits for its `WorkerLost`."""

    worker: int
    how: StopHow


class Commit(NamedTuple):
    """Append to the journal; `Recorded` is heard when it is safe."""

    record: _ports.Record


class Deliver(NamedTuple):
    """Hand outcomes to the consumer."""

    outcomes: Sequence[Outcome]


class Emit(NamedTuple):
    """Tell the observers."""

    event: _events.Observed


class Finish(NamedTuple):
    """All is over; the last command of a run."""

    summary: Summary
    error: BaseException | None


Command = Pull | Start | Stop | Commit | Deliver | Emit | Finish
