"""Making outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raddle import errors
from raddle._model import Batch, Outcome, Status, error_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle._engine.pending import Lot
    from raddle._engine.rules import Rules
    from raddle._events import ChunkEnded
    from raddle._model import Chunk, ErrorInfo

__all__ = ["of_ended", "of_lost", "of_waiting"]


def of_ended(chunk: Chunk, ended: ChunkEnded, worker: str, keys: Mapping[int, Any] | None) -> Batch:
    """Return an outcome for each finished item of a chunk, all as if they had ended ok."""
    own = None if keys is None else [keys[position] for position in chunk.positions[: len(ended.values)]]
    return Batch(
        chunk.positions,
        chunk.items,
        ended.values,
        ended.clock,
        attempt=chunk.attempt,
        worker=worker,
        keys=own,
        ids=chunk.ids,
    )


def of_waiting(lot: Lot, status: Status, error: ErrorInfo | None, keys: Mapping[int, Any] | None) -> list[Outcome]:
    """Return an outcome for each item of a lot that will not start any more."""
    return [
        Outcome(
            position=position,
            item=item,
            status=status,
            value=None,
            error=error,
            attempts=lot.attempt - 1,
            started=0.0,
            seconds=0.0,
            worker="",
            key=None if keys is None else keys[position],
            id=None if lot.ids is None else lot.ids[n],
        )
        for n, (position, item) in enumerate(zip(lot.positions, lot.items, strict=True))
    ]


def of_lost(rules: Rules, reason: str, *, asked: bool, starved: str, stopped: bool) -> tuple[Status, ErrorInfo]:
    """Return how an item ended whose worker is gone.

    Args:
        rules: of the run
        reason: what the backend says of the worker's end
        asked: the machine wanted the worker killed
        starved: why, if it was killed for want of memory
        stopped: it was killed because the run was stopped
    """
    if stopped:
        why = f"still running {rules.grace:g} s after the run was stopped"
        return Status.CANCELLED, error_of(errors.ItemCancelled, why)
    if starved:
        why = f"killed twice, the second time while it ran alone: {starved}"
        return Status.CRASHED, error_of(errors.OutOfMemory, why)
    if asked:
        return Status.TIMED_OUT, error_of(errors.ItemTimedOut, f"timeout={rules.timeout:g} s passed; {reason}")
    return Status.CRASHED, error_of(errors.WorkerCrashed, reason)
