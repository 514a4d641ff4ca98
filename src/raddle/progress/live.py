"""A live view of a run in the terminal: bar, figures, the last problems."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TextIO

from raddle._events import RunEnded, RunStarted, RunStopping
from raddle.progress._repeat import Repeat
from raddle.progress._text import one_line
from raddle.progress.line import Line, duration, is_terminal, rate
from raddle.progress.stats import Report, Snapshot, Stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.live import Live as RichLive

    from raddle._events import Observed
    from raddle._ports import Clock, Observer

__all__ = ["Live", "live"]

#: seconds between two paintings
_PAINT = 0.15
#: and at least this often
_LOOK = 0.5
#: items shown that say how far they are
_REPORTS = 3
#: columns of the bar
_SHORTEST, _LONGEST = 12, 32
_STYLES = {"cancelled": "yellow", "resumed": "cyan", "retried": "yellow", "workers lost": "yellow"}


def live(stream: TextIO, clock: Clock) -> Observer:
    """Return the live view, or the plain line if nobody looks at the stream or rich is not installed."""
    if not is_terminal(stream):
        return Line(stream, clock)
    try:
        from rich.console import Console
    except ImportError:
        return Line(stream, clock)
    return Live(Console(file=stream), clock)


class Live:
    """Observer that paints a small panel over itself: when events come, and by time through a thread of its own.

    The thread begins with the run, when its worker processes (or what forks them) are there already: a lock that it
    holds can not be copied into them.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._stats = Stats()
        self._live: RichLive | None = None
        self._painted = float("-inf")
        self._lock = threading.Lock()
        self._repeat: Repeat | None = None

    def __call__(self, event: Observed) -> None:
        """Take an event; paint if it is time to."""
        with self._lock:
            now = self._clock.now()
            self._stats.add(event, now)
            if isinstance(event, RunStarted):
                self._start()
            if isinstance(event, (RunStarted, RunStopping, RunEnded)) or now - self._painted >= _PAINT:
                self._paint(now)
            if isinstance(event, RunEnded):
                self._end()

    def tick(self) -> None:
        """Time has passed: paint if it is time to."""
        with self._lock:
            now = self._clock.now()
            if now - self._painted >= _LOOK:
                self._paint(now)

    def _start(self) -> None:
        from rich.live import Live as RichLive

        self._live = RichLive(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=False
        )
        self._live.start()
        self._repeat = Repeat(self.tick, _LOOK)

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._repeat is not None:
            self._repeat.stop()
            self._repeat = None

    def _paint(self, now: float) -> None:
        if self._live is not None:
            self._painted = now
            self._live.update(panel(self._stats.snapshot(now)), refresh=True)


def panel(snapshot: Snapshot) -> RenderableType:
    """Draw a snapshot."""
    from rich.console import Group
    from rich.text import Text

    rows: list[RenderableType] = [_Head(snapshot), _counts(snapshot)]
    if snapshot.stopping:
        word = "stopped" if snapshot.ended else "stopping"
        rows.append(Text(f"{word}: {snapshot.stopping}", style="yellow", no_wrap=True, overflow="ellipsis"))
    if snapshot.limit is not None and not snapshot.ended:
        why = one_line(f"limit {snapshot.limit}: {snapshot.limit_reason}")
        rows.append(Text(why, style="dim", no_wrap=True, overflow="ellipsis"))
    rows.extend(Text(_far(report), style="dim", no_wrap=True, overflow="ellipsis") for report in _shown(snapshot))
    # Text, never markup: an error message may hold anything.
    rows.extend(
        Text(one_line(problem), style="red", no_wrap=True, overflow="ellipsis") for problem in snapshot.problems
    )
    return Group(*rows)


class _Head:
    """Name, bar and figures: in one line where there is room, else below each other."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield lines for the width of the terminal."""
        from rich.table import Table
        from rich.text import Text

        room = options.max_width
        name = Text(one_line(self._snapshot.name or "raddle"), style="bold", no_wrap=True, overflow="ellipsis")
        figures = Text(f"{_amount(self._snapshot).strip()} ").append(_speed(self._snapshot), style="dim")
        beside = room - name.cell_len - figures.cell_len - 2
        line = Table.grid(padding=(0, 1))
        if beside >= _SHORTEST:
            line.add_row(name, _bar(self._snapshot, min(_LONGEST, beside)), figures)
            yield line
            return
        line.add_row(_bar(self._snapshot, min(_LONGEST, room)))
        if name.cell_len + figures.cell_len < room:
            yield name + Text(" ") + figures
        else:
            yield name
            yield figures
        yield line


def _bar(snapshot: Snapshot, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar

    return ProgressBar(
        total=max(1, snapshot.total) if snapshot.total is not None else None,
        completed=snapshot.done if snapshot.total else float(snapshot.ended),
        width=width,
        pulse=snapshot.total is None and not snapshot.ended,
        animation_time=snapshot.elapsed,
    )


def _shown(snapshot: Snapshot) -> tuple[Report, ...]:
    """Return the items that have been at it for the longest."""
    return () if snapshot.ended else snapshot.reports[:_REPORTS]


def _far(report: Report) -> str:
    return one_line(f"item {report.position} {report.label}: {int(report.percent)} %  {report.note}".rstrip())


def _counts(snapshot: Snapshot) -> RenderableType:
    from rich.text import Text

    line = Text(f"{snapshot.ok:,} ok", style="green")
    for count, word in snapshot.tallies:
        line.append(" · ", style="dim").append(f"{count:,} {word}", style=_STYLES.get(word, "red"))
    if not snapshot.ended:
        workers = f"{snapshot.running} of {snapshot.workers} workers busy ({snapshot.backend})"
        line.append(" · ", style="dim").append(workers, style="dim")
    return line


def _amount(snapshot: Snapshot) -> str:
    if snapshot.total is None or snapshot.fraction is None:
        return f"{snapshot.done:,}"
    return f"{int(snapshot.fraction * 100):3d} %  {snapshot.done:,}/{snapshot.total:,}"


def _speed(snapshot: Snapshot) -> str:
    speed = "" if snapshot.rate is None else rate(snapshot.rate)
    if snapshot.ended:
        return f"{speed} took {duration(snapshot.elapsed)}".strip()
    return speed if snapshot.eta is None else f"{speed} {duration(snapshot.eta)} left"
