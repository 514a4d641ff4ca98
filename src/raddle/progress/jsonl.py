"""A run's events as JSON Lines, for programs that watch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from raddle._events import (
    AttemptFailed,
    AttemptReported,
    ChunkStarted,
    ItemsEnded,
    LimitChanged,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle._model import Status
from raddle.progress._text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._events import Observed
    from raddle._model import Outcome
    from raddle._ports import Clock

__all__ = ["JsonLines"]


class JsonLines:
    """Observer that writes one JSON object per event, each with "event" and "time" (Unix seconds).

    Items that ended ok are counted; the others are also listed under "not_ok".
    """

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def __call__(self, event: Observed) -> None:
        """Write the event down."""
        record = {"time": round(self._clock.wall(), 3), **as_dict(event)}
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def as_dict(event: Observed) -> dict[str, Any]:  # noqa: PLR0911 - one case, one return
    """Return an event as what JSON can hold."""
    match event:
        case RunStarted(name, backend, workers, total):
            return {"event": "run_started", "name": name, "backend": backend, "workers": workers, "total": total}
        case ChunkStarted(worker, items, attempt):
            return {"event": "chunk_started", "worker": worker, "items": items, "attempt": attempt}
        case AttemptFailed(position, item, attempt, error, wait):
            return {
                "event": "attempt_failed",
                "position": position,
                "item": short(item),
                "attempt": attempt,
                "error": {"type": error.type, "message": error.message},
                "wait": wait,
            }
        case AttemptReported(position, item, attempt, percent, note):
            what = {"position": position, "item": short(item), "attempt": attempt}
            return {"event": "attempt_reported", **what, "percent": percent, "note": note}
        case ItemsEnded(outcomes):
            return {"event": "items_ended", **_counted(outcomes)}
        case WorkerReplaced(worker, reason):
            return {"event": "worker_replaced", "worker": worker, "reason": reason}
        case LimitChanged(limit, reason):
            return {"event": "limit_changed", "limit": limit, "reason": reason}
        case RunStopping(reason):
            return {"event": "run_stopping", "reason": reason}
        case RunEnded(summary):
            names = summary.__dataclass_fields__
            return {"event": "run_ended", **{name: getattr(summary, name) for name in names}}


def _counted(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    not_ok = [outcome for outcome in outcomes if outcome.status is not Status.OK]
    record: dict[str, Any] = {"items": len(outcomes), "ok": len(outcomes) - len(not_ok)}
    if not_ok:
        record["not_ok"] = [_described(outcome) for outcome in not_ok]
    return record


def _described(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "position": outcome.position,
        "item": short(outcome.item),
        "status": outcome.status.value,
        "error": {"type": error.type, "message": error.message} if error else None,
        "attempts": outcome.attempts,
        "seconds": outcome.seconds,
        "worker": outcome.worker,
    }
