"""What the machine wants done. The driver does it, in this order, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raddle import _events, _ports
    from raddle._model import Chunk, Outcome, StopHow, Summary

__all__ = ["Command", "Commit", "Deliver", "Emit", "Finish", "Pull", "Start", "Stop"]


@dataclass(frozen=True, slots=True)
class Pull:
    """Let the source give this many items more, on top of what it was let before."""

    count: int


@dataclass(frozen=True, slots=True)
class Start:
    """Give a chunk to a worker."""

    worker: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a worker; after "kill" the machine waits for its `WorkerLost`."""

    worker: int
    how: StopHow


@dataclass(frozen=True, slots=True)
class Commit:
    """Append to the journal; `Recorded` is heard when it is safe."""

    record: _ports.Record


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand outcomes to the consumer."""

    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the observers."""

    event: _events.Observed


@dataclass(frozen=True, slots=True)
class Finish:
    """All is over; the last command of a run."""

    summary: Summary
    error: BaseException | None


Command = Pull | Start | Stop | Commit | Deliver | Emit | Finish
