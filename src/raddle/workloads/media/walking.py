"""Walking through the structures of MP4 (ISO 14496-12) and Matroska (RFC 8794, 9559), on the bytes themselves.

Bounded: a hostile file makes us read a few megabytes at most.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["boxes", "content", "elements", "video_tracks"]

#: what a hostile file can make us read at most
_MOST_ELEMENTS: Final = 10_000
_MOST_BYTES: Final = 4_000_000
_MOST_PLACES: Final = 8
_LARGE: Final = 1  # a box's size that says: see the 64 bits behind the name
#: Matroska's names
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_ID: Final = 0x53AB
_SEEK_POSITION: Final = 0x53AC
_ENTRY: Final = 0xAE
_TYPE: Final = 0x83


def boxes(descriptor: int, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give name, start and end of what each box holds."""
    for _ in range(_MOST_ELEMENTS):
        head = os.pread(descriptor, 16, at)
        if at + 8 > end or len(head) < 8:  # noqa: PLR2004 - size and name
            return
        length, used = int.from_bytes(head[:4], "big"), 8
        if length == _LARGE:
            length, used = int.from_bytes(head[8:16], "big"), 16
        stop = at + length if length else end
        if stop < at + used:
            return
        yield head[4:8], at + used, min(stop, end)
        at = stop


def content(descriptor: int, start: int, end: int) -> bytes:
    """Return what a box holds."""
    return os.pread(descriptor, min(end - start, _MOST_BYTES), start)


def video_tracks(descriptor: int, size: int) -> Iterator[bytes]:
    """Give what the entries of a Matroska file's video tracks hold, in their order."""
    for name, inside in _level_one(descriptor, size):
        if name == _TRACKS:
            for kind, entry in elements(inside):
                if kind == _ENTRY and dict(elements(entry)).get(_TYPE) == b"\x01":
                    yield entry
            return


def _level_one(descriptor: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Give what stands before the first cluster, then what a table of contents says stands elsewhere.

    mkvpropedit, whose tracks no longer fit where they were, moves them behind the clusters.
    """
    at = base = 0
    elsewhere: list[int] = []
    met: set[int] = set()
    for _ in range(_MOST_ELEMENTS):
        name, length, used = _element(os.pread(descriptor, 12, at), 0)
        if not used or name == _CLUSTER or at >= size:
            if not elsewhere:
                return
            at = elsewhere.pop()
            continue
        if name == _SEGMENT:
            base = at + used
            at = base
            continue
        if name in {_TRACKS, _SEEK_HEAD}:
            inside = os.pread(descriptor, min(length, _MOST_BYTES), at + used)
            if name == _SEEK_HEAD and len(met) < _MOST_PLACES:
                new = [base + place for place in _places(inside) if base + place not in met][:_MOST_PLACES]
                elsewhere += new
                met |= set(new)
            yield name, inside
        at += used + length


def _places(seek_head: bytes) -> Iterator[int]:
    for name, entry in elements(seek_head):
        inner = dict(elements(entry)) if name == _SEEK else {}
        if int.from_bytes(inner.get(_SEEK_ID, b""), "big") in {_TRACKS, _SEEK_HEAD}:
            yield int.from_bytes(inner.get(_SEEK_POSITION, b""), "big")


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give name and content of each Matroska element in these bytes."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        name, length, used = _element(data, at)
        if not used:
            return
        yield name, data[at + used : at + used + length]
        at += used + length


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return name, length of the content and length of the head of an element; the last is 0 where there is none."""
    first = _width(data, at)
    second = _width(data, at + first) if first else 0
    if not second or len(data) < at + first + second:
        return 0, 0, 0
    name = int.from_bytes(data[at : at + first], "big")
    length = int.from_bytes(data[at + first : at + first + second], "big") & ((1 << 7 * second) - 1)
    return name, length, first + second


def _width(data: bytes, at: int) -> int:
    return 9 - data[at].bit_length() if at < len(data) and data[at] else 0
