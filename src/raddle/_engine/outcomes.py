"""Making outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raddle._model import Batch, Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle._engine.pending import Lot
    from raddle._events import ChunkEnded
    from raddle._model import Chunk, ErrorInfo

__all__ = ["of_ended", "of_waiting"]


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
