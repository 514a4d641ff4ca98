"""A command through `raddle.run_process`, ended a moment before the engine gives its attempt up."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import raddle

if TYPE_CHECKING:
    from raddle import Attempt

__all__ = ["run_command"]

#: a command is killed this long before its deadline, at most: so it is gone when the engine gives the attempt up and
#: perhaps starts the next one
_EARLY, _EARLY_PART = 0.02, 0.05
#: seconds beyond its deadline in which an attempt is given up for certain, and in which it must have been
_PATIENCE, _PATIENCE_AT_MOST = 0.2, 5.0


def run_command(argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, or to the deadline of the attempt: then its whole process group is killed.

    Raises:
        ItemCancelled: the run is over
        OSError: the program cannot be started
    """
    attempt = raddle.attempt()
    timeout = None
    if attempt.deadline is not None:
        left = attempt.remaining()
        timeout = max(left - min(_EARLY, left * _EARLY_PART), 0.001)
    try:
        return raddle.run_process(argv, timeout=timeout, grace=0.0)
    except subprocess.TimeoutExpired:
        _be_given_up(attempt)
        raise


def _be_given_up(attempt: Attempt) -> None:
    """Wait for the engine's word: if this thread spoke first, the item would be "failed" and not "timed_out"."""
    draining = attempt.cancelled  # then it is asked to stop already, and is not asked a second time
    until = (attempt.deadline or 0.0) + (_PATIENCE if draining else _PATIENCE_AT_MOST)
    while time.monotonic() < until and (draining or not attempt.cancelled):
        time.sleep(0.005)
