"""Why a condition holds, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raddle.workloads.media.plan.asking import holds
from raddle.workloads.media.policy import conditions as ask

if TYPE_CHECKING:
    from raddle.workloads.media.policy.values import Words
    from raddle.workloads.media.values import MediaFile

__all__ = ["because"]

_SIGNS: Final = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_UNITS: Final = {"size": (1e6, " MB"), "duration": (1.0, " s"), "bitrate": (1e3, " kbit/s"), "height": (1.0, " lines")}


def because(condition: ask.Condition, file: MediaFile, words: Words) -> str:
    """Return in words what makes a condition hold that does; of alternatives, the first."""
    match condition:
        case ask.AnyOf(of):
            return next(because(inner, file, words) for inner in of if holds(inner, file, words))
        case ask.AllOf(of):
            return " and ".join(because(inner, file, words) for inner in of)
        case ask.Not(of):
            return f"not {_named(of)}"
        case _:
            return _named(condition)


def _named(condition: ask.Condition) -> str:
    match condition:
        case ask.AnyOf(of) | ask.AllOf(of):
            word = " or " if isinstance(condition, ask.AnyOf) else " and "
            return f"({word.join(_named(inner) for inner in of)})"
        case ask.Not(of):
            return f"not {_named(of)}"
        case ask.Measure(what, bounds):
            share, unit = _UNITS[what]
            return f"{what} {' '.join(f'{_SIGNS[op]} {value / share:g}{unit}' for op, value in bounds)}"
        case _:
            return _leaf(condition)


def _leaf(condition: ask.Exists | ask.Count | ask.VideoCodecs | ask.ContainerIs | ask.MultiLanguage | ask.Tag) -> str:
    match condition:
        case ask.VideoCodecs(codecs):
            return f"video_codec {', '.join(codecs)}"
        case ask.ContainerIs(names):
            return f"container {', '.join(names)}"
        case ask.MultiLanguage(expected):
            return f"multi_language_audio {str(expected).lower()}"
        case ask.Tag(name, _):
            return f"tag {name}"
        case ask.Count(tracks, bounds):
            return f"count {' '.join(f'{_SIGNS[op]} {value:g}' for op, value in bounds)} of {_tracks(tracks)}"
        case ask.Exists(tracks):
            return f"exists {_tracks(tracks)}"


def _tracks(tracks: ask.Tracks) -> str:
    words = [*tracks.roles, tracks.kind or "track", *tracks.languages, *tracks.codecs]
    flags = [name for name in ("default", "forced") if getattr(tracks, name)]
    return " ".join([*flags, *words])
