"""What libav complains about while it works for this thread, without a trace of it in others.

Its log is one for the whole process: a level, a callback, and a memory of the last message by which PyAV drops
repetitions, also those of another thread. While at least one `complaints` is open the level is "error" and nothing is
dropped; PyAV sorts messages by the thread they come from. So only work whose messages come from the calling thread may
be watched: demuxing, and opening. Decoders have threads of their own.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Complaints", "complaints"]

_MOST: Final = 20
_lock = threading.Lock()
_open = 0
_before: tuple[int | None, bool] = (None, True)

# Messages of threads that watch nothing go to Python's logging meanwhile; without this they would be printed.
logging.getLogger("libav").addHandler(logging.NullHandler())


class Complaints:
    """Messages of level error and worse, each once with its count, at most some kinds of them."""

    def __init__(self) -> None:
        self._raw: list[tuple[int, str, str]] = []
        self._counts: dict[str, int] = {}
        self._more = 0

    def take(self) -> None:
        """Count what has been said since; call it now and then, so that a hostile file cannot fill the memory."""
        for _level, name, text in self._raw:
            line = f"{name}: {text.strip()}" if name else text.strip()
            if line in self._counts or len(self._counts) < _MOST:
                self._counts[line] = self._counts.get(line, 0) + 1
            else:
                self._more += 1
        self._raw.clear()

    def lines(self) -> list[str]:
        """Return the messages in order of first appearance."""
        self.take()
        lines = [f"{line} ({count} times)" if count > 1 else line for line, count in self._counts.items()]
        return [*lines, f"and {self._more} more messages"] if self._more else lines


@contextmanager
def complaints() -> Iterator[Complaints]:
    """Collect what libav complains about in this thread."""
    import av.logging

    said = Complaints()
    _switch_on()
    try:
        with av.logging.Capture(local=True) as raw:
            said._raw = raw  # noqa: SLF001 - the list is PyAV's
            yield said
            said.take()
    finally:
        _switch_off()


def _switch_on() -> None:
    global _open, _before  # noqa: PLW0603 - the level is the process's
    import av.logging

    with _lock:
        if _open == 0:
            _before = (av.logging.get_level(), av.logging.get_skip_repeated())
            av.logging.set_skip_repeated(v=False)
            av.logging.set_level(av.logging.ERROR)
        _open += 1


def _switch_off() -> None:
    global _open  # noqa: PLW0603 - as above
    import av.logging

    with _lock:
        _open -= 1
        if _open == 0:
            level, skip = _before
            av.logging.set_level(level)
            av.logging.set_skip_repeated(v=skip)
