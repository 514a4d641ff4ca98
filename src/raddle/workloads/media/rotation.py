"""How players shall turn a picture that the camera stored on its side: MP4's track matrix, Matroska's projection.

Read from the structure itself: libav tells it only with a decoded frame, which costs more than all the rest of a probe.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.walking import boxes, content, elements, video_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["UPRIGHT", "Turn", "pose_of", "turns"]

#: Matroska's names (RFC 9559)
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
    for name, start, end in boxes(descriptor, 0, size):
        if name != b"moov":
            continue
        whole: _Matrix = (1 << 16, 0, 0, 1 << 16)
        for inner, first, last in boxes(descriptor, start, end):
            if inner == b"mvhd":
                whole = _matrix(content(descriptor, first, last), 36)
            elif inner == b"trak":
                for leaf, at, to in boxes(descriptor, first, last):
                    if leaf == b"tkhd":
                        yield _track(content(descriptor, at, to), whole)
        return


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
    for entry in video_tracks(descriptor, size):
        video = dict(elements(dict(elements(entry)).get(_VIDEO, b"")))
        yield _pose(dict(elements(video.get(_PROJECTION, b""))))


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
