"""Where items get the class that they need a permit of, in a thread of its own: asking may be slow.

Rejected: the driver's thread, which has deadlines to keep meanwhile; the source's thread, which has not heard yet what
the journal knows (only the driver may ask it, and an item that is not run is not asked about), and which may be in the
middle of a read that blocks, or be the caller's event loop.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from raddle._events import Event, Pulled, SourceEnded, SourceReady
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["Sorter"]

#: seconds that `close` waits for the call under way
_PATIENCE = 1.0
#: in place of an item that will not run, for what the journal knows
_ENDS = object()


class Sorter:
    """Asks for the class of each item that will run, once and in input order; what ends the source stays behind them.

    Args:
        permit: returns the class of an item
        classes: the names that it may return, besides None
        tell: hears that something is there to collect
        give_up: after so many attempts that the program did not survive, an item is not run
        threaded: False: ask in the thread that collects
    """

    def __init__(
        self,
        permit: Callable[[Any], str | None],
        classes: Collection[str],
        tell: Callable[[Event], None],
        *,
        give_up: int,
        threaded: bool,
    ) -> None:
        self._permit = permit
        self._classes = classes
        self._tell = tell
        self._give_up = give_up
        #: from now on nothing that comes will run, so nobody is asked
        self.idle = False
        self._todo: SimpleQueue[list[Any] | None] = SimpleQueue()
        # One for each item that was asked about, in order; and the error after the last of them.
        self._answers: deque[str | None] = deque()
        self._error: SourceEnded | None = None
        self._told = False
        # The driver's: what waits for answers, and how much of the first has them.
        self._pending: deque[Pulled | SourceEnded] = deque()
        self._heard = 0
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._go_on, name="raddle-permit", daemon=True)
            self._thread.start()

    def put(self, heard: Pulled | SourceEnded) -> None:
        """Take in what the machine is to hear."""
        self._pending.append(heard)
        if isinstance(heard, Pulled):
            items = heard.items.copy()
            ends = [offset for offset, times in heard.interruptions.items() if times >= self._give_up]
            for offset in (*heard.resumed, *ends):
                items[offset] = _ENDS
            if self._thread is None:
                self._ask(items)
            else:
                self._todo.put(items)

    def collect(self) -> list[Pulled | SourceEnded]:
        """Return what it may hear now, in order."""
        # The order matters, as in `Source`: what comes after `_told` is told of again, and nothing after `_error`.
        self._told = False
        ended = self._error
        ready = len(self._answers)
        heard: list[Pulled | SourceEnded] = []
        while self._pending:
            first = self._pending[0]
            if isinstance(first, Pulled):
                count = min(ready, len(first.items) - self._heard)
                if count:
                    heard.append(_part(first, self._heard, [self._answers.popleft() for _ in range(count)]))
                ready -= count
                self._heard += count
                if self._heard < len(first.items):
                    break
            else:
                heard.append(first)
            self._pending.popleft()
            self._heard = 0
        if ended is not None:
            self._pending.clear()
            heard.append(ended)
        return heard

    def close(self) -> None:
        """Ask no more. A call that does not end is left alone, as the thread never holds up the end of the program."""
        self.idle = True
        self._todo.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _go_on(self) -> None:
        while (items := self._todo.get()) is not None:
            self._ask(items)

    def _ask(self, items: list[Any]) -> None:
        if self._error is not None:
            return
        try:
            for item in items:
                self._answers.append(None if self.idle or item is _ENDS else self._class_of(item))
                self._ring()
        except BaseException as error:
            if self._thread is None and not isinstance(error, Exception):
                raise  # a Ctrl-C in the caller's own thread is the caller's
            self._error = SourceEnded(error)
            self._ring()

    def _class_of(self, item: Any) -> str | None:
        name = self._permit(item)
        if name is not None and name not in self._classes:
            known = ", ".join(map(repr, self._classes))
            raise ConfigError(f"permit={name!r} for item {item!r}: permits= has {known}; add it there, or return None")
        return name

    def _ring(self) -> None:
        if self._thread is not None and not self._told:
            self._told = True
            self._tell(SourceReady())


def _part(pulled: Pulled, first: int, classes: list[str | None]) -> Pulled:
    """Cut out the items from `first` on that have their class."""
    if not first and len(classes) == len(pulled.items):
        return pulled._replace(classes=classes)
    end = first + len(classes)
    offsets = range(first, end)
    return Pulled(
        pulled.items[first:end],
        pulled.keys and pulled.keys[first:end],
        pulled.priorities and pulled.priorities[first:end],
        pulled.ids and pulled.ids[first:end],
        {offset - first: pulled.resumed[offset] for offset in offsets if offset in pulled.resumed},
        {offset - first: pulled.interruptions[offset] for offset in offsets if offset in pulled.interruptions},
        pulled.costs and pulled.costs[first:end],
        classes,
    )
