"""A thread that calls a method now and then, so that a view moves on while no item ends."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Repeat"]


class Repeat:
    """Calls a bound method every few seconds until it is stopped, its object is gone, or the program ends.

    The thread is a daemon and knows the object weakly: it keeps neither of them alive. The method takes its own lock.

    Args:
        method: a bound method without arguments
        every: seconds
    """

    def __init__(self, method: Callable[[], Any], every: float) -> None:
        over = threading.Event()
        self._over = over
        # Also called when the interpreter ends: a daemon that writes to stderr then could bring it down.
        self._finalizer = weakref.finalize(self, over.set)
        self._thread = threading.Thread(
            target=_repeat, args=(weakref.WeakMethod(method), every, over), name="raddle-progress", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Call no more. One call may be under way still; it is not waited for, as it may want the caller's lock."""
        self._over.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended. Not from the method itself, nor with its lock held."""
        self._thread.join(timeout)


def _repeat(reference: weakref.WeakMethod[Callable[[], Any]], every: float, over: threading.Event) -> None:
    while not over.wait(every):
        method = reference()
        if method is None:
            return
        try:
            method()
        except Exception:
            # As in the driver: whoever watches must never harm a run, and is not called again.
            import logging

            logging.getLogger("raddle").exception("observer=%r raised and is not called by time again", method)
            return
        del method
