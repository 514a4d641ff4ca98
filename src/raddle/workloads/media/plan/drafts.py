"""A file while it is being planned: each stream with what it was, what it shall be, and what is done for that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from raddle.workloads.media.values import Hdr

if TYPE_CHECKING:
    from raddle.workloads.media.plan.values import Encode
    from raddle.workloads.media.policy.values import Words
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = [
    "Draft",
    "Drafts",
    "Refused",
    "State",
    "begun",
    "encoded",
    "is_chapter_track",
    "natural",
    "stands_last",
]


class Refused(Exception):
    """The step cannot be done; the text says why and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One stream of the result. `now` is what a probe of the result would say, its index aside."""

    source: Stream
    now: Stream
    encode: Encode | None = None
    added: bool = False

    def but(self, **changes: Any) -> Draft:
        """Return the draft with other values of the stream to be."""
        return replace(self, now=replace(self.now, **changes))


Drafts = tuple[Draft, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the operations hand on."""

    file: MediaFile
    words: Words
    drafts: Drafts
    tags: dict[str, str]
    warnings: tuple[str, ...] = ()
    skip_video: bool = False
    skip_audio: bool = False

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Return the streams as they shall be."""
        return tuple(draft.now for draft in self.drafts)

    def of(self, kind: str) -> Drafts:
        """Return the drafts of a kind; cover pictures are no video."""
        return tuple(draft for draft in self.drafts if draft.now.kind == kind and not draft.now.picture)

    def each(self, change: dict[int, Draft]) -> State:
        """Return the state with other drafts in the place of some, by position."""
        return replace(self, drafts=tuple(change.get(place, draft) for place, draft in enumerate(self.drafts)))

    def warned(self, *texts: str) -> State:
        """Return the state with further warnings."""
        return replace(self, warnings=(*self.warnings, *(text for text in texts if text not in self.warnings)))


def is_chapter_track(file: MediaFile, stream: Stream) -> bool:
    """Whether a stream only holds the chapters' titles, as MP4 has them; whoever writes chapters writes it anew."""
    by_text = stream.codec in {"bin_data", "none", ""}
    return bool(file.chapters) and file.container in {"mp4", "mov"} and stream.kind == "data" and by_text


def stands_last(stream: Stream) -> bool:
    """Whether files list a stream after all tracks, whatever order was written: covers, fonts and data."""
    return stream.picture or stream.kind in {"attachment", "data"}


def natural(file: MediaFile) -> tuple[Stream, ...]:
    """Return the streams in the order in which they come back when a file is written as it is."""
    streams = [stream for stream in file.streams if not is_chapter_track(file, stream)]
    return tuple(sorted(streams, key=lambda stream: (stands_last(stream), stream.index)))


def begun(file: MediaFile, words: Words) -> State:
    """Return the state in which nothing changes."""
    drafts = tuple(Draft(source=stream, now=stream) for stream in natural(file))
    return State(file=file, words=words, drafts=drafts, tags=dict(file.tags))


def encoded(stream: Stream, encode: Encode) -> Stream:
    """Return what a stream is once it is encoded so. A picture that is stored on its side is stored upright then."""
    options = dict(encode.options)

    def number(name: str, otherwise: int | None) -> int | None:
        return int(options[name]) if name in options else otherwise

    channels = number("channels", stream.channels)
    return replace(
        stream,
        codec=encode.to,
        profile="",
        bit_rate=number("bitrate", None),
        width=number("width", stream.width),
        height=number("height", stream.height),
        rotation=None,
        mirrored=False,
        interlaced=stream.interlaced and "deinterlace" not in options,
        dolby_vision="",
        hdr=replace(stream.hdr or Hdr(), dynamic=()),
        channels=channels,
        channel_layout=stream.channel_layout if channels == stream.channels else "",
    )
