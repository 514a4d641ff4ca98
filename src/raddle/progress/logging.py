"""A run's events through the standard `logging`, logger "raddle.run"."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from raddle._events import AttemptFailed, ItemsEnded, RunEnded, RunStarted, RunStopping, WorkerReplaced
from raddle._model import Status

if TYPE_CHECKING:
    from raddle._events import Observed

__all__ = ["Logging"]


class Logging:
    """Observer that logs starts, ends and whatever went wrong; items that ended ok are silent.

    Levels: INFO for start and end, WARNING for retries, stops and lost workers, ERROR for items that are given up.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger("raddle.run")

    def __call__(self, event: Observed) -> None:
        """Log the event."""
        log = self._log
        match event:
            case ItemsEnded(outcomes):
                for outcome in outcomes:
                    if outcome.status is not Status.OK and outcome.status is not Status.CANCELLED:
                        log.error("item %d %s: %s", outcome.position, outcome.status.value, outcome.error)
            case AttemptFailed():
                what = (event.position, event.attempt, event.error, event.wait)
                log.warning("item %d, attempt %d: %s; next try in %.1f s", *what)
            case WorkerReplaced():
                log.warning("%s lost: %s", event.worker, event.reason)
            case RunStarted():
                log.info("run %r starts: %s, workers=%d", event.name, event.backend, event.workers)
            case RunStopping():
                log.warning("nothing more starts: %s", event.reason)
            case RunEnded(summary):
                log.info("run %r ended: %d of %d ok", summary.name, summary.ok, summary.admitted)
