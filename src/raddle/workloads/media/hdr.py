"""What pictures say of their dynamic range with themselves: it comes with a decoded one, and is asked for only then.

Decoding the first picture of a film costs more than all the rest of a probe, so only what will be encoded is looked at.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.media.opening import ProbeError, open_media
from raddle.workloads.media.values import Hdr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.workloads.media.plan.values import Plan, Refusal, Skip
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["looked_at", "seen_closely"]

_TIMEOUT: Final = 60.0
#: of pictures' packets, before the file is given up: a stream may begin with pictures that need earlier ones
_MOST_PACKETS: Final = 2_000
#: libav's AVMasteringDisplayMetadata: eight rationals of chromaticity, two of luminance, two flags
_MASTERING: Final = struct.Struct("=20i2i")
_LIGHT: Final = struct.Struct("=2I")
#: what a number is counted in: of chromaticity, of luminance
_UNITS: Final = (50_000,) * 8 + (10_000,) * 2
_DYNAMIC: Final = {
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}


def seen_closely(media: MediaFile, plans: Iterable[Plan | Skip | Refusal]) -> MediaFile:
    """Return the file with what its pictures say of their range, if a plan encodes some that nobody looked at.

    The same file if not: then there is nothing to plan anew.

    Raises:
        ProbeError: as `looked_at`
    """
    from raddle.workloads.media.plan.values import Plan

    outputs = [output for plan in plans if isinstance(plan, Plan) for output in plan.outputs]
    if not any(output.kind == "video" and output.codec is not None for output in outputs):
        return media
    return media if all(stream.hdr is not None for stream in _moving(media)) else looked_at(media)


def looked_at(media: MediaFile) -> MediaFile:
    """Return the file with `Stream.hdr` of its moving pictures.

    Raises:
        ProbeError: it cannot be read any more, is another file now, or shows no picture within 2,000 packets
    """
    wanted = {stream.index for stream in _moving(media)}
    with open_media(media.path, timeout=_TIMEOUT) as (container, _, facts):
        if (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns) != media.identity:
            raise ProbeError(f"path={media.path!r} was changed while it was looked at: run again")
        found = _first_pictures(container, wanted)
    missing = sorted(wanted - found.keys())
    if missing:
        raise ProbeError(f"path={media.path!r}: stream {missing[0]} shows no picture at its beginning: damaged?")
    return replace(media, streams=tuple(replace(s, hdr=found.get(s.index)) for s in media.streams))


def _moving(media: MediaFile) -> Iterator[Stream]:
    return (stream for stream in media.streams if stream.kind == "video" and not stream.picture)


def _first_pictures(container: Any, wanted: set[int]) -> dict[int, Hdr]:
    import av

    found: dict[int, Hdr] = {}
    streams = [stream for stream in container.streams if stream.index in wanted and stream.codec_context is not None]
    for stream in streams:
        stream.codec_context.thread_count = 1  # more would only wait for each other: one picture is asked for
    try:
        for number, packet in enumerate(container.demux(streams)):
            index = packet.stream.index
            if index not in found and (picture := _picture(packet)) is not None:
                found[index] = _said(picture)
            if len(found) == len(wanted) or number >= _MOST_PACKETS:
                break
    except (av.error.FFmpegError, OSError):  # what is missing is told by the caller
        return found
    return found


def _picture(packet: Any) -> Any:
    import av

    try:
        return next(iter(packet.decode()), None)
    except av.error.FFmpegError:  # it needs earlier ones, which are not there
        return None


def _said(picture: Any) -> Hdr:
    said = {one.type.name: bytes(one) for one in picture.side_data}
    light = said.get("CONTENT_LIGHT_LEVEL", b"")
    return Hdr(
        mastering=_mastering(said.get("MASTERING_DISPLAY_METADATA", b"")),
        light=_LIGHT.unpack_from(light) if len(light) >= _LIGHT.size and any(light) else (),
        dynamic=tuple(sorted({_DYNAMIC[name] for name in said if name in _DYNAMIC})),
    )


def _mastering(data: bytes) -> tuple[int, ...]:
    if len(data) < _MASTERING.size:
        return ()
    *pairs, has_colours, has_light = _MASTERING.unpack_from(data)
    known = (bool(has_colours),) * 8 + (bool(has_light),) * 2
    ratios = zip(pairs[::2], pairs[1::2], known, _UNITS, strict=True)
    values = [round(unit * over / under) if is_said and under else 0 for over, under, is_said, unit in ratios]
    values[8:] = reversed(values[8:])  # libav has the darkest first
    return tuple(values) if any(values) else ()
