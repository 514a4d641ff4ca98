"""`raddle runs watch`: paints what the journal tells, until the run ends."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from raddle.cli import _exit
from raddle.cli._watched import Busy, Look
from raddle.errors import JournalDamaged, JournalError
from raddle.progress._text import one_line
from raddle.progress.line import News, describe, duration, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from raddle.cli._watched import Watched

__all__ = ["exit_code", "follow", "lines", "painted", "watch"]

#: seconds between two looks: on a terminal, and where lines are written
_INTERVAL, _LINE = 0.5, 5.0
#: part of the time that looking may take: a journal of any size is never kept busy by who looks at it
_SHARE = 0.1
#: seconds after which a journal that cannot be read is given up
_PATIENCE = 15.0
#: seconds after which a line is written though nothing has changed
_SILENCE = 60.0
_WORKERS = 8
#: lines of a terminal that are for the rest
_REST = 10


def watch(watched: Watched, stream: TextIO, *, interval: float | None, once: bool) -> int:
    """Show the run until it ends; return the exit code: that of `exit_code`, or 130 after Ctrl-C.

    Args:
        watched: the run
        stream: where to; a terminal is painted over, else there is a line now and then
        interval: seconds between two looks; None: what suits the stream
        once: look only once
    """
    terminal = is_terminal(stream) and _rich()
    wait = (_INTERVAL if terminal else _LINE) if interval is None else interval
    try:
        with _ended_by_sigterm():
            if once:
                look = watched.look(time.time())
                _print_once(look, stream, terminal=terminal)
            elif terminal:
                with _live(stream) as show:
                    look = follow(watched, show, wait)
            else:
                look = follow(watched, _Lines(stream), wait)
    except KeyboardInterrupt:
        sys.stderr.write("raddle: not watching any more; the run goes on\n")
        return 128 + signal.SIGINT
    return exit_code(look)


def exit_code(look: Look) -> int:
    """Return how it went: 0 if all is well so far or at the end, 1 if it ended otherwise."""
    return _exit.OK if look.all_ok or not look.ended else _exit.NOT_ALL_OK


def follow(
    watched: Watched,
    show: Callable[[Look], None],
    interval: float,
    *,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Look:
    """Look again and again until the run ends; return the last look.

    Raises:
        JournalError: the journal could not be read at first, or for a while
        ConfigError: another file has taken its place
    """
    read: float | None = None
    while True:
        began = clock()
        try:
            look = watched.look(wall())
        except JournalDamaged:
            raise
        except JournalError:
            # Busy, or on its way from here to there: what has been shown stays.
            if read is None or clock() - read > _PATIENCE:
                raise
        else:
            read = clock()
            show(look)
            if look.ended:
                return look
        sleep(max(interval, (clock() - began) / _SHARE))


class _Lines:
    """A line when something has changed, at most one for each look."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._done = -1
        self._news = News()
        self._written = float("-inf")

    def __call__(self, look: Look) -> None:
        done, now = look.snapshot.done, self._clock()
        if done != self._done or look.ended or now - self._written >= _SILENCE:
            self._stream.write(self._news.of(look.snapshot) + "\n")
            self._stream.flush()
            self._done, self._written = done, now


def lines(look: Look) -> list[str]:
    """Return a look as plain lines."""
    workers = [f"  {_hand(each)}" for each in look.workers[:_WORKERS]]
    return [describe(look.snapshot), *workers, *_more(look, _WORKERS), *map(one_line, look.snapshot.problems)]


def painted(look: Look, height: int) -> RenderableType:
    """Draw a look on a terminal of so many lines."""
    from rich.console import Group
    from rich.text import Text

    from raddle.progress.live import panel

    shown = max(1, min(_WORKERS, height - _REST))
    texts = [*(_hand(each) for each in look.workers[:shown]), *_more(look, shown)]
    below = (Text(one_line(text), style="dim", no_wrap=True, overflow="ellipsis") for text in texts)
    return Group(panel(look.snapshot), *below)


def _hand(each: Busy) -> str:
    what = "1 item" if each.items == 1 else f"{each.items:,} items"
    again = f", attempt {each.attempt}" if each.attempt > 1 else ""
    return f"{each.worker}: {what} for {duration(max(0.0, each.seconds))}{again}"


def _more(look: Look, shown: int) -> list[str]:
    left = len(look.workers) - shown
    return [f"and {left:,} more workers"] if left > 0 else []


def _print_once(look: Look, stream: TextIO, *, terminal: bool) -> None:
    if terminal:
        from rich.console import Console

        console = Console(file=stream)
        console.print(painted(look, _WORKERS + _REST))
    else:
        stream.write("".join(line + "\n" for line in lines(look)))
        stream.flush()


def _rich() -> bool:
    import importlib.util

    return importlib.util.find_spec("rich") is not None


@contextmanager
def _live(stream: TextIO) -> Iterator[Callable[[Look], None]]:
    """Paint each look over the one before; rich takes NO_COLOR and the width from the environment and the terminal."""
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as view:
        yield lambda look: view.update(painted(look, console.height), refresh=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM an exception, so that the terminal gets its cursor back."""

    def end(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
