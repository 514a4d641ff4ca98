"""What the exit code of a command says."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raddle._model import Summary

__all__ = ["CLOSED", "NOT_ALL_OK", "OK", "STOPPED", "USAGE", "code_for"]

#: every item ended ok
OK = 0
#: some items did not, or some input could not be read
NOT_ALL_OK = 1
#: usage or configuration, or the journal or the workers cannot be used
USAGE = 2
#: stopped by on_error=fail
STOPPED = 3
#: whoever read standard output went away (128 + SIGPIPE, as for any program in a pipe)
CLOSED = 128 + signal.SIGPIPE


def code_for(
    summary: Summary, *, on_error: str = "skip", unreadable: int = 0, signal_number: int = 0, closed: bool = False
) -> int:
    """Return the exit code of a run: 130 after SIGINT, 143 after SIGTERM, else one of the above."""
    if signal_number:
        return 128 + signal_number
    if closed:
        return CLOSED
    if on_error == "fail" and summary.failed + summary.timed_out + summary.crashed:
        return STOPPED
    return OK if summary.all_ok and not unreadable else NOT_ALL_OK
