"""The values that travel between probing, planning, writing and verifying. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["KINDS", "Chapter", "Hdr", "Kind", "MediaFile", "Stream"]

Kind = Literal["video", "audio", "subtitle", "attachment", "data"]
KINDS: Final = ("video", "audio", "subtitle", "attachment", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdr:
    """What pictures say of their dynamic range with themselves, beside the colour tags."""

    #: of the display they were mastered on: x and y of red, green, blue and white in 1/50,000, then the brightest and
    #: the darkest in 1/10,000 cd/m², 0 for what is not said; empty: nothing is
    mastering: tuple[int, ...] = ()
    #: of the brightest sample and of the brightest picture on average (MaxCLL, MaxFALL), in cd/m²
    light: tuple[int, ...] = ()
    #: that changes with the pictures: Dolby Vision, HDR10+, HDR Vivid
    dynamic: tuple[str, ...] = ()

    @property
    def static(self) -> bool:
        """Whether something is said that holds for the whole stream."""
        return bool(self.mastering or self.light)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream, as the probe found it. Addressed by `index` from then on, never by a place in another file."""

    #: place in the file, as ffmpeg counts; cover pictures count as video with `picture`
    index: int
    kind: Kind
    #: ffmpeg's short name: h264, hevc, aac, subrip, hdmv_pgs_subtitle ...
    codec: str
    profile: str = ""
    #: ISO 639-2/B code, "und" where it is not said
    language: str = "und"
    title: str = ""
    default: bool = False
    forced: bool = False
    #: further dispositions that are set: comment, hearing_impaired, visual_impaired, original, dub, attached_pic ...
    dispositions: frozenset[str] = frozenset()
    #: a still picture that players show as cover
    picture: bool = False
    channels: int | None = None
    channel_layout: str = ""
    sample_rate: int | None = None
    #: as players show it: turned by `rotation`
    width: int | None = None
    height: int | None = None
    #: degrees counter-clockwise, -179 to 180, by which players turn the stored picture; None: it is stored upright
    rotation: int | None = None
    #: players turn it over, left and right, before that
    mirrored: bool = False
    #: each frame holds two fields, half a frame's time apart
    interlaced: bool = False
    #: frames per second, as a fraction in text ("24000/1001"), "" where it varies or is not known
    frame_rate: str = ""
    pixel_format: str = ""
    #: colour tags by ffmpeg's names: color_primaries, color_transfer, color_space, color_range; only those that are set
    colour: tuple[tuple[str, str], ...] = ()
    #: profile and compatibility that the container tells ("8.1"); "": it calls the pictures no Dolby Vision
    dolby_vision: str = ""
    #: None: nobody looked, since it takes a decoded picture
    hdr: Hdr | None = None
    #: bit/s; None: the file does not say
    bit_rate: int | None = None
    #: seconds
    duration: float | None = None
    #: of attachments
    filename: str = ""
    mimetype: str = ""
    #: the other tags of the stream
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def deep(self) -> bool:
        """Whether its pixels have 10 bits and more a colour."""
        return any(bits in self.pixel_format for bits in ("p10", "p12", "p14", "p16", "p010"))


@dataclass(frozen=True, slots=True)
class Chapter:
    """Seconds, and a title that may be empty."""

    start: float
    end: float
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile:
    """What a probe says of a file."""

    #: as the user gave it or the folder lists it (surrogateescape for names that are not UTF-8)
    path: str
    #: device, inode, size in bytes, mtime in ns: other figures, other file
    identity: tuple[int, int, int, int]
    #: hard links to it
    links: int
    #: "mkv", "mp4", "webm", "avi", "mov", "ts" ...: what the content is, whatever the name says
    container: str
    #: seconds; None: not said
    duration: float | None
    streams: tuple[Stream, ...]
    chapters: tuple[Chapter, ...] = ()
    tags: tuple[tuple[str, str], ...] = field(default=())

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return self.identity[2]

    def of(self, kind: Kind) -> tuple[Stream, ...]:
        """Return the streams of a kind, in order."""
        return tuple(stream for stream in self.streams if stream.kind == kind)
