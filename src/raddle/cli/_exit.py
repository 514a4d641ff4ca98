"""What the exit code of a command says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin.command_line import CLOSED, NOT_ALL_OK, USAGE

if TYPE_CHECKING:
    from raddle._model import Summary

__all__ = ["CLOSED", "NOT_ALL_OK", "OK", "STOPPED", "USAGE", "code_for"]

#: every item ended ok
OK = 0
#: stopped by on_error=fail
STOPPED = 3


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
