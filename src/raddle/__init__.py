"""raddle: one function over many items, in parallel, with nothing tangled and nothing lost.

import raddle

with raddle.run(resize, paths, timeout=30, retry=3, journal="runs.db", resume=True) as run:
    for outcome in run:
        if not outcome.ok:
            print(outcome.item, outcome.status, outcome.error)
print(run.summary)
"""

from typing import TYPE_CHECKING

from raddle._lazy import exports
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

if TYPE_CHECKING:
    from raddle._api import arun, run
    from raddle._attempt import Attempt, attempt
    from raddle._engine.arun import AsyncRun
    from raddle._engine.run import Run
    from raddle._model import ErrorInfo, OnError, Outcome, Status, Summary
    from raddle._policy.rate import Rate
    from raddle._policy.retry import Retry
    from raddle._process import run_process

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

# The engine is imported when it is first asked for: what only mentions raddle, shows help or completes a word, is not
# to wait for it.
__getattr__, __dir__ = exports(
    __name__,
    {
        "_api": ["arun", "run"],
        "_attempt": ["Attempt", "attempt"],
        "_engine.arun": ["AsyncRun"],
        "_engine.run": ["Run"],
        "_model": ["ErrorInfo", "OnError", "Outcome", "Status", "Summary"],
        "_policy.rate": ["Rate"],
        "_policy.retry": ["Retry"],
        "_process": ["run_process"],
    },
)
