"""A bounded pool of connections that can only read."""

from __future__ import annotations

import queue
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from raddle.errors import ConfigError, RaddleError
from raddle.workloads.weights.store.database import connect
from raddle.workloads.weights.store.history import read_history

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from raddle.workloads.weights.store.history import History

__all__ = ["ReadPool", "drain"]

_POOLS: weakref.WeakSet[ReadPool] = weakref.WeakSet()


class ReadPool:
    """At most so many connections, opened when they are needed; whoever comes when all are in use waits.

    A reader sees the state as of one commit, whatever the writer does meanwhile. Worker processes may have one of their
    own, as long as the state is open in their parent; a pool must not be carried over a fork.
    """

    def __init__(self, path: Path, *, size: int = 4) -> None:
        if size < 1:
            raise ConfigError(f"db_read_connections={size} is too small: give 1 or more")
        self.path = path.absolute()
        self._permits = threading.BoundedSemaphore(size)
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._open = 0
        #: the most connections that were open at once
        self.most = 0
        _POOLS.add(self)

    def history(self, users: Sequence[str]) -> History:
        """Return the earlier readings of these users; may be called from many threads."""
        with self.connection() as connection:
            return read_history(connection, users)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection."""
        with self._permits:
            if self._closed:
                raise RaddleError(f"state={self.path} is closed: open it again")
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._opened()
            try:
                yield connection
            finally:
                self._take_back(connection)

    def _opened(self) -> sqlite3.Connection:
        connection = connect(self.path, write=False)
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
        return connection

    def _take_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.put(connection)
                return
            self._open -= 1
        connection.close()

    def drain(self) -> None:
        """Close the connections that nobody uses; new ones are opened when they are needed."""
        with self._lock:
            while not self._idle.empty():
                self._idle.get_nowait().close()
                self._open -= 1

    def close(self) -> None:
        """Close what is idle; what is lent out is closed when it comes back."""
        self._closed = True
        self.drain()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def drain(path: Path) -> None:
    """Close what nobody uses in all pools of this process that read a state.

    An idle connection would keep the log from being folded away, and show the old file after it was replaced.
    """
    for pool in list(_POOLS):
        if pool.path == path.absolute():
            pool.drain()
