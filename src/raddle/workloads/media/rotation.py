"""How players shall turn a picture that the camera stored on its side: MP4's track matrix, Matroska's projection.

Read from the structure itself: libav tells it only with a decoded frame, which costs more than all the rest of a probe.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UPRIGHT", "Turn", "pose_of", "turns"]

#: what a hostile file can make us read at most
_MOST_ELEMENTS: Final = 10_000
_MOST_BYTES: Final = 4_000_000
_MOST_PLACES: Final = 8
_LARGE: Final = 1  # a box's size that says: see the 64 bits behind the name
#: Matroska's names (RFC 9559)
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_ID: Final = 0x53AB
_SEEK_POSITION: Final = 0x53AC
_ENTRY: Final = 0xAE
_TYPE: Final = 0x83
_VIDEO: Final = 0xE0
_PROJECTION: Final = 0x7670
_PROJECTION_TYPE: Final = 0x7671
_POSE: Final = {0x7673: "yaw", 0x7674: "pitch", 0x7675: "roll"}
_Matrix = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """Degrees counter-clockwise from -179 to 180, as ffprobe tells them; `mirrored` before that."""

    rotation: int = 0
    mirrored: bool = False


UPRIGHT: Final = Turn()


def turns(descriptor: int, size: int, container: str) -> dict[int, Turn]:
    """Return the turned pictures of a file, by the track's ID (MP4, MOV) or by its place among the video tracks (MKV).

    Args:
        descriptor: of the open file
        size: of the file in bytes
        container: as `MediaFile.container`
    """
    try:
        if container in {"mp4", "mov"}:
            return {track: turn for track, turn in _boxed(descriptor, size) if turn != UPRIGHT}
        if container in {"mkv", "webm"}:
            found = enumerate(_projected(descriptor, size))
            return {place: turn for place, turn in found if turn != UPRIGHT}
    except (struct.error, IndexError):  # damaged here: the health check tells, verify compares
        return {}
    return {}


def pose_of(turn: Turn) -> tuple[int, int]:
    """Return yaw and roll of Matroska's projection, in degrees."""
    return (180, _normal(turn.rotation + 180)) if turn.mirrored else (0, turn.rotation)


def _normal(degrees: float) -> int:
    within = round(degrees) % 360
    return within if within <= 180 else within - 360  # noqa: PLR2004 - half a turn


def _turned(matrix: _Matrix) -> Turn:
    a, b, c, d = matrix
    wide, high = math.hypot(a, c), math.hypot(b, d)
    if not wide or not high:
        return UPRIGHT
    return Turn(_normal(-math.degrees(math.atan2(b / high, a / wide))), a * d < b * c)


# ------------------------------------------------------------------------------------------ MP4 (ISO 14496-12)


def _boxed(descriptor: int, size: int) -> Iterator[tuple[int, Turn]]:
    for name, start, end in _boxes(descriptor, 0, size):
        if name != b"moov":
            continue
        whole: _Matrix = (1 << 16, 0, 0, 1 << 16)
        for inner, first, last in _boxes(descriptor, start, end):
            if inner == b"mvhd":
                whole = _matrix(_read(descriptor, first, last), 36)
            elif inner == b"trak":
                for leaf, at, to in _boxes(descriptor, first, last):
                    if leaf == b"tkhd":
                        yield _track(_read(descriptor, at, to), whole)
        return


def _boxes(descriptor: int, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
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


def _read(descriptor: int, start: int, end: int) -> bytes:
    return os.pread(descriptor, min(end - start, _MOST_BYTES), start)


def _matrix(box: bytes, at: int) -> _Matrix:
    """Return the upper left of a matrix; `at` is where it begins in the older form, whose times have 32 bits."""
    at += 12 if box[0] == 1 else 0
    a, b, _, c, d = struct.unpack_from(">5i", box, at)
    return a, b, c, d


def _track(box: bytes, whole: _Matrix) -> tuple[int, Turn]:
    (track,) = struct.unpack_from(">I", box, 20 if box[0] == 1 else 12)
    a, b, c, d = _matrix(box, 40)
    e, f, g, h = whole
    return track, _turned((a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h))


# ------------------------------------------------------------------------------------------ Matroska (RFC 8794, 9559)


def _projected(descriptor: int, size: int) -> Iterator[Turn]:
    """Give the turns of the video tracks, in their order."""
    for name, content in _level_one(descriptor, size):
        if name == _TRACKS:
            yield from _entries(content)
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
            content = os.pread(descriptor, min(length, _MOST_BYTES), at + used)
            if name == _SEEK_HEAD and len(met) < _MOST_PLACES:
                new = [base + place for place in _places(content) if base + place not in met][:_MOST_PLACES]
                elsewhere += new
                met |= set(new)
            yield name, content
        at += used + length


def _places(seek_head: bytes) -> Iterator[int]:
    for name, entry in _elements(seek_head):
        inner = dict(_elements(entry)) if name == _SEEK else {}
        if int.from_bytes(inner.get(_SEEK_ID, b""), "big") in {_TRACKS, _SEEK_HEAD}:
            yield int.from_bytes(inner.get(_SEEK_POSITION, b""), "big")


def _entries(tracks: bytes) -> Iterator[Turn]:
    for name, entry in _elements(tracks):
        if name == _ENTRY:
            inner = dict(_elements(entry))
            if inner.get(_TYPE) == b"\x01":
                yield _pose(dict(_elements(dict(_elements(inner.get(_VIDEO, b""))).get(_PROJECTION, b""))))


def _pose(said: dict[int, bytes]) -> Turn:
    yaw, pitch, roll = (_float(said.get(name, b"")) for name in _POSE)
    flat = not any(said.get(_PROJECTION_TYPE, b"")) and not pitch
    if not flat or abs(yaw) not in {0, 180}:
        return UPRIGHT  # a sphere, or one that libav does not turn either
    return Turn(_normal(roll - 180), mirrored=True) if yaw else Turn(_normal(roll))


def _float(data: bytes) -> float:
    value = {4: ">f", 8: ">d"}.get(len(data))
    number = float(struct.unpack(value, data)[0]) if value else 0.0
    return number if math.isfinite(number) else 0.0


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
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
