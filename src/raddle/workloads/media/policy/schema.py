"""The file format: which keys a mapping has, how each is read, and what does not go together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from yaml.nodes import MappingNode, Node, ScalarNode

from raddle.workloads.media.policy import values as v
from raddle.workloads.media.policy.asking import TEXT, TRACKS, condition, tracks
from raddle.workloads.media.policy.codecs import ALIASES, MOST_CHANNELS
from raddle.workloads.media.policy.reading import (
    Problem,
    Reader,
    Shape,
    Wrong,
    flag,
    integer,
    list_of,
    named,
    one_of,
    shape,
    text,
    wrong,
)
from raddle.workloads.media.policy.rule_schema import RULE, RULES, THEN, read_rules
from raddle.workloads.media.policy.scalars import bitrate, codec, free, height, language, percent, threads

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ORDER", "POLICY", "SHAPES"]

ORDER: Final = (
    "video",
    "audio",
    "audio_commentary",
    "audio_description",
    "audio_music",
    "audio_sfx",
    "subtitle",
    "subtitle_forced",
    "subtitle_commentary",
    "subtitle_hearing_impaired",
)
_PRESETS: Final = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
_CRF: Final = {"h264": (23, 51), "hevc": (28, 51), "av1": (30, 63), "vp9": (31, 63)}
_AUDIO_CODECS: Final = ("aac", "opus", "ac3", "eac3", "flac")
_CHANNELS: Final = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8, **{str(n): n for n in range(1, 9)}}
_BY_LANGUAGE: Final = one_of("by_language", "keep", "drop")
_LANGUAGES: Final = list_of(language, least=1)
_CODECS: Final = list_of(codec)
_KINDS: Final = list_of(one_of("video", "audio", "subtitle"), least=1)
_PIXELS: Final = integer(least=16, most=99_999)


def _one_codec(*names: str) -> Reader:
    """Return a reader of one of these codecs, by any of its names."""
    aliases = {alias: name for alias, name in ALIASES.items() if name in names}
    return named({**{name: name for name in names}, **aliases})


def _subtitle_languages(node: Node, name: str) -> tuple[str, ...] | None:
    if isinstance(node, ScalarNode) and node.value in {"all", "none"}:
        return None if node.value == "all" else ()
    return tuple(_LANGUAGES(node, name))


def _losses(node: Node, name: str) -> Any:
    return list_of(one_of("styling", "bitmap_subtitles", "attachments", "data", "pictures"))(node, name)


_CONVERSION: Final = shape(v.Conversion, to=one_of(*_AUDIO_CODECS), bitrate=bitrate)


def _conversions(node: Node, name: str) -> tuple[tuple[str, v.Conversion], ...]:
    if not isinstance(node, MappingNode):
        raise wrong(node, name, "must be a mapping of codecs, like dts: {to: aac, bitrate: 256k}")
    result: dict[str, v.Conversion] = {}
    problems: list[Problem] = []
    for key, value in node.value:
        try:
            result[codec(key, name)] = _CONVERSION(value, f"{name}.{key.value}")
        except Wrong as error:
            problems.extend(error.problems)
    if problems:
        raise Wrong(problems)
    return tuple(sorted(result.items(), key=lambda pair: pair[0]))


def _video_check(video: v.Video) -> Iterable[tuple[str, str]]:
    most = _CRF[video.to][1]
    if video.crf is not None and video.bitrate is not None:
        yield "bitrate", "crf and bitrate exclude each other; remove one (crf with max_bitrate caps the quality)"
    if video.crf is not None and video.crf > most:
        yield "crf", f"must be at most {most} for {video.to}"
    if video.two_pass and video.bitrate is None:
        yield "two_pass", "needs bitrate"
    if video.preset is not None and video.to in {"h264", "hevc"} and video.preset not in _PRESETS:
        yield "preset", f"must be one of {', '.join(_PRESETS)} for {video.to}"
    if video.preset is not None and video.to in {"av1", "vp9"} and video.preset not in _PRESETS:
        highest = 13 if video.to == "av1" else 8
        if not (video.preset.isdecimal() and int(video.preset) <= highest):
            yield "preset", f"must be one of {', '.join(_PRESETS)}, or 0 (best) to {highest} (fastest) for {video.to}"


def _word(node: Node, name: str) -> str:
    word = text(node, name)
    if not word or not word.isascii() or not all(letter.isalnum() or letter in "_-" for letter in word):
        raise wrong(node, name, "must be a word of letters, digits, _ and -")
    return word


def _video(node: Node, name: str) -> v.Video:
    video: v.Video = _VIDEO(node, name)
    plain = video.crf is None and video.bitrate is None
    return replace(video, crf=_CRF[video.to][0]) if plain else video


_VIDEO: Final = shape(
    v.Video,
    _video_check,
    to=_one_codec("h264", "hevc", "av1", "vp9"),
    copy=_CODECS,
    crf=integer(least=0, most=63),
    bitrate=bitrate,
    max_bitrate=bitrate,
    preset=_word,
    tune=_word,
    two_pass=flag,
    max_width=_PIXELS,
    max_height=height,
    threads=threads,
    hardware=one_of("none", "auto", "nvenc", "qsv", "vaapi"),
    hardware_fallback=flag,
    hdr=one_of("keep", "leave", "lose"),
    interlaced=one_of("keep", "leave", "deinterlace"),
    unless=condition,
)
_SOURCE: Final = shape(
    v.Source,
    languages=("language", _LANGUAGES),
    codecs=("codec", list_of(codec, least=1)),
    most_channels=flag,
    commentary=flag,
)


def _unless_exists(node: Node, name: str) -> Any:
    if isinstance(node, ScalarNode):
        if node.value != "true":
            raise wrong(node, name, "must be true or say which tracks; without it each run would add one more")
        return None
    return tracks(node, name)


def _add_check(add: v.AddAudio) -> Iterable[tuple[str, str]]:
    if add.channels > MOST_CHANNELS[add.codec]:
        yield "channels", f"must be at most {MOST_CHANNELS[add.codec]} for {add.codec}"


_ADD_AUDIO: Final = shape(
    v.AddAudio,
    _add_check,
    codec=one_of(*_AUDIO_CODECS),
    channels=named(_CHANNELS),
    bitrate=bitrate,
    title=text,
    source=("from", _SOURCE),
    unless_exists=_unless_exists,
    position=one_of("after_source", "end"),
)


def _step_check(step: v.Step) -> Iterable[tuple[str, str]]:
    if replace(step, name="", skip_if=None) == v.Step():
        yield "name", "the step does nothing; name an operation: keep_audio, container, video ..."
    keep, clear = step.keep_subtitles, step.clear
    if keep and clear and keep.forced == "keep" and "subtitle" in clear.forced:
        yield "clear", "clears the flag by which keep_subtitles.forced=keep knows its tracks: the next run loses them"
    if keep and keep.forced == "keep" and step.defaults and step.defaults.forced == "none":
        yield "defaults", "forced: none clears what keep_subtitles.forced=keep goes by: the next run loses the tracks"
    fine = {step.audio.to, *step.audio.copy} if step.audio else set()
    for add in step.add_audio if step.audio else ():
        if add.codec not in fine and not fine & {"lossless" if add.codec == "flac" else "lossy"}:
            yield (
                "audio",
                f"would encode the track of add_audio.codec={add.codec} again; put {add.codec} into audio.copy",
            )


def _keep_check(keep: v.KeepAudio) -> Iterable[tuple[str, str]]:
    if keep.at_least == 0 and keep.otherwise != "fail":
        yield "otherwise", "has no effect with at_least=0; remove one"


_STEP: Final = shape(
    v.Step,
    _step_check,
    name=text,
    skip_if=condition,
    keep_audio=shape(
        v.KeepAudio,
        _keep_check,
        languages=_LANGUAGES,
        at_least=integer(least=0, most=99),
        otherwise=one_of("fail", "keep_all", "keep_first", "content_language"),
        commentary=_BY_LANGUAGE,
        description=_BY_LANGUAGE,
        music=_BY_LANGUAGE,
        sfx=_BY_LANGUAGE,
    ),
    keep_subtitles=shape(v.KeepSubtitles, languages=_subtitle_languages, forced=_BY_LANGUAGE, commentary=_BY_LANGUAGE),
    attachments=one_of("keep", "keep_fonts", "remove", "remove_all"),
    order=list_of(one_of(*ORDER), least=1),
    defaults=shape(
        v.Defaults,
        video=one_of("as_is", "first"),
        audio=one_of("as_is", "preferred", "first", "none"),
        subtitle=one_of("as_is", "preferred", "first", "none", "when_foreign"),
        forced=one_of("as_is", "none", "when_foreign"),
        audio_codecs=_CODECS,
    ),
    clear=shape(v.Clear, titles=_KINDS, default=_KINDS, forced=_KINDS, title=flag),
    container=shape(
        v.Container,
        to=one_of("mkv", "mp4"),
        audio=one_of("refuse", "convert"),
        codecs=_conversions,
        losses=_losses,
    ),
    video=_video,
    audio=shape(v.Audio, to=one_of(*_AUDIO_CODECS), copy=_CODECS, bitrate=bitrate, unless=condition),
    add_audio=list_of(_ADD_AUDIO, least=1),
    rules=read_rules,
)


def _version(node: Node, name: str) -> int:
    if text(node, name) != "1":
        raise wrong(node, name, "must be 1, the only version there is")
    return 1


POLICY: Final = shape(
    v.Policy,
    version=_version,
    languages=shape(v.Languages, audio=_LANGUAGES, subtitles=_LANGUAGES),
    on_error=one_of("skip", "stop"),
    times=one_of("preserve", "now", "release_date"),
    safety=shape(
        v.Safety,
        verify=one_of("packets", "decode"),
        originals=one_of("trash", "keep", "delete"),
        trash_days=integer(least=0, most=36_500),
        reject_larger_than=percent,
        min_free=free,
        hardlinks=one_of("skip", "break"),
    ),
    words=shape(v.Words, commentary=list_of(text), description=list_of(text), music=list_of(text), sfx=list_of(text)),
    steps=list_of(_STEP, least=1),
)


def _with_inner(kinds: Iterable[Shape]) -> Iterable[Shape]:
    for kind in kinds:
        yield kind
        yield from _with_inner(reader for _, reader in kind.keys.values() if isinstance(reader, Shape))


#: every mapping of the format, by class
SHAPES: Final[dict[type, Shape]] = {
    kind.cls: kind
    for kind in _with_inner((POLICY, _STEP, _VIDEO, _SOURCE, _ADD_AUDIO, _CONVERSION, THEN, RULE, RULES, TRACKS, TEXT))
}
