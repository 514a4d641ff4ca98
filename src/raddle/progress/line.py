"""One line about a run: painted over itself on a terminal, now and then a new one elsewhere."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from raddle._events import RunEnded, RunStarted, RunStopping
from raddle.progress._repeat import Repeat
from raddle.progress._text import one_line
from raddle.progress.stats import Snapshot, Stats

if TYPE_CHECKING:
    from raddle._events import Observed
    from raddle._ports import Clock

__all__ = ["Line", "News", "describe", "duration", "is_terminal", "one_line", "rate"]

#: seconds between two paintings on a terminal
_PAINT = 0.1
#: seconds between two lines elsewhere: at most this often, and at least this often while items end
_SOONEST, _LATEST = 1.0, 5.0
#: and at least this often while nothing happens
_SILENCE = 60.0
#: seconds after which a line looks at the time by itself
_LOOK = 1.0
#: or once this part of the total is done
_STEP = 0.1
_UNKNOWN_WIDTH = 80


class Line:
    """Observer that keeps one line up to date: when events come, and by time through a thread of its own.

    Args:
        stream: where to, usually standard error
        clock: what time it is
        in_place: paint over the line; default: only if the stream is a terminal
    """

    def __init__(self, stream: TextIO, clock: Clock, *, in_place: bool | None = None) -> None:
        self._stream = stream
        self._clock = clock
        self._in_place = is_terminal(stream) if in_place is None else in_place
        self._stats = Stats()
        self._painted = float("-inf")
        self._fraction = 0.0
        self._lock = threading.Lock()
        self._repeat: Repeat | None = None
        self._news = News()

    def __call__(self, event: Observed) -> None:
        """Take an event; write if it is time to."""
        with self._lock:
            now = self._clock.now()
            self._stats.add(event, now)
            if isinstance(event, RunStarted):
                self._painted = now - (_PAINT if self._in_place else 0.0)
                self._repeat = Repeat(self.tick, _LOOK)
            elif isinstance(event, (RunStopping, RunEnded)) or self._due(now):
                self._paint(now, last=isinstance(event, RunEnded))
            if isinstance(event, RunEnded):
                self._end()

    def tick(self) -> None:
        """Time has passed: write if it is time to."""
        with self._lock:
            now = self._clock.now()
            if self._repeat is not None and now - self._painted >= (_LOOK if self._in_place else _SILENCE):
                self._paint(now, last=False)

    def _end(self) -> None:
        if self._repeat is not None:
            self._repeat.stop()
            self._repeat = None

    def _due(self, now: float) -> bool:
        since = now - self._painted
        if self._in_place or since < _SOONEST:
            return self._in_place and since >= _PAINT
        fraction = self._stats.snapshot(now).fraction
        return since >= _LATEST or (fraction is not None and fraction >= self._fraction + _STEP)

    def _paint(self, now: float, *, last: bool) -> None:
        snapshot = self._stats.snapshot(now)
        self._painted, self._fraction = now, snapshot.fraction or 0.0
        if self._in_place:
            text = describe(snapshot)
            # Back to the first column and clear to the end; cut, since a wrapped line cannot be painted over.
            self._stream.write(f"\r\x1b[K{text if last else text[: _width(self._stream) - 1]}{chr(10) if last else ''}")
        else:
            self._stream.write(self._news.of(snapshot) + "\n")
        self._stream.flush()


class News:
    """Lines below each other: why the limit has moved is said when it has, not again on each line."""

    def __init__(self) -> None:
        self._limit: tuple[int | None, str] = (None, "")

    def of(self, snapshot: Snapshot) -> str:
        """Return the next line."""
        before, self._limit = self._limit, (snapshot.limit, snapshot.limit_reason)
        return describe(replace(snapshot, limit=None) if self._limit == before else snapshot)


def describe(snapshot: Snapshot) -> str:
    """Say how a run stands, in one line."""
    parts = [_amount(snapshot)]
    if snapshot.failed or snapshot.timed_out or snapshot.crashed or snapshot.cancelled:
        parts.append(f"{snapshot.ok:,} ok")
    parts += [f"{count:,} {word}" for count, word in snapshot.tallies]
    if snapshot.rate is not None:
        parts.append(rate(snapshot.rate))
    if snapshot.ended:
        parts.append(f"took {duration(snapshot.elapsed)}")
    elif snapshot.eta is not None:
        parts.append(f"{duration(snapshot.eta)} left")
    if snapshot.workers and not snapshot.ended:
        parts.append(f"{snapshot.running} of {snapshot.workers} workers busy")
    if snapshot.limit is not None and not snapshot.ended:
        parts.append(f"limit {snapshot.limit}: {snapshot.limit_reason}")
    if snapshot.stopping:
        parts.append(f"{'stopped' if snapshot.ended else 'stopping'}: {snapshot.stopping}")
    return one_line(f"{snapshot.name or 'raddle'}: {' · '.join(parts)}")


def _amount(snapshot: Snapshot) -> str:
    if snapshot.total is None or snapshot.fraction is None:
        return f"{snapshot.done:,} done"
    if snapshot.ended and snapshot.done == snapshot.total:
        return f"{snapshot.done:,} done"
    # Rounded down: 100 % is for when all is done.
    return f"{snapshot.done:,} of {snapshot.total:,} ({int(snapshot.fraction * 100)} %)"


def rate(per_second: float) -> str:
    """Write a rate so that slow ones can be read too."""
    if per_second >= 10:  # noqa: PLR2004 - from here on decimals are noise
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{per_second * 60:.1f}/min"


def duration(seconds: float) -> str:
    """Write seconds as people say them: "0.4 s", "12 s", "3:05 min", "2:03:09 h"."""
    if seconds < 9.95:  # noqa: PLR2004 - below ten seconds a tenth counts
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at the stream, and can be shown a line that changes."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN_WIDTH
    except (OSError, ValueError):
        return _UNKNOWN_WIDTH
