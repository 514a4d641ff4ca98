"""What shall become of a file: written by planning, turned into commands by the tools, checked by the verifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from raddle.workloads.media.values import Kind, MediaFile

__all__ = ["Encode", "Method", "Output", "Plan", "Refusal", "Skip"]

#: headers: flags, titles and languages of a Matroska file only. remux: streams copied, subtitles at most converted
#: from one text format into another. encode: at least one picture or sound stream is encoded anew
Method = Literal["none", "headers", "remux", "encode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encode:
    """One stream encoded anew.

    `options` hold text by the policy's names, sorted, only those that apply to this stream: `crf` or `bitrate` (bit/s,
    digits), `max_bitrate` (bit/s), `preset`, `tune`, `two_pass` ("true"), `threads`, `hardware`
    ("auto", "nvenc", "qsv", "vaapi"), `hardware_fallback` ("true", "false"), `max_width` and `max_height` (only when
    the source is larger) with the exact even `width` and `height` that follow, `channels` (of the result), `hdr`
    ("keep": the result has to say of its mastering what the source says), `deinterlace` ("true").
    """

    #: ffmpeg's encoder family: "hevc", "h264", "av1", "vp9", "aac", "opus", "ac3", "eac3", "flac", "mov_text", "subrip"
    to: str
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str | None:
        """Return an option's text, or None."""
        return dict(self.options).get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One stream of the result, in order."""

    #: Stream.index in the source
    source: int
    kind: Kind
    #: None: copied
    codec: Encode | None
    language: str
    title: str
    default: bool
    forced: bool
    #: the others, as they shall be
    dispositions: frozenset[str]
    #: a further version of a stream (downmix), beside the copied one
    added: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one step makes of one file, over one probe."""

    source: MediaFile
    #: "mkv" | "mp4"; the source's own container when there is nothing to do
    container: str
    #: path the result takes in the end (other suffix when the container changes)
    target: str
    outputs: tuple[Output, ...]
    #: whether the result has chapters
    chapters: bool
    #: of the whole file, as they shall be
    tags: tuple[tuple[str, str], ...]
    #: in words, one per change; empty: nothing to do
    changes: tuple[str, ...]
    method: Method
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """The step's `skip_if` holds: the file is left as it is."""

    source: MediaFile
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The step cannot be done on this file without losing what the policy does not give up; the file counts as failed.

    `reason` names the streams and says what to write into the policy.
    """

    source: MediaFile
    reason: str
