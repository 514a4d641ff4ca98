"""Whether a file is whole: every packet read, or every frame decoded.

No exit code is trusted: ffmpeg and mkvmerge end with 0 on files that are cut in half. What counts is what the file's
own structure and header promise against what is there, and every message of level error.

    damage            packets                           decode
    cut anywhere      yes; MPEG-TS: only inside a       as packets
                      packet of 188 bytes
    zeroed blocks     Matroska: yes; others: if the     yes
                      stream's parser stumbles
    flipped byte      seldom                            with a checksum (AC-3, FLAC, MP3) yes, in H.264 and
                                                        AAC some of them: a quarter of single bits
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import raddle
from raddle.workloads.media.decoding import decode
from raddle.workloads.media.libav_log import complaints
from raddle.workloads.media.opening import open_media
from raddle.workloads.media.probe import media_of, streams_of
from raddle.workloads.media.structure import bytes_missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.container import InputContainer

    from raddle.workloads.media.values import Kind, MediaFile, Stream

__all__ = ["Health", "Level", "StreamHealth", "check"]

Level = Literal["packets", "decode"]

#: seconds
_READ_TIMEOUT: Final = 60.0
_SHORT_BY: Final = 1.0
_GAP: Final = 1.0
_MOST_GAPS: Final = 20
_LOOK_EVERY: Final = 512
#: a subtitle sample of MP4 that clears the screen: a length of 0 and nothing more
_EMPTY_TEXT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """What was read of one stream. Times in seconds."""

    index: int
    kind: Kind
    codec: str
    #: subtitles: those that show something
    packets: int = 0
    bytes: int = 0
    #: CRC-32 of the packets' bytes, in order
    checksum: int = 0
    first: float | None = None
    #: end of the last packet
    last: float | None = None
    #: (end of the packet before, start of the next), those of a second and more, at most 20
    gaps: tuple[tuple[float, float], ...] = ()
    #: packets that the file says there are
    promised: int | None = None
    #: decoded ones; None unless decoded, or if ffmpeg did not say
    frames: int | None = None
    #: SHA-256 of an attachment's or a cover picture's bytes
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The result of a check."""

    media: MediaFile
    level: Level
    streams: tuple[StreamHealth, ...]
    #: damage, in words; empty: none found
    problems: tuple[str, ...]
    #: odd, but found in good files too
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no damage was found."""
        return not self.problems


@dataclass(slots=True)
class _Count:
    """What is known of a stream so far. Times in its time base."""

    packets: int = 0
    bytes: int = 0
    checksum: int = 0
    first: int | None = None
    last: int | None = None
    #: end of the packet before in the order of decoding
    end: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    digest: str = ""


def check(
    path: str | bytes | os.PathLike[str],
    *,
    level: Level = "packets",
    ffmpeg: str | None = None,
    timeout: float | None = None,
    stall_timeout: float | None = 300.0,
) -> Health:
    """Read a whole file and say whether it is damaged.

    Args:
        path: the file
        level: "packets": as fast as the disk; "decode": every frame too, by ffmpeg, as fast as the CPU
        ffmpeg: the program for "decode"; default: the system's, else that of imageio-ffmpeg
        timeout: seconds for decoding; inside a run no more than the attempt has left
        stall_timeout: seconds that decoding may go without any progress

    Raises:
        ProbeError: not even its header can be read
        MissingExtra: PyAV, or for "decode" ffmpeg, is not installed
        ItemCancelled: the run was stopped
        ConfigError: a level that is none
    """
    if level not in {"packets", "decode"}:
        raise raddle.ConfigError(f"level={level!r}: give 'packets' or 'decode'")
    health = _packets(os.fsdecode(path))
    if level == "packets":
        return health
    decoded = decode(health.media.path, ffmpeg=ffmpeg, timeout=timeout, stall_timeout=stall_timeout)
    streams = tuple(replace(stream, frames=decoded.frames.get(stream.index)) for stream in health.streams)
    problems = (*health.problems, *(f"decoding: {line}" for line in decoded.errors))
    return replace(health, level=level, streams=streams, problems=problems)


def _packets(path: str) -> Health:
    with complaints() as said:
        with open_media(path, timeout=_READ_TIMEOUT) as (container, descriptor, facts):
            media = media_of(path, container, descriptor, facts)
            broken = _read(container, counts := {stream.index: _Count() for stream in container.streams}, said)
            promised = _promised(container)
            streams = tuple(
                _stream_health(stream, counts[stream.index], raw, promised.get(stream.index))
                for stream, raw in zip(media.streams, streams_of(container), strict=True)
            )
            missing = bytes_missing(descriptor, facts.st_size, media.container)
        lines = said.lines()
    problems = [f"{missing} bytes are missing at the end: the file is cut off"] if missing else []
    problems += [f"reading: {line}" for line in (*lines, *broken)]
    problems += _shortfalls(media, streams)
    return Health(media=media, level="packets", streams=streams, problems=tuple(problems), notes=tuple(_notes(streams)))


def _read(container: InputContainer, counts: dict[int, _Count], said: Any) -> list[str]:
    """Count all packets; return what ended the reading early."""
    import av

    seen = 0
    pictures = {stream.index for stream in container.streams if stream.disposition & 0x400}
    try:
        for packet in container.demux():
            seen += 1
            if seen % _LOOK_EVERY == 0:
                said.take()
                _stop_if_asked()
            if packet.size:
                _count(counts[packet.stream.index], packet, picture=packet.stream.index in pictures)
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        return [f"it stopped after {seen} packets: {error}"]
    for stream in container.streams.attachments:
        counts[stream.index].digest = hashlib.sha256(stream.data).hexdigest()
        counts[stream.index].bytes = len(stream.data)
    return []


def _stop_if_asked() -> None:
    try:
        cancelled = raddle.attempt().cancelled
    except LookupError:
        return
    if cancelled:
        raise raddle.ItemCancelled("the check was ended, because the run was stopped")


def _count(count: _Count, packet: Any, *, picture: bool) -> None:
    size, pts, dts, length = packet.size, packet.pts, packet.dts, packet.duration or 0
    if size <= _EMPTY_TEXT and packet.stream.type == "subtitle" and not any(bytes(packet)):
        return
    count.packets += 1
    count.bytes += size
    count.checksum = zlib.crc32(packet, count.checksum)
    if picture:
        count.digest = hashlib.sha256(bytes(packet)).hexdigest()
        return
    shown = pts if pts is not None else dts
    if shown is None:
        return
    count.first = shown if count.first is None else min(count.first, shown)
    count.last = shown + length if count.last is None else max(count.last, shown + length)
    at = dts if dts is not None else shown
    if count.end is not None and at > count.end and len(count.gaps) < _MOST_GAPS:
        base = packet.time_base
        if base and (at - count.end) * base >= _GAP:
            count.gaps.append((count.end, at))
    count.end = at + length


def _promised(container: InputContainer) -> dict[int, int]:
    """Return how many packets the file says there are.

    MP4's tables say it, for sound in PCM in samples. mkvmerge's statistics do, if they are its own: ffmpeg copies them
    along with streams that it shortens. AVI counts frames that were dropped and have no packet.
    """
    name = container.format.name
    tags = {key.lower(): value for key, value in container.metadata.items()}
    if name.startswith("mov"):
        return {stream.index: stream.frames for stream in container.streams if stream.frames and not _is_pcm(stream)}
    if not name.startswith("matroska") or not tags.get("encoder", "").startswith("libebml"):
        return {}
    found = {}
    for stream in container.streams:
        for key, value in stream.metadata.items():
            if key.split("-")[0] == "NUMBER_OF_FRAMES" and value.isascii() and value.isdigit():
                found[stream.index] = int(value)
    return found


def _is_pcm(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.name.startswith("pcm_")


def _stream_health(stream: Stream, count: _Count, raw: Any, promised: int | None) -> StreamHealth:
    base = raw.time_base

    def seconds(value: int | None) -> float | None:
        return None if value is None or not base else float(value * base)

    return StreamHealth(
        index=stream.index,
        kind=stream.kind,
        codec=stream.codec,
        packets=count.packets,
        bytes=count.bytes,
        checksum=count.checksum,
        first=seconds(count.first),
        last=seconds(count.last),
        gaps=tuple((float(a * base), float(b * base)) for a, b in count.gaps),
        promised=promised,
        digest=count.digest,
    )


def _shortfalls(media: MediaFile, streams: tuple[StreamHealth, ...]) -> Iterable[str]:
    pictures = {stream.index for stream in media.streams if stream.picture}
    played = [s for s in streams if s.kind in {"video", "audio"} and s.index not in pictures]
    for stream in played:
        if not stream.packets:
            yield f"stream {stream.index} ({stream.kind}, {stream.codec}) holds nothing"
        elif stream.promised and stream.packets < stream.promised:
            yield f"stream {stream.index} ({stream.kind}) has {stream.packets} of {stream.promised} packets"
    ends = [stream.last for stream in played if stream.last is not None]
    starts = [stream.first for stream in played if stream.first is not None]
    if media.duration and ends:
        # Some containers count from 0, some from the first timestamp.
        reached = max(ends) - min(0.0, *starts)
        if reached < media.duration - _SHORT_BY:
            yield f"the last packet ends at {reached:.2f} s, the header says {media.duration:.2f} s"


def _notes(streams: tuple[StreamHealth, ...]) -> Iterable[str]:
    for stream in streams:
        if stream.kind in {"video", "audio"}:
            for start, end in stream.gaps:
                yield f"stream {stream.index} ({stream.kind}) has nothing from {start:.2f} s to {end:.2f} s"
