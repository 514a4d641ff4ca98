"""A run's events through the standard `logging`, logger "raddle.run"."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from raddle._events import (
    AttemptFailed,
    AttemptReported,
    ItemsEnded,
    LimitChanged,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle._model import Status

if TYPE_CHECKING:
    from raddle._events import Observed
    from raddle._model import Outcome

__all__ = ["Logging"]

_TOTALS = ("admitted", "ok", "failed", "timed_out", "crashed", "cancelled", "resumed", "stopped", "seconds")


class Logging:
    """Observer that logs starts, ends and whatever went wrong; items that ended ok are silent.

    Levels: INFO for start, end and limits, WARNING for retries, stops and lost workers, ERROR for items that are given
    up, DEBUG for what items say of themselves. Each record has `extra` fields for programs: `event` and `run` always,
    others as they apply (docs/reference/observers.md).
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger("raddle.run")
        self._run = ""

    def __call__(self, event: Observed) -> None:  # noqa: C901 - one case for each event
        """Log the event."""
        match event:
            case ItemsEnded(outcomes):
                for outcome in outcomes:
                    if outcome.status is not Status.OK and outcome.status is not Status.CANCELLED:
                        self._item_ended(outcome)
            case AttemptFailed(position, _, attempt, error, wait):
                fields = {"position": position, "attempts": attempt, "error_type": error.type, "wait": wait}
                text = "item %d, attempt %d: %s; next try in %.1f s"
                self._say(logging.WARNING, "attempt_failed", fields, text, position, attempt, error, wait)
            case AttemptReported(position, _, attempt, percent, note):
                fields = {"position": position, "attempts": attempt, "percent": percent, "note": note}
                text = "item %d: %.0f %% %s"
                self._say(logging.DEBUG, "attempt_reported", fields, text, position, percent, note)
            case WorkerReplaced(worker, reason):
                fields = {"worker": worker, "reason": reason}
                self._say(logging.WARNING, "worker_replaced", fields, "%s lost: %s", worker, reason)
            case LimitChanged(limit, reason):
                fields = {"limit": limit, "reason": reason}
                self._say(logging.INFO, "limit_changed", fields, "limit is %d now: %s", limit, reason)
            case RunStarted(name, backend, workers, total):
                self._run = name
                fields = {"backend": backend, "workers": workers, "total": total}
                text = "run %r starts: %s, workers=%d"
                self._say(logging.INFO, "run_started", fields, text, name, backend, workers)
            case RunStopping(reason):
                self._say(logging.WARNING, "run_stopping", {"reason": reason}, "nothing more starts: %s", reason)
            case RunEnded(summary):
                fields = {name: getattr(summary, name) for name in _TOTALS}
                what = (summary.name, summary.ok, summary.admitted)
                self._say(logging.INFO, "run_ended", fields, "run %r ended: %d of %d ok", *what)

    def _item_ended(self, outcome: Outcome) -> None:
        status = outcome.status.value
        fields = {
            "position": outcome.position,
            "status": status,
            "attempts": outcome.attempts,
            "seconds": outcome.seconds,
            "worker": outcome.worker,
            "error_type": outcome.error.type if outcome.error else "",
        }
        text = "item %d %s: %s"
        self._say(logging.ERROR, "item_ended", fields, text, outcome.position, status, outcome.error)

    def _say(self, level: int, event: str, fields: dict[str, Any], text: str, *what: object) -> None:
        if self._log.isEnabledFor(level):
            self._log.log(level, text, *what, extra={"event": event, "run": self._run, **fields})
