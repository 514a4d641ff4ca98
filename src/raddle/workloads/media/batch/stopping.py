"""Ctrl-C and SIGTERM: the first one stops the run in good order; another, when that takes long, ends the program."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, Final, Self

from raddle.plugin.command_line import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Signals"]

_HEARD: Final = (signal.SIGINT, signal.SIGTERM)
#: seconds that the first signal has for its good order: an impatient second one would lose lines of the report
_TIME: Final = 6.0


class Signals:
    """Hears both signals for a block, in the main thread.

    While a run goes on nothing is raised, so that no outcome and no line of output is lost: `stop` is called, and the
    run comes to its end by itself. `Interrupted` is raised where nothing is under way that had to be stopped first, or
    where stopping takes too long.
    """

    def __init__(self) -> None:
        #: the first one that came; 0: none yet
        self.number = 0
        self._since = 0.0
        self._stop: Callable[[], object] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._heard) for number in _HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop_by(self, stop: Callable[[], object]) -> None:
        """Call `stop` at the first signal from now on; at once if one has come."""
        self._stop = stop
        if self.number:
            stop()

    def _heard(self, number: int, _frame: object) -> None:
        again, self.number = self.number, self.number or number
        if self._stop is None or (again and time.monotonic() - self._since > _TIME):
            raise Interrupted(self.number)
        if not again:
            self._since = time.monotonic()
            self._stop()
