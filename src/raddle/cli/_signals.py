"""Ctrl-C and SIGTERM while a run is under way: the first drains, the second kills, the third ends the program."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from raddle.cli._stdin import end_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle import Run

__all__ = ["Asked", "stop_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """Which signal asked the run to stop; 0: none did."""

    def __init__(self, run: Run, grace: float) -> None:
        self._run = run
        self._serial = run.summary.backend == "serial"
        self._grace = grace
        self.number = 0

    def __call__(self, number: int, _frame: Any) -> None:
        """Pass the wish on. Called between two bytecodes of the main thread: it takes no lock and waits for nothing."""
        name = signal.Signals(number).name
        if not self.number:
            self.number = number
            _say(f"{name}: starting nothing more; what runs has {self._grace:g} s to end. Once more to kill it.")
            self._run.cancel(name)
            end_input()
        else:
            _say(f"{name} again: killing what still runs.")
            self._run.kill(name)
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            if self._serial:
                raise KeyboardInterrupt  # the item runs in this very thread: there is no other way to end it


@contextmanager
def stop_on_signals(run: Run, grace: float) -> Iterator[Asked]:
    """Make SIGINT and SIGTERM stop the run in an orderly way, while this block lasts."""
    asked = Asked(run, grace)
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield asked
        return
    before = {number: signal.signal(number, asked) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    # Not sys.stderr: the signal may have come in the middle of a write to it, which cannot be entered twice.
    os.write(2, f"\nraddle: {text}\n".encode())
