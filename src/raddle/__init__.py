"""raddle: one function over many items, in parallel, with nothing tangled and nothing lost.

import raddle

with raddle.run(resize, paths, timeout=30, retry=3, journal="runs.db", resume=True) as run:
    for outcome in run:
        if not outcome.ok:
            print(outcome.item, outcome.status, outcome.error)
print(run.summary)
"""

from raddle._api import run
from raddle._attempt import Attempt, attempt
from raddle._engine.run import Run
from raddle._model import ErrorInfo, OnError, Outcome, Status, Summary
from raddle._policy.retry import Retry
from raddle.errors import (
    BackendError,
    ConfigError,
    ItemCancelled,
    ItemError,
    ItemFailed,
    ItemTimedOut,
    JournalDamaged,
    JournalError,
    JournalLocked,
    MissingExtra,
    RaddleError,
    WorkerCrashed,
)

__all__ = [
    "Attempt",
    "BackendError",
    "ConfigError",
    "ErrorInfo",
    "ItemCancelled",
    "ItemError",
    "ItemFailed",
    "ItemTimedOut",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "MissingExtra",
    "OnError",
    "Outcome",
    "RaddleError",
    "Retry",
    "Run",
    "Status",
    "Summary",
    "WorkerCrashed",
    "attempt",
    "run",
]
