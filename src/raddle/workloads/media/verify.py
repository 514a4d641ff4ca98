"""Whether a result is what was planned, before it may take the original's place.

Nothing is taken from the program that wrote it: both files are read, packet by packet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.hdr import looked_at
from raddle.workloads.media.health import Health, Level, StreamHealth, check
from raddle.workloads.media.opening import ProbeError
from raddle.workloads.media.plan.containers import MP4_TEXTS
from raddle.workloads.media.values import Hdr

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from raddle.workloads.media.plan.values import Encode, Output, Plan
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["verify"]

#: seconds
_LENGTH_WITHIN: Final = 0.5
_CHAPTER_WITHIN: Final = 0.05
#: dispositions that come back from a result; MP4 also makes some of others
_KEPT_BY_BOTH: Final = frozenset({"comment", "hearing_impaired", "visual_impaired"})
#: the writer's own, whatever was asked for
_WRITERS: Final = frozenset({"creation_time", "encoder", "duration"})
#: Copied within a container, these keep every byte, with ffmpeg and with mkvmerge. Another container frames them in
#: another way; HEVC is not among them, since mkvmerge repeats its parameter sets
_SAME_BYTES: Final = frozenset({"aac", "ac3", "eac3", "flac", "h264", "mp3", "mpeg4", "opus", "vorbis", "vp9"})
_COLOURS: Final = frozenset({"color_primaries", "color_transfer", "color_space"})
_WIDE: Final = frozenset({"smpte2084", "arib-std-b67"})
#: how far apart two words on the same mastering may be, in the units of `Hdr`: AV1 has others
_MASTERING_WITHIN: Final = (2,) * 8 + (50, 2)
_MP4: Final = frozenset({"mp4", "mov"})


def verify(
    plan: Plan,
    before: MediaFile,
    result_path: str | bytes | os.PathLike[str],
    level: Level = "packets",
    *,
    source_health: Health | None = None,
    ffmpeg: str | None = None,
    timeout: float | None = None,
) -> list[str]:
    """Compare a written file with its plan, and with the source that is still there.

    Args:
        plan: what was to be written
        before: the source as it was probed for the plan
        result_path: what was written
        level: "packets", or "decode" to decode the whole result as well
        source_health: of the source, when it has been checked since it was probed; default: it is read now
        ffmpeg: the program for "decode"
        timeout: seconds for decoding

    Returns:
        What is wrong, in words; empty: the result may replace the source

    Raises:
        MissingExtra: PyAV, or for "decode" ffmpeg, is not installed
        ItemCancelled: the run was stopped
    """
    try:
        old = source_health or check(before.path)
    except ProbeError as error:
        return [f"the source cannot be read any more: {error}"]
    if old.media.identity != before.identity:
        return ["the source was changed while it was worked on: run again"]
    try:
        new = check(result_path, level=level, ffmpeg=ffmpeg, timeout=timeout)
        if any(output.codec is not None and output.codec.option("hdr") for output in plan.outputs):
            new = replace(new, media=looked_at(new.media))
    except ProbeError as error:
        return [f"the result cannot be read: {error}"]
    problems = [f"the source is damaged: {line}" for line in old.problems]
    problems += [f"the result is damaged: {line}" for line in new.problems]
    if new.media.container != plan.container and {new.media.container, plan.container} - _MP4:
        problems.append(f"the result is {new.media.container}, planned was {plan.container}")
    return [*problems, *_streams(plan, old, new), *_whole(plan, before, new.media)]


def _whole(plan: Plan, before: MediaFile, result: MediaFile) -> Iterable[str]:
    wanted = before.chapters if plan.chapters else ()
    if len(wanted) != len(result.chapters):
        yield f"the result has {len(result.chapters)} chapters, planned were {len(wanted)}"
    else:
        for number, (old, new) in enumerate(zip(wanted, result.chapters, strict=True), 1):
            if abs(old.start - new.start) > _CHAPTER_WITHIN or old.title != new.title:
                if plan.container in _MP4 and not old.title and abs(old.start - new.start) <= _CHAPTER_WITHIN:
                    continue  # it must have a title there
                asked = f"{old.title!r} at {old.start:.2f} s"
                yield f"chapter {number} is {new.title!r} at {new.start:.2f} s, planned {asked}"
    tags, found = ({name.lower(): value for name, value in tags} for tags in (plan.tags, result.tags))
    for name in sorted((tags.keys() | found.keys()) - _WRITERS):
        kept = plan.container not in _MP4 or name in MP4_TEXTS
        if kept and tags.get(name) != found.get(name):
            yield f"tag {name} is {found.get(name)!r}, planned {tags.get(name)!r}"


def _streams(plan: Plan, old: Health, new: Health) -> Iterable[str]:
    said = {stream.index: stream.hdr for stream in plan.source.streams}
    sources = {stream.index: replace(stream, hdr=said.get(stream.index)) for stream in old.media.streams}
    planned = sorted(plan.outputs, key=lambda output: _place_of_kind(sources[output.source]))
    found = sorted(new.media.streams, key=_place_of_kind)
    if [_sort(sources[output.source]) for output in planned] != [_sort(stream) for stream in found]:
        yield f"the result holds {_kinds(found)}, planned were {_kinds([sources[o.source] for o in planned])}"
        return
    for output, stream in zip(planned, found, strict=True):
        source = sources[output.source]
        where = f"stream {stream.index} of the result ({stream.kind}, from {source.index})"
        words = [*_identity(output, source, stream), *_flags(plan, output, stream)]
        pair = old.streams[_place(old, source.index)], new.streams[_place(new, stream.index)]
        words += _amount(output, source, *pair, moved=old.media.container != new.media.container)
        yield from (f"{where}: {word}" for word in words)


def _is_attached(stream: Stream) -> bool:
    return stream.picture or stream.kind == "attachment"


def _place_of_kind(stream: Stream) -> tuple[bool, bool]:
    """Return the order in which kinds are compared: tracks, attachments, covers.

    Matroska lists what is attached behind all tracks, and ffmpeg attaches covers last, whatever was asked for.
    """
    return _is_attached(stream), stream.picture


def _sort(stream: Stream) -> str:
    return "picture" if stream.picture else stream.kind


def _kinds(streams: Sequence[Stream]) -> str:
    return "[" + ", ".join(f"{_sort(stream)} {stream.codec} {stream.language}" for stream in streams) + "]"


def _place(health: Health, index: int) -> int:
    return next(place for place, stream in enumerate(health.streams) if stream.index == index)


def _identity(output: Output, source: Stream, stream: Stream) -> Iterable[str]:
    codec = output.codec.to if output.codec else source.codec
    if stream.codec != codec:
        yield f"codec is {stream.codec}, planned {codec}"
    if _is_attached(source):
        if source.kind == "attachment" and (stream.filename, stream.mimetype) != (source.filename, source.mimetype):
            yield f"is {stream.filename} ({stream.mimetype}), planned {source.filename} ({source.mimetype})"
        return
    if stream.language != (output.language or "und"):
        yield f"language is {stream.language}, planned {output.language or 'und'}"
    if stream.title != output.title:
        yield f"title is {stream.title!r}, planned {output.title!r}"
    if output.kind == "audio":
        wanted = output.codec.option("channels") if output.codec else None
        channels = int(wanted) if wanted else source.channels
        if channels and stream.channels != channels:
            yield f"has {stream.channels} channels, planned {channels}"
    if output.kind == "video":
        yield from _picture(output.codec, source, stream)


def _picture(encode: Encode | None, source: Stream, stream: Stream) -> Iterable[str]:
    size = (source.width or 0, source.height or 0)
    if encode:
        size = (int(encode.option("width") or size[0]), int(encode.option("height") or size[1]))
        # encoders take even sizes only
        size = (size[0] - size[0] % 2, size[1] - size[1] % 2)
    found = (stream.width or 0, stream.height or 0)
    if found != size:
        yield f"is {found[0]}x{found[1]}, planned {size[0]}x{size[1]}"
    turned = (None, False) if encode else (source.rotation, source.mirrored)
    if (stream.rotation, stream.mirrored) != turned:
        yield f"is turned by {_turn(stream.rotation, stream.mirrored)}, planned {_turn(*turned)}"
    colour = dict(stream.colour)
    for name, value in source.colour:
        if name in _COLOURS and colour.get(name) != value:
            yield f"{name} is {colour.get(name, 'not said')}, planned {value}"
    ranges = [dict(one.colour).get("color_range", "tv") for one in (stream, source)]  # players take it for tv
    if encode and ranges[0] != ranges[1]:
        yield f"color_range is {ranges[0]}, planned {ranges[1]}"
    yield from _range(encode, source, stream)


def _range(encode: Encode | None, source: Stream, stream: Stream) -> Iterable[str]:
    """Compare what both say of their dynamic range."""
    dolby = "" if encode else source.dolby_vision
    if stream.dolby_vision != dolby:
        yield f"is Dolby Vision {stream.dolby_vision or 'no more'}, planned {dolby or 'none'}"
    if encode is None:
        return
    wide = dict(source.colour).get("color_transfer") in _WIDE and encode.to != "h264"
    if wide and source.deep and not stream.deep:
        yield f"has pixels of {stream.pixel_format}, planned 10 bits and more"
    if encode.option("hdr") != "keep":
        return
    old, new = source.hdr or Hdr(), stream.hdr or Hdr()
    pairs = zip(new.mastering or (0,) * 10, old.mastering, _MASTERING_WITHIN, strict=False)
    if any(abs(found - wanted) > within for found, wanted, within in pairs):
        yield f"says of its mastering display {new.mastering or 'nothing'}, planned {old.mastering}"
    if old.light and new.light != old.light:
        yield f"says of its brightest pictures {new.light or 'nothing'}, planned {old.light}"


def _turn(rotation: int | None, mirrored: bool) -> str:  # noqa: FBT001 - as the stream has it
    return f"{rotation or 0} degrees{', mirrored' if mirrored else ''}"


def _flags(plan: Plan, output: Output, stream: Stream) -> Iterable[str]:
    if _is_attached(stream):
        return
    if stream.default != output.default:
        yield f"default is {stream.default}, planned {output.default}"
    if stream.forced != output.forced:
        yield f"forced is {stream.forced}, planned {output.forced}"
    kept = _KEPT_BY_BOTH
    if plan.container not in _MP4:
        kept |= {"descriptions"} if output.kind == "subtitle" else frozenset()
        # one flag says both: neither is written when both are asked for
        kept |= frozenset() if output.dispositions >= {"original", "dub"} else {"original", "dub"}
    wanted, found = output.dispositions & kept, stream.dispositions & kept
    if wanted != found:
        yield f"is marked {sorted(found)}, planned {sorted(wanted)}"


def _amount(output: Output, source: Stream, old: StreamHealth, new: StreamHealth, *, moved: bool) -> Iterable[str]:
    if _is_attached(source):
        if output.codec is None and old.digest != new.digest:
            yield f"its {new.bytes} bytes are not the {old.bytes} of the source"
        return
    if output.kind == "data":
        return
    if output.codec is None and new.packets != old.packets:
        yield f"has {new.packets} packets, the source has {old.packets}"
    elif output.codec is None and not moved and source.codec in _SAME_BYTES and new.checksum != old.checksum:
        yield "its bytes are not the source's"
    elif output.codec is not None and output.kind == "video" and abs(new.packets - old.packets) > 1:
        yield f"has {new.packets} frames, the source has {old.packets}"
    elif output.codec is not None and output.kind == "subtitle" and abs(new.packets - old.packets) > old.packets / 10:
        yield f"has {new.packets} lines, the source has {old.packets}"
    if output.kind == "subtitle":
        return
    lengths = [(s.last or 0.0) - (s.first or 0.0) for s in (old, new)]
    if abs(lengths[1] - lengths[0]) > _LENGTH_WITHIN:
        yield f"lasts {lengths[1]:.2f} s, the source {lengths[0]:.2f} s"
