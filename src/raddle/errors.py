"""Every exception that raddle raises.

RaddleError
├── ConfigError (ValueError)        an option, a file or a combination that cannot work; nothing has started
│   └── MissingExtra (ImportError)  an optional part is not installed; the message says what to install
├── JournalError                    the journal cannot be opened, read or written
│   ├── JournalLocked               another process owns it
│   └── JournalDamaged              it is not a journal, or its content does not hold together
├── BackendError                    workers cannot be started or kept; the items are not to blame
└── ItemError                       how one item ended, raised by Outcome.unwrap() and Run.values()
    ├── ItemFailed                  the function raised, and its own exception could not be brought here
    ├── ItemTimedOut (TimeoutError) the attempt passed its deadline
    ├── WorkerCrashed               the worker process died under the item
    │   └── OutOfMemory             it was killed twice because memory ran out, the second time running alone
    ├── ItemCancelled               the item never ran to its end, because the run was stopped
    └── Rejected                    raised by the function itself: "slow down, and try this item again"
"""

__all__ = [
    "BackendError",
    "ConfigError",
    "ItemCancelled",
    "ItemError",
    "ItemFailed",
    "ItemTimedOut",
    "JournalDamaged",
    "JournalError",
    "JournalLocked",
    "MissingExtra",
    "OutOfMemory",
    "RaddleError",
    "Rejected",
    "WorkerCrashed",
]


class RaddleError(Exception):
    """Base of all errors raised by raddle itself."""


class ConfigError(RaddleError, ValueError):
    """What was asked for cannot work; the message names the value and the remedy."""


class MissingExtra(ConfigError, ImportError):
    """An optional part of raddle is not installed."""

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(f"{part} is not installed: pip install 'raddle[{extra}]'")


class JournalError(RaddleError):
    """The journal cannot be used; outcomes recorded so far are safe."""


class JournalLocked(JournalError):
    """Another run owns the journal."""


class JournalDamaged(JournalError):
    """The file is not a raddle journal, or it is damaged. It is never started over silently."""


class BackendError(RaddleError):
    """Workers could not be started or kept alive."""


class ItemError(RaddleError):
    """How one item ended, as an exception."""


class ItemFailed(ItemError):
    """The function raised; the original exception could not travel, its traceback is in the text."""


class ItemTimedOut(ItemError, TimeoutError):
    """An attempt passed its deadline."""


class WorkerCrashed(ItemError):
    """The worker process died while it ran the item."""


class OutOfMemory(WorkerCrashed):
    """The worker process was killed to save the machine from swapping; once more after the item ran alone."""


class Rejected(ItemError):
    """A service said no for now, such as HTTP 429: the function raises this to slow the whole run down.

    The item is tried again and this try is not counted. All workers wait until `retry_after` has passed, and fewer
    run at once afterwards.

    Args:
        message: for people
        retry_after: seconds that the service asked for; None if it did not say
    """

    def __init__(self, message: str = "rejected", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """Keep `retry_after` on the way from a worker process."""
        return (_rejected, (str(self), self.retry_after))


def _rejected(message: str, retry_after: float | None) -> Rejected:
    return Rejected(message, retry_after=retry_after)


class ItemCancelled(ItemError):
    """The item did not run, or did not end, because the run was stopped."""
