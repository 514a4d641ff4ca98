"""Progress of many tasks, told to one callback in good order."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DONE", "FAILED", "Teller"]

DONE: Final = 100.0
FAILED: Final = -1.0

#: steps stay below 100, which is for a result that is there
_MOST: Final = 99.0

_log = logging.getLogger(__name__)


class Teller:
    """Calls callback(task_id, percent) from one thread of its own, which holds no lock.

    For each task: 0 first, rising values, then 100 or -1, and nothing after it, whatever an abandoned attempt still
    says. A task that never started is told of by -1 alone. What the callback raises is logged and changes nothing.

    Args:
        callback: None: nobody listens, and there is no thread
        inside: `.yes` is set in the thread
    """

    def __init__(self, callback: Callable[[str, float], object] | None, inside: threading.local) -> None:
        self._callback = callback
        self._inside = inside
        self._news: SimpleQueue[tuple[str, float] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # only the thread touches these
        self._reached: dict[str, float] = {}
        self._seen: set[type[BaseException]] = set()
        if callback is not None:
            self._thread = threading.Thread(target=self._serve, name="raddle-encrypt-progress", daemon=True)
            self._thread.start()

    @property
    def listening(self) -> bool:
        """Whether anybody is told."""
        return self._thread is not None

    def step(self, task_id: str, percent: float) -> None:
        """Say how far a task is, from any thread; its first step is its start."""
        if self._thread is not None:
            self._news.put((task_id, min(max(float(percent), 0.0), _MOST)))

    def ended(self, task_id: str, *, success: bool) -> None:
        """Say that a task has its result."""
        if self._thread is not None:
            self._news.put((task_id, DONE if success else FAILED))

    def close(self) -> None:
        """Wait until all has been told."""
        if self._thread is not None:
            self._news.put(None)
            self._thread.join()

    def _serve(self) -> None:
        self._inside.yes = True
        while (news := self._news.get()) is not None:
            self._tell(*news)

    def _tell(self, task_id: str, value: float) -> None:
        last = self._reached.get(task_id)
        if last in (DONE, FAILED) or (value != FAILED and last is not None and value <= last):
            return
        if last is None and value > 0:
            self._call(task_id, 0.0)
        self._reached[task_id] = value
        self._call(task_id, value)

    def _call(self, task_id: str, value: float) -> None:
        if self._callback is None:
            return
        try:
            self._callback(task_id, value)
        except BaseException as error:  # noqa: BLE001 - the caller's code in our thread, SystemExit too: no outcome hangs on it
            new = type(error) not in self._seen  # one traceback of a kind is enough
            self._seen.add(type(error))
            _log.error(
                "progress_callback raised for task_id=%r at %g: %r",
                task_id,
                value,
                error,
                exc_info=error if new else None,
            )
