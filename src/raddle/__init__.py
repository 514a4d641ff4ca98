"""raddle: one function over many items, in parallel, with nothing tangled and nothing lost.

import raddle

with raddle.run(resize, paths, timeout=30, retry=3, journal="runs.db", resume=True) as run:
    for outcome in run:
        if not outcome.ok:
            print(outcome.item, outcome.status, outcome.error)
print(run.summary)
"""

from raddle._api import arun, run
from raddle._attempt import Attempt, attempt
from raddle._engine.arun import AsyncRun
from raddle._engine.run import Run
from raddle._model import ErrorInfo, OnError, Outcome, Status, Summary
from raddle._policy.rate import Rate
from raddle._policy.retry import Retry
from raddle._process import run_process
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
    OutOfMemory,
    RaddleError,
    Rejected,
    WorkerCrashed,
)

__all__ = [
    "AsyncRun",
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
    "OutOfMemory",
    "Outcome",
    "RaddleError",
    "Rate",
    "Rejected",
    "Retry",
    "Run",
    "Status",
    "Summary",
    "WorkerCrashed",
    "arun",
    "attempt",
    "run",
    "run_process",
]
