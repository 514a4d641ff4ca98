"""What the backend suite gives workers to do: functions at module level, so that any process can import them."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from raddle._attempt import attempt

__all__ = [
    "DIE",
    "EXIT",
    "HANG",
    "INTERRUPT",
    "LOCK",
    "NAP",
    "NAP_SECONDS",
    "RAISE",
    "begin",
    "fail_to_prepare",
    "prepare",
    "release",
    "tell_attempt",
    "tell_prepared",
    "work",
]

# What `work` does with an item that is not a number, which it doubles.
RAISE = "raise"  # ValueError("raise")
EXIT = "exit"  # SystemExit(3)
INTERRUPT = "interrupt"  # KeyboardInterrupt
HANG = "hang"  # comes back when the test is over
NAP = "nap"  # takes NAP_SECONDS
LOCK = "lock"  # returns what cannot be pickled
DIE = "die"  # the worker process kills itself

NAP_SECONDS = 0.02

_over = [threading.Event()]
_prepared: set[int] = set()


def work(item: Any) -> Any:
    """Run one item of the suite; at module level, so that it can be pickled."""
    if item == RAISE:
        raise ValueError(item)
    if item == EXIT:
        raise SystemExit(3)
    if item == INTERRUPT:
        raise KeyboardInterrupt
    if item == HANG:
        _over[-1].wait(3600)
    if item == NAP:
        time.sleep(NAP_SECONDS)
    if item == DIE:
        _die()
    return threading.Lock() if item == LOCK else item * 2


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def begin() -> None:
    """Begin a test: nothing is prepared, and what hangs from now on hangs until `release`."""
    _prepared.clear()
    _over.append(threading.Event())


def release() -> None:
    """End a test: what hangs in this process comes back."""
    _over.pop().set()


def tell_attempt(item: Any) -> tuple[Any, int, str, bool, bool]:
    """Return what `raddle.attempt()` says inside an attempt with a timeout of 1000 seconds."""
    now = attempt()
    return item, now.number, now.idempotency_key, 900 < now.remaining() <= 1000, now.cancelled


def prepare() -> None:
    """Leave a mark in the worker."""
    _prepared.add(threading.get_ident())


def fail_to_prepare() -> None:
    """Raise, as an initializer."""
    raise OSError("no model file")


def tell_prepared(item: Any) -> tuple[Any, bool]:
    """Return whether `prepare` ran in this worker before the item."""
    return item, threading.get_ident() in _prepared
