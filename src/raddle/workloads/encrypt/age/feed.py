"""Bytes of a stream in order: lines first, then blocks that fill the caller's buffer."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Feed", "Reader", "Writer", "write_all"]

#: bytes that a look at the beginning takes from a stream at a time
_LOOK = 4096


class Reader(Protocol):
    """What is read from: a file, a pipe, standard input, io.BytesIO."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a part of the buffer; 0 means that nothing will follow."""


class Writer(Protocol):
    """What is written to; it may take less than it is offered, as raw files do."""

    def write(self, data: memoryview, /) -> int | None:
        """Return how many bytes were taken; None for all."""


class Feed:
    """Reads a stream to its end, whatever sizes the stream delivers its bytes in."""

    __slots__ = ("_ahead", "_ended", "_stream")

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._ahead = bytearray()
        self._ended = False

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes without taking them; fewer only at the end."""
        while len(self._ahead) < size and self._more():
            pass
        return bytes(self._ahead[:size])

    def line(self, limit: int) -> bytes | None:
        """Take one line without its line feed; None if none ends within `limit` bytes."""
        seen = 0
        while (end := self._ahead.find(b"\n", seen, limit)) < 0:
            seen = len(self._ahead)
            if seen >= limit or not self._more():
                return None
        line = bytes(self._ahead[:end])
        del self._ahead[: end + 1]
        return line

    def into(self, view: memoryview) -> int:
        """Fill the view and return its length; less only at the end of the stream."""
        done = min(len(self._ahead), len(view))
        view[:done] = self._ahead[:done]
        del self._ahead[:done]
        while done < len(view) and not self._ended:
            done += self._read(view[done:])
        return done

    def _more(self) -> bool:
        room = bytearray(_LOOK)
        got = 0 if self._ended else self._read(memoryview(room))
        self._ahead += room[:got]
        return got > 0

    def _read(self, view: memoryview) -> int:
        got = self._stream.readinto(view)
        if got is None:
            raise BlockingIOError("the stream is in non-blocking mode: os.set_blocking(fd, True)")
        self._ended = got == 0
        return got


def write_all(writer: Writer, data: bytes | bytearray | memoryview) -> None:
    """Write everything, however little the writer takes at a time."""
    view = memoryview(data)
    while view:
        taken = writer.write(view)
        view = view[len(view) if taken is None else taken :]
