"""What is in a file, in about 5 ms: streams, chapters, attachments and tags, from its header and first packets."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.media.dolby import dolby_visions
from raddle.workloads.media.languages import normal
from raddle.workloads.media.opening import ProbeError, mkv_doctype, open_media
from raddle.workloads.media.rotation import turns
from raddle.workloads.media.values import Chapter, Kind, MediaFile, Stream

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import InputContainer

    from raddle.workloads.media.rotation import Turn

__all__ = ["ProbeError", "media_of", "probe", "streams_of"]

_TIMEOUT: Final = 30.0
_MICROSECONDS: Final = 1_000_000
#: libav's first name of a format, where ours differs
_CONTAINERS: Final = {"mpegts": "ts", "mpeg": "mpg", "mpegvideo": "mpg", "asf": "wmv", "matroska": "mkv"}
_KINDS: Final[dict[str, Kind]] = {
    "video": "video",
    "audio": "audio",
    "subtitle": "subtitle",
    "attachment": "attachment",
}
#: what a writer computes or stamps: never carried over, so never compared
_TECHNICAL: Final = re.compile(
    r"(bps|duration|number_of_frames|number_of_bytes|_statistics_.*|source_id)(-.*)?"
    r"|encoder|handler_name|vendor_id|major_brand|minor_version|compatible_brands|software"
)
#: MP4 has a track's title here; ffmpeg writes it from "title" and, up to 8 at least, gives it back as this
_MP4_TITLE: Final = "name"
_OWN_FIELD: Final = frozenset({"language", "title", _MP4_TITLE, "filename", "mimetype", "creation_time"})
_FONTS: Final = {".ttf": "ttf", ".ttc": "ttf", ".otf": "otf"}
#: ITU-T H.273 numbers by ffmpeg's names; 2 is "unspecified"
_PRIMARIES: Final = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFERS: Final = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_SPACES: Final = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2",
    16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
#: libav's numbers of orders of fields; 0 is not known, 1 progressive
_FIELD_ORDERS: Final = range(2, 6)
_RANGES: Final = {1: "tv", 2: "pc"}


def probe(path: str | bytes | os.PathLike[str], *, timeout: float = _TIMEOUT) -> MediaFile:
    """Read what a file holds. It is opened once; a symbolic link is followed, and identity is that of its target.

    Args:
        path: any name that the system knows, also such as are not UTF-8
        timeout: seconds for reading the header

    Raises:
        ProbeError: it is not there, not readable, a folder, empty, cut off in its header, or no media
        MissingExtra: PyAV is not installed
    """
    name = os.fsdecode(path)
    with open_media(name, timeout=timeout) as (container, descriptor, facts):
        return media_of(name, container, descriptor, facts)


def media_of(path: str, container: InputContainer, descriptor: int, facts: os.stat_result) -> MediaFile:
    """Return the values of a file that is open.

    Raises:
        ProbeError: there is no stream in it
    """
    found = streams_of(container)
    name = _container_name(container, descriptor)
    structure = (descriptor, facts.st_size, name)
    streams = _shown(tuple(_stream(stream) for stream in found), found, turns(*structure), dolby_visions(*structure))
    if not streams:
        raise ProbeError(f"path={path!r} holds a header and no stream (size={facts.st_size}): cut off?")
    return MediaFile(
        path=path,
        identity=(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns),
        links=facts.st_nlink,
        container=name,
        duration=_positive(container.duration, _MICROSECONDS),
        streams=streams,
        chapters=tuple(_chapter(chapter) for chapter in container.chapters()),
        tags=_tags(_clean(container.metadata), without=frozenset()),
    )


def streams_of(container: InputContainer) -> list[Any]:
    """Return libav's streams but the texts in which MP4 keeps the titles of its chapters.

    libav has read them into the chapters, and is told to discard their packets.
    """
    return [s for s in container.streams if s.type != "data" or s.discard.name != "all"]


def _shown(
    streams: tuple[Stream, ...], found: list[Any], turned: dict[int, Turn], dolby: dict[int, str]
) -> tuple[Stream, ...]:
    """Return the streams with what their structure says of how pictures are shown."""
    if not turned and not dolby:
        return streams
    by_place = found[0].container.format.name.startswith("matroska")
    videos = [stream.index for stream in streams if stream.kind == "video" and not stream.picture]
    ids = {one.index: videos.index(one.index) if by_place else one.id for one in found if one.index in videos}
    named = ((stream, ids.get(stream.index, -1)) for stream in streams)
    return tuple(replace(_turned(s, turned.get(at)), dolby_vision=dolby.get(at, "")) for s, at in named)


def _turned(stream: Stream, turn: Turn | None) -> Stream:
    """Return the stream as players turn it; a quarter turn swaps the sides that are shown."""
    if turn is None:
        return stream
    width, height = (stream.width, stream.height)[:: -1 if turn.rotation % 180 == 90 else 1]  # noqa: PLR2004 - degrees
    return replace(stream, width=width, height=height, rotation=turn.rotation or None, mirrored=turn.mirrored)


def _container_name(container: InputContainer, descriptor: int) -> str:
    name = container.format.name.split(",")[0]
    if name == "matroska":
        return "webm" if mkv_doctype(descriptor) == "webm" else "mkv"
    if name == "mov":
        return "mov" if container.metadata.get("major_brand", "").startswith("qt") else "mp4"
    return _CONTAINERS.get(name, name)


def _chapter(chapter: Any) -> Chapter:
    base = chapter["time_base"]
    title = chapter["metadata"].get("title", "")
    return Chapter(float(chapter["start"] * base), float(chapter["end"] * base), title)


def _stream(stream: Any) -> Stream:
    tags = _clean(stream.metadata)
    kind = _KINDS.get(stream.type, "data")
    context = stream.codec_context
    flags = _dispositions(stream.disposition)
    bit_rate = stream.bit_rate if context is not None and kind in {"video", "audio"} else None
    return Stream(
        index=stream.index,
        kind=kind,
        codec=context.codec.canonical_name if context is not None else _codec_without_decoder(kind, tags),
        profile=(stream.profile or "") if context is not None else "",
        language=normal(tags.get("language", "")),
        title=tags.get("title", "") or tags.get(_MP4_TITLE, ""),
        default="default" in flags,
        forced="forced" in flags,
        dispositions=flags - {"default", "forced"},
        picture="attached_pic" in flags,
        bit_rate=bit_rate or _number(tags, "bps"),
        duration=None if kind == "attachment" or "attached_pic" in flags else _duration(stream, tags),
        filename=tags.get("filename", ""),
        mimetype=tags.get("mimetype", ""),
        tags=_tags(tags),
        **_sound(context) if kind == "audio" and context is not None else {},
        **_sight(stream, context) if kind == "video" and context is not None else {},
    )


def _sound(context: Any) -> dict[str, Any]:
    layout = context.layout.name if context.channels else ""
    return {
        "channels": context.channels or None,
        "channel_layout": "" if " channels" in layout else layout,
        "sample_rate": context.sample_rate or None,
    }


def _sight(stream: Any, context: Any) -> dict[str, Any]:
    colour = (
        ("color_primaries", _PRIMARIES.get(context.color_primaries)),
        ("color_transfer", _TRANSFERS.get(context.color_trc)),
        ("color_space", _SPACES.get(context.colorspace)),
        ("color_range", _RANGES.get(context.color_range)),
    )
    return {
        "width": context.width or None,
        "height": context.height or None,
        "interlaced": context.field_order in _FIELD_ORDERS,
        "frame_rate": _frame_rate(stream.average_rate, stream.base_rate),
        "pixel_format": context.pix_fmt or "",
        "colour": tuple((name, value) for name, value in colour if value),
    }


def _frame_rate(average: Fraction | None, base: Fraction | None) -> str:
    """Return the average unless the rate varies: libav's base is the lowest rate that all timestamps fit.

    With interlaced video it may be that of the fields, twice the frames'.
    """
    if not average:
        return ""
    steady = not base or any(abs(float(base / average) - times) <= times / 100 for times in (1, 2))
    return str(average) if steady else ""


def _duration(stream: Any, tags: dict[str, str]) -> float | None:
    said = _positive(stream.duration, 1 / stream.time_base) if stream.duration and stream.time_base else None
    written = next((value for name, value in tags.items() if name == "duration" or name.startswith("duration-")), "")
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", written)
    if not found:
        return said
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _positive(value: int | None, per_second: Any) -> float | None:
    return float(value / per_second) if value is not None and value > 0 else None


def _number(tags: dict[str, str], name: str) -> int | None:
    value = next((text for key, text in tags.items() if key == name or key.startswith(f"{name}-")), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None  # noqa: PLR2004 - no real rate


def _dispositions(flags: Any) -> frozenset[str]:
    return frozenset(flag.name for flag in type(flags) if flag.name and flag & flags)


def _codec_without_decoder(kind: str, tags: dict[str, str]) -> str:
    if kind != "attachment":
        return "unknown"
    mimetype = tags.get("mimetype", "").lower()
    suffix = os.path.splitext(tags.get("filename", ""))[1].lower()  # noqa: PTH122 - not a path of this system
    for end, codec in _FONTS.items():
        if suffix == end:
            return codec
    if "truetype" in mimetype or mimetype.endswith("ttf"):
        return "ttf"
    return "otf" if "opentype" in mimetype or mimetype.endswith("otf") else "unknown"


def _clean(metadata: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in metadata.items()}


def _tags(tags: dict[str, str], without: frozenset[str] = _OWN_FIELD) -> tuple[tuple[str, str], ...]:
    kept = ((name, value) for name, value in tags.items() if name not in without and not _TECHNICAL.fullmatch(name))
    return tuple(sorted(kept))
