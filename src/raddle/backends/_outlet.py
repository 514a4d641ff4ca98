"""The worker's end of its socket, for writing: whole frames, one after another, whichever thread they come from."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING

from raddle.backends._wire import IN_FRAME, REPORTED, RESULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import ReadableBuffer as Buffer

__all__ = ["REPORT", "Outlet"]

#: what comes before the note of a report: per cent
REPORT = struct.Struct("@d")
_NOTE = 1000


class Outlet:
    """Writes frames to the parent."""

    __slots__ = ("_later", "_lock", "_pid", "_sending", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pid = os.getpid()
        # Re-entrant, with a flag: a signal handler of the user's may log while its own thread is in the middle of a
        # frame. That must neither wait for itself nor write in between.
        self._lock = threading.RLock()
        self._sending = False
        self._later: deque[tuple[int, int, int, int, list[bytes]]] = deque()

    @property
    def mine(self) -> bool:
        """Whether this process may write: a process that the function forked has the socket too, but no part in it."""
        return os.getpid() == self._pid

    def send(self, kind: int, number: int, count: int, buffers: Sequence[Buffer], where: int = IN_FRAME) -> None:
        """Send a frame, waiting for the parent where it must."""
        with self._lock:
            if self._sending:
                self._later.append((kind, number, count, where, [bytes(buffer) for buffer in buffers]))
                return
            self._sending = True
            try:
                self._put(kind, number, count, where, buffers)
                while self._later:
                    self._put(*self._later.popleft())
            finally:
                self._sending = False

    def report(self, number: int, offset: int, percent: float, note: str) -> None:
        """Send how far an item is. Never waits: where there is no room, it is left out."""
        if not self.mine or not self._lock.acquire(blocking=False):
            return
        try:
            if self._sending:
                return
            text = str(note)[:_NOTE].encode("utf-8", "backslashreplace")
            body = REPORT.pack(percent) + text
            frame = RESULT.pack(REPORTED, number, offset, IN_FRAME, len(body)) + body
            try:
                sent = self._sock.send(frame, socket.MSG_DONTWAIT)
            except OSError:  # no room; or the parent is gone, which the next result finds out
                return
            if sent < len(frame):
                self._sock.sendall(frame[sent:])
        finally:
            self._lock.release()

    def _put(self, kind: int, number: int, count: int, where: int, buffers: Sequence[Buffer]) -> None:
        views: list[memoryview] = [memoryview(buffer).cast("B") for buffer in buffers]
        size = sum(map(len, views))
        parts: list[bytes | memoryview] = [RESULT.pack(kind, number, count, where, size), *views]
        sent = self._sock.sendmsg(parts)
        if sent < RESULT.size + size:  # a signal of the user's own came between
            self._sock.sendall(b"".join(parts)[sent:])
