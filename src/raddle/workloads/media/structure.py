"""Whether a file is as long as its own structure says: a few bytes read, and a cut anywhere is seen.

Matroska says the size of its one segment (RFC 8794 and 9559), MP4 and MOV are a chain of boxes (ISO 14496-12), AVI a
chain of RIFF chunks; MPEG-TS is a row of packets of 188 or 192 bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["bytes_missing"]

_SEGMENT: Final = 0x18538067
_MAX_BOXES: Final = 100_000
_TS_PACKETS: Final = (188, 192, 204)
_TS_SYNC: Final = 0x47


def bytes_missing(descriptor: int, size: int, container: str) -> int:
    """Return how many bytes the file lacks by what its structure says; 0 if none, or if it does not say.

    Args:
        descriptor: of the open file
        size: of the file in bytes
        container: as `MediaFile.container`
    """
    look: Callable[[int, int], int] | None = {
        "mkv": _matroska,
        "webm": _matroska,
        "mp4": _boxes,
        "mov": _boxes,
        "avi": _riff,
        "ts": _transport,
    }.get(container)
    return max(0, look(descriptor, size)) if look else 0


def _matroska(descriptor: int, size: int) -> int:
    at = 0
    for _ in range(8):  # the EBML header, at most some Void elements, the segment
        head = os.pread(descriptor, 12, at)
        name, used = _number(head, keep_marker=True)
        length, more = _number(head[used:], keep_marker=False)
        if not used or not more:
            return 0
        unknown = length == (1 << 7 * more) - 1  # a live stream: ends where it ends
        if name == _SEGMENT:
            return 0 if unknown else at + used + more + length - size
        if unknown:
            return 0
        at += used + more + length
        if at >= size:
            return at - size + 1
    return 0


def _number(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """Return a variable-length number and its length in bytes; length 0: there is none."""
    if not data or not data[0]:
        return 0, 0
    length = 9 - data[0].bit_length()
    if len(data) < length:
        return 0, 0
    value = int.from_bytes(data[:length], "big")
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length


def _boxes(descriptor: int, size: int) -> int:
    at = 0
    for _ in range(_MAX_BOXES):
        head = os.pread(descriptor, 16, at)
        if not head:
            return at - size
        if len(head) < 8:  # noqa: PLR2004 - size and name
            # Some cameras end with a few zeros.
            return 0 if not any(head) else 8 - len(head)
        length = int.from_bytes(head[:4], "big")
        if length == 0:  # to the end of the file
            return 0
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # noqa: PLR2004 - not a box: padding, or damage that libav judges
            return 0
        at += length
        if at > size:
            return at - size
    return 0


def _riff(descriptor: int, size: int) -> int:
    """An AVI above 1 GB is a row of RIFF chunks."""
    at = 0
    for _ in range(_MAX_BOXES):
        head = os.pread(descriptor, 8, at)
        if len(head) < 8 or head[:4] != b"RIFF":  # noqa: PLR2004 - name and size
            return 0
        length = int.from_bytes(head[4:], "little")
        if length in {0, 0xFFFFFFFF}:  # never finished: the writer could not seek
            return 0
        at += 8 + length
        if at > size:
            return at - size
        at += at & 1
    return 0


def _transport(descriptor: int, size: int) -> int:
    head = os.pread(descriptor, 4 * max(_TS_PACKETS), 0)
    for packet in _TS_PACKETS:
        for lead in (0, 4):  # M2TS: 4 bytes of time before each packet
            marks = head[lead::packet][:3]
            if len(marks) == 3 and set(marks) == {_TS_SYNC}:  # noqa: PLR2004 - three in a row are no accident
                return (-size) % packet
    return 0
