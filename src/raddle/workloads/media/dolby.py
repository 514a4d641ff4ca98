"""Which pictures a file calls Dolby Vision: MP4's and Matroska's record of it ("dvcC", "dvvC", "dvwC").

Read from the structure itself, as `rotation` does: libav has the record, and PyAV does not hand it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raddle.workloads.media.walking import boxes, content, elements, video_tracks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dolby_visions"]

_RECORDS: Final = frozenset({b"dvcC", b"dvvC", b"dvwC"})
#: of a record: version (2), profile (7 bits), level (6), three flags, what the picture is without it (4)
_LEAST: Final = 5
#: before the boxes: of the list of formats; of a format of pictures
_LIST_HEAD: Final = 8
_FORMAT_HEAD: Final = 78
#: Matroska's names (RFC 9559)
_MAPPING: Final = 0x41E4
_MAPPING_TYPE: Final = 0x41E7
_MAPPING_DATA: Final = 0x41ED


def dolby_visions(descriptor: int, size: int, container: str) -> dict[int, str]:
    """Return profile and compatibility, like "8.1", by the track's ID (MP4, MOV) or place among video tracks (MKV).

    Args:
        descriptor: of the open file
        size: of the file in bytes
        container: as `MediaFile.container`
    """
    if container in {"mp4", "mov"}:
        return dict(_boxed(descriptor, size))
    if container in {"mkv", "webm"}:
        found = enumerate(_mapped(entry) for entry in video_tracks(descriptor, size))
        return {place: said for place, said in found if said}
    return {}


def _said(record: bytes) -> str:
    return f"{record[2] >> 1}.{record[4] >> 4}" if len(record) >= _LEAST else ""


def _boxed(descriptor: int, size: int) -> Iterator[tuple[int, str]]:
    for start, end in _inside(descriptor, (0, size), b"moov"):
        for track in _inside(descriptor, (start, end), b"trak"):
            head = next((content(descriptor, *at) for at in _inside(descriptor, track, b"tkhd")), b"")
            at = 20 if head[:1] == b"\1" else 12
            said = next(filter(None, _formats(descriptor, track)), "")
            if said:
                yield int.from_bytes(head[at : at + 4], "big"), said


def _inside(descriptor: int, within: tuple[int, int], *names: bytes) -> Iterator[tuple[int, int]]:
    """Give where the boxes of that name lie; several names lead from the outer to the inner."""
    for name, start, end in boxes(descriptor, *within):
        if name == names[0] and len(names) > 1:
            yield from _inside(descriptor, (start, end), *names[1:])
        elif name == names[0]:
            yield start, end


def _formats(descriptor: int, track: tuple[int, int]) -> Iterator[str]:
    for start, end in _inside(descriptor, track, b"mdia", b"minf", b"stbl", b"stsd"):
        for _, first, last in boxes(descriptor, start + _LIST_HEAD, end):
            for name, at, to in boxes(descriptor, first + _FORMAT_HEAD, last):
                if name in _RECORDS:
                    yield _said(content(descriptor, at, to))


def _mapped(entry: bytes) -> str:
    for name, mapping in elements(entry):
        inner = dict(elements(mapping)) if name == _MAPPING else {}
        if inner.get(_MAPPING_TYPE, b"").lstrip(b"\0") in _RECORDS:
            return _said(inner.get(_MAPPING_DATA, b""))
    return ""
