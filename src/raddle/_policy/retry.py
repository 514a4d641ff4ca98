"""Whether and when an item is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._model import qualified_name
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from raddle._model import ErrorInfo

__all__ = ["NO_RETRY", "Retry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Exponential backoff with full jitter.

    The wait after the n-th attempt is uniform in [0, min(wait_max, wait_initial * wait_exp_base**(n - 1))]
    seconds ("full jitter" of M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        attempts: tries in all, the first one counted
        on: exception classes worth another try. A timeout counts as `raddle.ItemTimedOut` (a `TimeoutError`), a
            dead worker as `raddle.WorkerCrashed`; both are exceptions, so the default covers them.
        wait_initial: seconds
        wait_max: seconds
        wait_exp_base: growth of the wait from one attempt to the next
    """

    attempts: int = 3
    on: tuple[type[BaseException], ...] | type[BaseException] = (Exception,)
    wait_initial: float = 0.1
    wait_max: float = 30.0
    wait_exp_base: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: naming the value
        """
        if self.attempts < 1:
            raise ConfigError(f"attempts={self.attempts}: must be at least 1, the first try counted")
        for name in ("wait_initial", "wait_max"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name}={value}: must be seconds, 0 or more")
        if self.wait_exp_base < 1:
            raise ConfigError(f"wait_exp_base={self.wait_exp_base}: must be 1 or more, or the wait would shrink")

    def wait(self, attempt: int, error: ErrorInfo, chance: float) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        Args:
            attempt: the number of the try that failed, from 1
            error: how it failed
            chance: uniform in [0, 1)
        """
        if attempt >= self.attempts:
            return None
        classes = self.on if isinstance(self.on, tuple) else (self.on,)
        if not any(qualified_name(cls) in error.lineage for cls in classes):
            return None
        # Powers beyond this exceed any wait_max that fits a float; the bound keeps ** from overflowing.
        growth = self.wait_exp_base ** min(attempt - 1, 60)
        return chance * min(self.wait_max, self.wait_initial * growth)


NO_RETRY = Retry(attempts=1)
