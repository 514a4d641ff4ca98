"""One line that tells how a run stands: painted over itself on a terminal, now and then a new one elsewhere."""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from raddle.workloads.media.batch.results import printable, size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import raddle
    from raddle.workloads.media.batch.results import Result

__all__ = ["Watch", "describe", "length_text"]

#: seconds between two lines
_PAINT, _PLAIN = 0.2, 5.0
_WIDTH: Final = 80
_MINUTE, _SECONDS_WITH_TENTHS, _TEN = 60, 9.95, 10


class Watch:
    """Keeps the line up to date, in a thread of its own; `say` and `beside` let others write meanwhile.

    Args:
        stream: where to, standard error
        view: "line", "compact", or "none": only what is said is written
        total: files
        active: how many are worked on now
        in_place: paint over the line; default: if the stream is a terminal
        every: seconds between two lines; default: 0.2 in place, else 5
        saving: tell the bytes saved
    """

    def __init__(
        self,
        stream: TextIO,
        view: str,
        total: int,
        active: Callable[[], int],
        *,
        in_place: bool | None = None,
        every: float | None = None,
        saving: bool = True,
    ) -> None:
        self._stream, self._view, self._total, self._active = stream, view, total, active
        self._in_place = is_terminal(stream) if in_place is None else in_place
        self._every = every or (_PAINT if self._in_place else _PLAIN)
        self._counts: Counter[str] = Counter()
        self._saved = 0
        self._saving = saving
        self._lock = threading.RLock()  # a signal handler may say something while the main thread does
        self._over = threading.Event()
        self._run: raddle.Run | None = None
        self._thread = threading.Thread(target=self._repeat, name="raddle-media-line", daemon=True)

    def __enter__(self) -> Self:
        if self._view != "none":
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last line."""
        if self._view != "none":
            self._over.set()
            self._thread.join()
            with self._lock:
                self._write(f"{self._clear()}{self._text(ended=True)}\n")

    def follow(self, run: raddle.Run) -> None:
        """Take speed and time left from this run."""
        self._run = run

    def add(self, result: Result) -> None:
        """Count a file."""
        self.count(result.status, result.saved)

    def count(self, status: str, saved: int = 0) -> None:
        """Count a file that ended so."""
        with self._lock:
            self._counts[status] += 1
            self._saved += saved

    def say(self, line: str) -> None:
        """Write a line of its own."""
        with self._lock:
            self._write(f"{self._clear()}{line}\n")

    def beside(self, write: Callable[[], Any]) -> None:
        """Let somebody write to the terminal, who finds an empty line there."""
        with self._lock:
            if self._in_place and self._view != "none":
                self._write(self._clear())
            write()

    def _repeat(self) -> None:
        while not self._over.wait(self._every):
            with self._lock:
                text = self._text(ended=False)
                if self._in_place:
                    text = text[: _width(self._stream) - 1]  # a wrapped line cannot be painted over
                self._write(f"{self._clear()}{text}" if self._in_place else f"{text}\n")

    def _text(self, *, ended: bool) -> str:
        seen = self._run.snapshot() if self._run is not None else None
        return describe(
            self._view,
            self._counts,
            total=self._total,
            active=0 if ended else self._active(),
            rate=seen.rate if seen is not None else None,
            eta=seen.eta if seen is not None and not ended else None,
            saved=self._saved if self._saving else None,
        )

    def _clear(self) -> str:
        return "\r\x1b[K" if self._in_place else ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody looks any more; the run goes on
            self._view = "none"
            self._over.set()


def describe(
    view: str,
    counts: Counter[str],
    *,
    total: int,
    active: int,
    rate: float | None,
    eta: float | None,
    saved: int | None,
) -> str:
    """Say how a run stands, in one line."""
    done, failed = sum(counts.values()), counts["failed"]
    if view == "compact":
        bad = f", {failed:,} failed" if failed else ""
        return f"Processing: {done:,}/{total:,} files [{active:,} active{bad}]"
    parts = [f"{done:,}/{total:,} files", f"{active:,} active", f"{failed:,} failed"]
    parts += [f"{counts[name]:,} {name}" for name in ("planned", "unchanged", "skipped", "cancelled") if counts[name]]
    if rate:
        parts.append(_rate(rate))
    if eta is not None:
        parts.append(f"{length_text(eta)} left")
    if saved is not None:
        parts.append(f"{size_text(saved)} saved" if saved >= 0 else f"{size_text(-saved)} more")
    return printable(" · ".join(parts))


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:,.0f} files/s" if per_second >= _TEN else f"{per_second:.1f} files/s"
    return f"{per_second * _MINUTE:.1f} files/min"


def length_text(seconds: float) -> str:
    """Write seconds as people say them: "0.4 s", "12 s", "3:05 min", "2:03:09 h"."""
    if seconds < _SECONDS_WITH_TENTHS:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at the stream, and can be shown a line that changes."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH
