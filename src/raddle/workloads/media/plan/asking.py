"""Whether a condition holds, and which tracks are meant."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Final

from raddle.workloads.media import languages
from raddle.workloads.media.plan.roles import for_hearing_impaired, role
from raddle.workloads.media.policy import conditions as ask
from raddle.workloads.media.policy.codecs import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raddle.workloads.media.policy.values import Words
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["holds", "language_of", "selects"]

_OPS: Final[dict[str, Callable[[float, float], bool]]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def language_of(stream: Stream) -> str:
    """Return a stream's language as a code to compare."""
    return languages.normal(stream.language)


def _within(value: float | None, bounds: ask.Bounds) -> bool:
    """Whether all comparisons hold; what is not known fulfils none."""
    return not bounds or (value is not None and all(_OPS[op](value, bound) for op, bound in bounds))


def _reads(value: str, text: ask.Text | None) -> bool:
    if text is None:
        return True
    folded = value.casefold()
    if text.is_ is not None and folded != text.is_.casefold():
        return False
    if text.contains is not None and text.contains.casefold() not in folded:
        return False
    return text.regex is None or re.search(text.regex, value, re.IGNORECASE) is not None


def _flagged(stream: Stream, tracks: ask.Tracks) -> bool:
    has = {
        "default": stream.default,
        "forced": stream.forced,
        "original": "original" in stream.dispositions,
        "dub": "dub" in stream.dispositions,
        "hearing_impaired": for_hearing_impaired(stream) or "hearing_impaired" in stream.dispositions,
        "interlaced": stream.interlaced,
    }
    return all(wanted is None or has[name] == wanted for name in has for wanted in (getattr(tracks, name),))


def selects(tracks: ask.Tracks, stream: Stream, words: Words) -> bool:
    """Whether a stream is meant. Cover pictures never are."""
    return (
        not stream.picture
        and tracks.kind in {None, stream.kind}
        and (not tracks.languages or language_of(stream) in tracks.languages)
        and (not tracks.codecs or matches(stream, tracks.codecs))
        and (not tracks.roles or role(stream, words) in tracks.roles)
        and _flagged(stream, tracks)
        and _reads(stream.title, tracks.title)
        and _within(stream.channels, tracks.channels)
        and _within(stream.width, tracks.width)
        and _within(stream.height, tracks.height)
    )


def _measured(of: str, file: MediaFile, streams: Iterable[Stream]) -> float | None:
    match of:
        case "size":
            return file.size
        case "duration":
            return file.duration
        case "bitrate":
            return file.size * 8 / file.duration if file.duration else None
        case _:
            return max((stream.height for stream in streams if _moves(stream) and stream.height), default=None)


def _moves(stream: Stream) -> bool:
    return stream.kind == "video" and not stream.picture


def _multi_language(streams: Iterable[Stream], words: Words) -> bool:
    main = (one for one in streams if one.kind == "audio" and role(one, words) == "main")
    return len({language_of(stream) for stream in main} - {"und", "zxx", "mul", "mis"}) > 1


def _tag(file_tags: Iterable[tuple[str, str]], asked: ask.Tag) -> bool:
    value = next((text for name, text in file_tags if name.casefold() == asked.name.casefold()), "")
    return bool(value) and _reads(value, asked.text)


def holds(
    condition: ask.Condition,
    file: MediaFile,
    words: Words,
    *,
    streams: tuple[Stream, ...] | None = None,
    tags: Iterable[tuple[str, str]] | None = None,
) -> bool:
    """Whether a condition holds of a file; `streams` and `tags` take the place of the file's own."""
    own = file.streams if streams is None else streams
    own_tags = tuple(file.tags if tags is None else tags)

    def again(inner: ask.Condition) -> bool:
        return holds(inner, file, words, streams=own, tags=own_tags)

    match condition:
        case ask.AllOf(of):
            return all(again(inner) for inner in of)
        case ask.AnyOf(of):
            return any(again(inner) for inner in of)
        case ask.Not(of):
            return not again(of)
        case ask.ContainerIs() | ask.Measure() | ask.Tag():
            return _of_file(condition, file, own, own_tags)
        case _:
            return _of_streams(condition, own, words)


def _of_file(
    condition: ask.ContainerIs | ask.Measure | ask.Tag,
    file: MediaFile,
    streams: tuple[Stream, ...],
    tags: Iterable[tuple[str, str]],
) -> bool:
    match condition:
        case ask.ContainerIs(names):
            return file.container in names
        case ask.Measure(of, bounds):
            return _within(_measured(of, file, streams), bounds)
        case ask.Tag():
            return _tag(tags, condition)


def _of_streams(
    condition: ask.Exists | ask.Count | ask.VideoCodecs | ask.MultiLanguage, streams: tuple[Stream, ...], words: Words
) -> bool:
    match condition:
        case ask.Exists(tracks):
            return any(selects(tracks, stream, words) for stream in streams)
        case ask.Count(tracks, bounds):
            return _within(sum(selects(tracks, stream, words) for stream in streams), bounds)
        case ask.VideoCodecs(codecs):
            moving = [stream for stream in streams if _moves(stream)]
            return bool(moving) and all(matches(stream, codecs) for stream in moving)
        case ask.MultiLanguage(expected):
            return _multi_language(streams, words) == expected
