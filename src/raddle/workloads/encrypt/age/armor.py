"""ASCII armor: an age file as PEM text, read strictly so that one file has one text.

Sources: c2sp.org/age, "ASCII armor"; RFC 7468, section 3, figure 3. White space before and after is allowed, up to
1024 bytes each; lines end with LF, or all with CRLF.
"""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

from raddle.workloads.encrypt.age.errors import Damaged
from raddle.workloads.encrypt.age.feed import write_all

if TYPE_CHECKING:
    from raddle.workloads.encrypt.age.feed import Feed, Writer

__all__ = ["ArmorReader", "ArmorWriter", "armored"]

_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_END = b"-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_LINE = 48
_BLANK = b" \t\r\n"
_MAX_BLANK = 1024
#: text decoded at a time, and bytes encoded at a time: they stay in a core's cache
_BLOCK = 1 << 15
_PAGE = _LINE * 256
_CUT = struct.Struct(f"{_COLUMNS}s" * 256)


def armored(feed: Feed) -> bool:
    """Whether the stream begins like armor; binary age files begin with a letter."""
    return feed.peek(1) in {b"-", b" ", b"\t", b"\r", b"\n"}


class ArmorReader:
    """A stream of the bytes inside an armor.

    Raises:
        Damaged: anything but canonical armor, as soon as it is met
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._text = bytearray()
        self._plain = memoryview(b"")
        self._ended = False
        self._eol = self._begin()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a part of the buffer; 0 at the end."""
        while not self._plain and not self._ended:
            self._plain = memoryview(self._decode())
        size = min(len(self._plain), len(buffer))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def _begin(self) -> bytes:
        look = self._feed.peek(_MAX_BLANK + len(_BEGIN) + 2)
        start = len(look) - len(look.lstrip(_BLANK))
        line = look[start:]
        eol = b"\r\n" if line[len(_BEGIN) :].startswith(b"\r") else b"\n"
        if start > _MAX_BLANK or not line.startswith(_BEGIN + eol):
            raise Damaged
        self._feed.into(memoryview(bytearray(start + len(_BEGIN) + len(eol))))
        return eol

    def _decode(self) -> bytes:
        """Return the bytes of all whole lines at hand but the last, which may be the one with padding."""
        had = len(self._text)
        self._text += bytes(_BLOCK)
        got = self._feed.into(memoryview(self._text)[had:])
        del self._text[had + got :]
        width = _COLUMNS + len(self._eol)
        mark = self._text.find(b"-")  # no letter of base64
        body = len(self._text) if mark < 0 else mark
        lines = max(0, (body - 1) // width)
        plain = self._lines(self._text[: lines * width], lines)
        del self._text[: lines * width]
        if mark >= 0 or got < _BLOCK:
            plain += self._tail()
            self._ended = True
        return plain

    def _lines(self, lines: bytearray, count: int) -> bytes:
        """Decode `count` full lines; they hold no padding."""
        for place, code in enumerate(self._eol, start=_COLUMNS):
            if lines[place :: _COLUMNS + len(self._eol)] != bytes([code]) * count:
                raise Damaged
        joined = lines.replace(self._eol, b"")
        if len(joined) != count * _COLUMNS or b"=" in joined:
            raise Damaged
        return _base64(joined)

    def _tail(self) -> bytes:
        """Decode the last line, check the end line, and that nothing but white space follows."""
        room = memoryview(bytearray(2 * _MAX_BLANK))  # more than a good tail can take
        tail = bytes(self._text) + bytes(room[: self._feed.into(room)])
        last, mark, rest = tail.partition(_END)
        after = rest.removeprefix(self._eol)
        if not mark or after.strip(_BLANK) or len(after) > _MAX_BLANK or (after and after == rest):
            raise Damaged
        if not last:
            return b""
        line = last.removesuffix(self._eol)
        if line == last or not 0 < len(line) <= _COLUMNS:
            raise Damaged
        data = _base64(line)
        if binascii.b2a_base64(data, newline=False) != line:
            raise Damaged
        return data


class ArmorWriter:
    """Writes bytes as armor; `finish` writes the last line and the end."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._rest = b""
        write_all(writer, _BEGIN + b"\n")

    def write(self, data: memoryview, /) -> int:
        """Take all of the data."""
        pages, at = [], 0
        while len(self._rest) + len(data) - at >= _PAGE:
            end = at + _PAGE - len(self._rest)
            pages.append(_lines(self._rest + data[at:end]))
            self._rest, at = b"", end
        self._rest += data[at:]
        write_all(self._writer, b"".join(pages))
        return len(data)

    def finish(self) -> None:
        """Write what is left and the end line."""
        write_all(self._writer, _lines(self._rest) + _END + b"\n")


def _lines(data: bytes) -> bytes:
    """Return whole lines of text; unpack cuts a page into lines in C, six times as fast as slices."""
    flat = binascii.b2a_base64(data, newline=False)
    if len(data) == _PAGE:
        return b"\n".join([*_CUT.unpack(flat), b""])
    return b"\n".join([*(flat[at : at + _COLUMNS] for at in range(0, len(flat), _COLUMNS)), b""])


def _base64(text: bytes | bytearray) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Damaged from error
