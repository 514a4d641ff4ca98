"""Making outcomes, in bulk where it counts."""

from __future__ import annotations

from itertools import islice, repeat
from operator import sub
from typing import TYPE_CHECKING, Any

from raddle._model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle._engine.pending import Lot
    from raddle._events import ChunkEnded
    from raddle._model import Chunk, ErrorInfo

__all__ = ["of_ended", "of_waiting"]

_new = tuple.__new__


def of_ended(chunk: Chunk, ended: ChunkEnded, worker: str, keys: Mapping[int, Any] | None) -> list[Outcome]:
    """Return an outcome for each finished item of a chunk, all as if they had ended ok.

    One `map` over `zip`, so that no line of Python runs per item: some 0.2 µs an item instead of 1.
    """
    clock = ended.clock
    return list(
        map(
            _new,
            repeat(Outcome),
            zip(
                chunk.positions,
                chunk.items,
                repeat(Status.OK),
                ended.values,
                repeat(None),
                repeat(chunk.attempt),
                clock,
                map(sub, islice(clock, 1, None), clock),
                repeat(worker),
                repeat(None) if keys is None else map(keys.__getitem__, chunk.positions),
                repeat(None) if chunk.ids is None else chunk.ids,
                repeat(False),  # noqa: FBT003 - positional by nature: a row
            ),
        )
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
