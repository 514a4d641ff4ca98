"""What a policy can ask of a file: trees of conditions over tracks, tags, size and length. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from raddle.workloads.media.values import Kind

__all__ = [
    "OPS",
    "AllOf",
    "AnyOf",
    "Bounds",
    "Condition",
    "ContainerIs",
    "Count",
    "Exists",
    "Measure",
    "MultiLanguage",
    "Not",
    "Op",
    "Role",
    "Tag",
    "Text",
    "Tracks",
    "VideoCodecs",
]

Op = Literal["eq", "lt", "lte", "gt", "gte"]
Role = Literal["main", "commentary", "description", "music", "sfx"]
#: all must hold
Bounds = tuple[tuple[Op, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Of a title or tag, ignoring case; what is None is not asked. `regex` is searched for anywhere."""

    is_: str | None = None
    contains: str | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """Which tracks: all that is said must hold, what is empty or None is not asked. Cover pictures never match."""

    kind: Kind | None = None
    languages: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    default: bool | None = None
    forced: bool | None = None
    original: bool | None = None
    dub: bool | None = None
    hearing_impaired: bool | None = None
    interlaced: bool | None = None
    title: Text | None = None
    channels: Bounds = ()
    width: Bounds = ()
    height: Bounds = ()


@dataclass(frozen=True, slots=True)
class Exists:
    """At least one track matches."""

    tracks: Tracks


@dataclass(frozen=True, slots=True)
class Count:
    """So many tracks match."""

    tracks: Tracks
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class VideoCodecs:
    """There are pictures that move, and all of them have one of these codecs."""

    codecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContainerIs:
    """By content, not by name."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """Bytes, seconds, bit/s of the whole file, or lines of the largest picture; what is not known never holds."""

    of: Literal["size", "duration", "bitrate", "height"]
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of the whole file; `text` None: it is there and not empty."""

    name: str
    text: Text | None


@dataclass(frozen=True, slots=True)
class MultiLanguage:
    """Whether sound, commentary and the like left aside, has more than one known language."""

    expected: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one holds."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one holds."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    of: Condition


Condition = Exists | Count | VideoCodecs | ContainerIs | Measure | Tag | MultiLanguage | AllOf | AnyOf | Not

#: by the names of the file format
OPS: Final[tuple[Op, ...]] = ("eq", "lt", "lte", "gt", "gte")
