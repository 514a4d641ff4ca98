"""Readers of conditions and of what says which tracks are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from yaml.nodes import MappingNode, Node, ScalarNode

from raddle.workloads.media.policy import conditions as ask
from raddle.workloads.media.policy.reading import (
    Reader,
    Wrong,
    entries,
    flag,
    integer,
    list_of,
    one_of,
    read_all,
    shape,
    text,
    wrong,
)
from raddle.workloads.media.policy.scalars import bitrate, codec, duration, height, language, regex, size

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONDITIONS", "COUNT", "TAG", "TEXT", "TRACKS", "condition", "tracks", "tracks_and"]

_CONTAINERS: Final = (
    "mkv", "webm", "mp4", "mov", "avi", "ts", "mpg", "flv", "wmv", "ogg", "rm", "mxf", "nut", "dv", "wtv", "ivf",
)  # fmt: skip
_ROLES: Final = ("main", "commentary", "description", "music", "sfx")


def _text_check(value: ask.Text) -> Iterable[tuple[str, str]]:
    if value == ask.Text():
        yield "contains", "say one of is, contains, regex"


TEXT = shape(ask.Text, _text_check, is_=("is", text), contains=text, regex=regex)


def matching(node: Node, name: str) -> ask.Text:
    """Read a text that is contained, or a mapping that says how it is compared."""
    if isinstance(node, ScalarNode):
        return ask.Text(contains=text(node, name))
    return cast("ask.Text", TEXT(node, name))


def bounds(node: Node, name: str) -> ask.Bounds:
    """Read a number, or a mapping of comparisons."""
    number = integer(least=0, most=10**9)
    if isinstance(node, ScalarNode):
        return (("eq", float(number(node, name))),)
    found, problems = entries(node, name, ask.OPS)
    values, more = read_all({key: (value, number) for key, value in found.items()}, name)
    if problems or more:
        raise Wrong([*problems, *more])
    if not values:
        raise wrong(node, name, "say one of eq, lt, lte, gt, gte")
    return tuple((op, float(values[op])) for op in ask.OPS if op in values)


_TRACKS: dict[str, Any] = {
    "kind": ("type", one_of("video", "audio", "subtitle", "attachment")),
    "languages": ("language", list_of(language, least=1)),
    "codecs": ("codec", list_of(codec, least=1)),
    "roles": ("role", list_of(one_of(*_ROLES), least=1)),
    "default": flag,
    "forced": flag,
    "original": flag,
    "dub": flag,
    "hearing_impaired": flag,
    "interlaced": flag,
    "title": matching,
    "channels": bounds,
    "width": bounds,
    "height": bounds,
}


def _tracks_check(value: ask.Tracks) -> Iterable[tuple[str, str]]:
    if value == ask.Tracks():
        yield "type", "say which tracks are meant: type, language, codec, title ..."


TRACKS = shape(ask.Tracks, _tracks_check, **_TRACKS)
tracks: Reader = TRACKS


def tracks_and(node: Node, name: str, *keys: str) -> tuple[ask.Tracks, MappingNode]:
    """Read which tracks are meant from a mapping that also has other keys; return the rest as a mapping."""
    if not isinstance(node, MappingNode):
        raise wrong(node, name, "must be a mapping that says which tracks: type, language, codec, title ...")
    own = [pair for pair in node.value if not (isinstance(pair[0], ScalarNode) and pair[0].value in keys)]
    rest = [pair for pair in node.value if pair not in own]
    return (
        cast("ask.Tracks", TRACKS(MappingNode(node.tag, own, node.start_mark, node.end_mark), name)),
        MappingNode(node.tag, rest, node.start_mark, node.end_mark),
    )


def _count(node: Node, name: str) -> ask.Condition:
    which, rest = tracks_and(node, name, *ask.OPS)
    return ask.Count(which, bounds(rest, name))


def _tag(node: Node, name: str) -> ask.Condition:
    if isinstance(node, ScalarNode):
        return ask.Tag(text(node, name), None)
    found, problems = entries(node, name, ("name", "is", "contains", "regex"))
    values, more = read_all(
        {key: (value, regex if key == "regex" else text) for key, value in found.items()},
        name,
    )
    if problems or more:
        raise Wrong([*problems, *more])
    if "name" not in values:
        raise wrong(node, f"{name}.name", "is missing")
    comparison = ask.Text(is_=values.get("is"), contains=values.get("contains"), regex=values.get("regex"))
    return ask.Tag(values["name"], comparison if comparison != ask.Text() else None)


def _measure(of: Any, op: ask.Op, reader: Reader) -> Reader:
    return lambda node, name: ask.Measure(of, ((op, float(reader(node, name))),))


def _exists(kind: Any, field: str, reader: Reader) -> Reader:
    """Return a reader of a list of values of one field: a track of the kind has one of them."""
    values = list_of(reader, least=1)
    return lambda node, name: ask.Exists(ask.Tracks(kind=kind, **{field: values(node, name)}))


def _several(kind: type[ask.AllOf | ask.AnyOf]) -> Reader:
    return lambda node, name: kind(list_of(condition, least=1, single=False)(node, name))


CONDITIONS: Final[dict[str, Reader]] = {
    "any": _several(ask.AnyOf),
    "or": _several(ask.AnyOf),
    "all": _several(ask.AllOf),
    "and": _several(ask.AllOf),
    "not": lambda node, name: ask.Not(condition(node, name)),
    "exists": lambda node, name: ask.Exists(tracks(node, name)),
    "missing": lambda node, name: ask.Not(ask.Exists(tracks(node, name))),
    "count": _count,
    "video_codec": lambda node, name: ask.VideoCodecs(list_of(codec, least=1)(node, name)),
    "audio_codec": _exists("audio", "codecs", codec),
    "audio_language": _exists("audio", "languages", language),
    "subtitle_language": _exists("subtitle", "languages", language),
    "multi_language_audio": lambda node, name: ask.MultiLanguage(flag(node, name)),
    "container": lambda node, name: ask.ContainerIs(list_of(one_of(*_CONTAINERS), least=1)(node, name)),
    "size_under": _measure("size", "lt", size),
    "size_over": _measure("size", "gt", size),
    "duration_under": _measure("duration", "lt", duration),
    "duration_over": _measure("duration", "gt", duration),
    "bitrate_under": _measure("bitrate", "lt", bitrate),
    "bitrate_over": _measure("bitrate", "gt", bitrate),
    "height_under": _measure("height", "lt", height),
    "height_over": _measure("height", "gt", height),
    "tag": _tag,
}

COUNT: Final = ask.OPS
TAG: Final = ("name", "is", "contains", "regex")


def condition(node: Node, name: str) -> ask.Condition:
    """Read a condition; several keys of one mapping must all hold."""
    found, problems = entries(node, name, CONDITIONS)
    values, more = read_all({key: (value, CONDITIONS[key]) for key, value in found.items()}, name)
    if problems or more:
        raise Wrong([*problems, *more])
    if not values:
        raise wrong(node, name, "must not be empty")
    parts = tuple(values.values())
    return cast("ask.Condition", parts[0] if len(parts) == 1 else ask.AllOf(parts))
