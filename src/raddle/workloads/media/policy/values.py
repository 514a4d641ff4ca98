"""A policy, read and checked. What each key means: docs/reference/media-policy.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from raddle.workloads.media.policy.conditions import Condition, Tracks

__all__ = [
    "AddAudio",
    "Attachments",
    "Audio",
    "Clear",
    "Container",
    "Conversion",
    "Defaults",
    "Flag",
    "Free",
    "KeepAudio",
    "KeepSubtitles",
    "Languages",
    "Policy",
    "Rule",
    "Rules",
    "Safety",
    "SetLanguage",
    "SetTag",
    "Source",
    "Step",
    "Then",
    "Video",
    "Words",
]

Attachments = Literal["keep", "keep_fonts", "remove", "remove_all"]
ByLanguage = Literal["by_language", "keep", "drop"]
VideoCodec = Literal["h264", "hevc", "av1", "vp9"]
AudioCodec = Literal["aac", "opus", "ac3", "eac3", "flac"]
Loss = Literal["styling", "bitmap_subtitles", "attachments", "data", "pictures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Languages:
    """In order of preference, as ISO 639-2/B codes."""

    audio: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """How much of a disk stays free: a share of it in percent, or bytes."""

    percent: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """How a result is checked and the original kept. `reject_larger_than` is percent of the original's size."""

    verify: Literal["packets", "decode"] = "packets"
    originals: Literal["trash", "keep", "delete"] = "trash"
    trash_days: int = 7
    reject_larger_than: float | None = None
    min_free: Free = Free(percent=5.0)
    hardlinks: Literal["skip", "break"] = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words and phrases in a title that tell what a track is; whole words, ignoring case."""

    commentary: tuple[str, ...] = (
        "commentary",
        "commentaries",
        "audio commentary",
        "kommentar",
        "audiokommentar",
        "commentaire",
        "commentaires",
        "comentario",
        "comentarios",
        "commento",
    )
    description: tuple[str, ...] = (
        "audio description",
        "audiodescription",
        "audiodeskription",
        "described video",
        "descriptive",
        "descriptive audio",
        "dvs",
        "visually impaired",
    )
    music: tuple[str, ...] = ("music", "isolated score", "score only", "ost", "karaoke")
    sfx: tuple[str, ...] = ("sfx", "sound effects", "effects only")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAudio:
    """Audio of these languages stays, the rest goes."""

    languages: tuple[str, ...]
    at_least: int = 1
    otherwise: Literal["fail", "keep_all", "keep_first", "content_language"] = "fail"
    commentary: ByLanguage = "by_language"
    description: ByLanguage = "by_language"
    music: ByLanguage = "by_language"
    sfx: ByLanguage = "by_language"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSubtitles:
    """Subtitles of these languages stay, the rest goes. `languages` None: all; empty: none."""

    languages: tuple[str, ...] | None
    forced: ByLanguage = "by_language"
    commentary: ByLanguage = "by_language"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Which track of a kind players choose by themselves; "as_is" leaves the flags of that kind alone."""

    video: Literal["as_is", "first"] = "as_is"
    audio: Literal["as_is", "preferred", "first", "none"] = "as_is"
    subtitle: Literal["as_is", "preferred", "first", "none", "when_foreign"] = "as_is"
    forced: Literal["as_is", "none", "when_foreign"] = "as_is"
    audio_codecs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """Kinds of streams ("video", "audio", "subtitle") whose titles or flags are cleared."""

    titles: tuple[str, ...] = ()
    default: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    #: of the whole file
    title: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What a sound stream becomes that the new container cannot hold. `bitrate` in bit/s."""

    to: AudioCodec
    bitrate: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The container, and what may be given up for it."""

    to: Literal["mkv", "mp4"]
    audio: Literal["refuse", "convert"] = "refuse"
    codecs: tuple[tuple[str, Conversion], ...] = ()
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """Pictures that do not fit are encoded. Bit rates in bit/s. Exactly one of `crf` and `bitrate` is set."""

    to: VideoCodec
    copy: tuple[str, ...] = ()
    crf: int | None = None
    bitrate: int | None = None
    max_bitrate: int | None = None
    preset: str | None = None
    tune: str | None = None
    two_pass: bool = False
    max_width: int | None = None
    max_height: int | None = None
    #: None: as many as the machine's share for one encode
    threads: int | None = None
    hardware: Literal["none", "auto", "nvenc", "qsv", "vaapi"] = "none"
    hardware_fallback: bool = True
    #: pictures whose dynamic range cannot be kept: refused, left as they are, or encoded
    hdr: Literal["keep", "leave", "lose"] = "keep"
    #: interlaced pictures that cannot stay so: refused, or left as they are; or all made progressive
    interlaced: Literal["keep", "leave", "deinterlace"] = "keep"
    unless: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Sound whose codec is neither `to` nor in `copy` is encoded. `bitrate` in bit/s."""

    to: AudioCodec
    copy: tuple[str, ...] = ()
    bitrate: int | None = None
    unless: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which track a downmix is made of: by the audio languages' order, then as said here, then the first."""

    languages: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    most_channels: bool = True
    commentary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAudio:
    """A further track beside the one it is made of. `bitrate` in bit/s."""

    codec: AudioCodec
    channels: int = 2
    bitrate: int | None = None
    title: str | None = None
    source: Source = Source()
    #: besides a track that is just like the new one (codec, channels, language)
    unless_exists: Tracks | None = None
    position: Literal["after_source", "end"] = "after_source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Set or clear a flag of the tracks that match."""

    tracks: Tracks
    to: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguage:
    """Say the language of the tracks that match."""

    tracks: Tracks
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTag:
    """A tag of the whole file; an empty value removes it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """What a rule does, in this order."""

    set_language: tuple[SetLanguage, ...] = ()
    set_default: tuple[Flag, ...] = ()
    set_forced: tuple[Flag, ...] = ()
    set_tag: tuple[SetTag, ...] = ()
    warn: str | None = None
    fail: str | None = None
    skip_video: bool = False
    skip_audio: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`otherwise` is the key `else`."""

    when: Condition
    then: Then = Then()
    otherwise: Then = Then()
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`match` first: no rule after the first that applies is looked at."""

    items: tuple[Rule, ...] = ()
    match: Literal["all", "first"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One plan over one probe, one run of a tool. What is None or empty is not touched."""

    name: str = ""
    skip_if: Condition | None = None
    keep_audio: KeepAudio | None = None
    keep_subtitles: KeepSubtitles | None = None
    attachments: Attachments = "keep"
    order: tuple[str, ...] = ()
    defaults: Defaults | None = None
    clear: Clear | None = None
    container: Container | None = None
    video: Video | None = None
    audio: Audio | None = None
    add_audio: tuple[AddAudio, ...] = ()
    rules: Rules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy file."""

    version: int
    languages: Languages = Languages()
    on_error: Literal["skip", "stop"] = "skip"
    #: the times of a file that was changed
    times: Literal["preserve", "now", "release_date"] = "preserve"
    safety: Safety = Safety()
    words: Words = Words()
    steps: tuple[Step, ...]
