"""Where items come in: pulled only when asked for, and named, keyed and looked up on the way.

A source may block (a pipe, a cursor, a queue), so it is read in a thread of its own, and the driver goes on serving
results and deadlines meanwhile. Rejected: reading in the driver, which a blocking source would stop; reading in the
consumer's thread, which leaves workers idle while the consumer is busy.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import chain, islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from raddle._events import Event, Pulled, SourceEnded, SourceReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from raddle._engine.sorter import Sorter
    from raddle._ports import Known

__all__ = ["Intake", "Source"]


#: a burst of reads takes about this many seconds, and at most this many items
_BURST_SECONDS = 0.002
_BURST_ITEMS = 8192
#: seconds for a thread that has nothing to do but end; the source's own `close` may take its time
_PATIENCE = 1.0
_END = object()


class Source:
    """An iterable, read ahead no further than it was let.

    The reading thread appends straight to the buffer, in bursts that run at C speed. Their size follows the pace of
    the source: a slow one is told of item by item. A burst that blocks half-way shows in `reading`; the driver then
    looks in from time to time.
    """

    def __init__(self, items: Iterable[Any], tell: Callable[[Event], None], *, threaded: bool) -> None:
        self._iterator = iter(items)
        self._to_the_end = chain(self._iterator, self._mark_the_end())
        self._tell = tell
        self.threaded = threaded
        self.reading = False
        self._permits: SimpleQueue[int | None] = SimpleQueue()
        self._let = 0
        self._burst = 1
        self._buffer: deque[Any] = deque()
        self._told = False
        self._exhausted = False
        self._error: SourceEnded | None = None
        self._idle = False
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._feed, name="raddle-source", daemon=True)
            self._thread.start()

    def let(self, count: int) -> None:
        """Allow this many items more."""
        if self.threaded:
            self._permits.put(count)
        else:
            self._let += count
            self._tell(SourceReady())

    def collect(self) -> tuple[list[Any], SourceEnded | None]:
        """Return what has come since the last call, and whether that was the end."""
        if not self.threaded:
            let, self._let = self._let, 0
            self._read(let)
        # The order matters. `_told` first: an item that comes after it is told of again. `_error` before the items:
        # once it is set, no more can come.
        self._told = False
        ended = self._error
        buffer = self._buffer
        items = [buffer.popleft() for _ in range(len(buffer))]
        if items and items[-1] is _END:
            items.pop()
            ended = SourceEnded()
        return items, ended

    def close(self) -> None:
        """Read no more. A read that blocks is left alone: its thread never holds up the end of the program.

        One that does not is waited for: with its thread gone, the next run may fork.
        """
        idle = self._idle
        self._permits.put(None)
        if self._thread is None:
            self._finish()
        elif idle:
            self._thread.join(_PATIENCE)

    def _mark_the_end(self) -> Iterator[object]:
        self._exhausted = True
        yield _END

    def _feed(self) -> None:
        while (count := self._next()) is not None:
            self._read(count)
        self._finish()

    def _next(self) -> int | None:
        self._idle = True
        count = self._permits.get()
        self._idle = False
        return count

    def _read(self, count: int) -> None:
        try:
            while count > 0 and not self._exhausted and self._error is None:
                burst = min(count, self._burst)
                began = time.monotonic()
                self.reading = burst > 1
                self._buffer.extend(islice(self._to_the_end, burst))
                self.reading = False
                fast = time.monotonic() - began < _BURST_SECONDS
                self._burst = min(2 * self._burst, _BURST_ITEMS) if fast else max(1, self._burst // 4)
                count -= burst
                self._ring()
        except BaseException as error:
            self.reading = False
            if not self.threaded and not isinstance(error, Exception):
                raise  # a Ctrl-C in the caller's own thread is the caller's
            self._error = SourceEnded(error)
            self._ring()

    def _ring(self) -> None:
        if not self._told:
            self._told = True
            self._tell(SourceReady())

    def _finish(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


class Intake:
    """Gives each item its key, priority, id and class, and asks the journal what it knows of it."""

    def __init__(
        self,
        source: Source,
        *,
        key: Callable[[Any], Any] | None = None,
        priority: Callable[[Any], Any] | None = None,
        cost: Callable[[Any], float] | None = None,
        identify: Callable[[Sequence[Any]], list[bytes]] | None = None,
        known: Callable[[Sequence[bytes]], Mapping[int, Known]] | None = None,
        sorter: Sorter | None = None,
    ) -> None:
        self.source = source
        self._key = key
        self._priority = priority
        self._cost = cost
        self._identify = identify
        self._known = known
        self._sorter = sorter
        self._measure: Any = None
        self._broken = False

    def collect(self, *, stopping: bool = False) -> list[Pulled | SourceEnded]:
        """Return what the machine is to hear; `stopping`: nothing of what it has not heard will run."""
        items, ended = self.source.collect()
        heard: list[Pulled | SourceEnded] = []
        if self._broken:
            items, ended = [], None  # what comes behind items that were not taken would be given their positions
        if items:
            try:
                heard.append(self._pulled(items))
            except Exception as error:  # noqa: BLE001 - key, id and priority are the caller's code, as the source is
                ended, self._broken = SourceEnded(error), True
        if ended is not None:
            heard.append(ended)
        if self._sorter is None:
            return heard
        if stopping:
            self._sorter.idle = True
        for each in heard:
            self._sorter.put(each)
        return self._sorter.collect()

    def close(self) -> None:
        """Read no more, ask no more."""
        try:
            self.source.close()
        finally:
            if self._sorter is not None:
                self._sorter.close()

    def _pulled(self, items: list[Any]) -> Pulled:
        key, priority, cost, identify = self._key, self._priority, self._cost, self._identify
        keys = None if key is None else [key(item) for item in items]
        if keys is not None:
            set(keys)  # raises TypeError here, with the type's name, if a key cannot be hashed
        priorities = None if priority is None else [priority(item) for item in items]
        if priorities is not None:
            # Compared here, for the same reason. Each with one of them: who compares with nothing else compares with
            # all of its kind.
            self._measure = priorities[0] if self._measure is None else self._measure
            sum(each < self._measure for each in priorities)
        costs = None if cost is None else [cost(item) for item in items]
        if identify is None:
            return Pulled(items, keys, priorities, costs=costs)
        ids = identify(items)
        known = {} if self._known is None else self._known(ids)
        return Pulled(
            items,
            keys,
            priorities,
            ids,
            {offset: entry.outcome for offset, entry in known.items() if entry.outcome is not None},
            {offset: entry.interruptions for offset, entry in known.items() if entry.outcome is None},
            costs,
        )
