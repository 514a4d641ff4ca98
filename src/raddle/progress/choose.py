"""From what the caller says to observers. A kind of view is imported only when it is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from raddle._ports import Clock, Observer

__all__ = ["observer_for"]


def observer_for(spec: object, *, stream: TextIO | None = None, clock: Clock) -> list[Observer]:
    """Return the observers that `spec` names.

    Args:
        spec: None or "none": nobody; "live": a view that repaints itself; "line": one line; "jsonl": JSON Lines;
            "logging": the standard logging; "auto": live on a terminal, else lines; an observer; a list of these
        stream: where to write; default: standard error
        clock: what time it is

    Raises:
        ConfigError: the spec is none of these
    """
    stream = sys.stderr if stream is None else stream
    if spec is None or spec == "none":
        return []
    if callable(spec):
        return [spec]
    if isinstance(spec, (list, tuple)):
        return [observer for part in spec for observer in observer_for(part, stream=stream, clock=clock)]
    return [_named(spec, stream, clock)]


def _named(name: object, stream: TextIO, clock: Clock) -> Observer:
    match name:
        case "live" | "auto":
            from raddle.progress.live import live

            return live(stream, clock)
        case "line":
            from raddle.progress.line import Line

            return Line(stream, clock)
        case "jsonl":
            from raddle.progress.jsonl import JsonLines

            return JsonLines(stream, clock)
        case "logging":
            from raddle.progress.logging import Logging

            return Logging()
    kinds = "auto, live, line, jsonl, logging, none, an observer, or a list of them"
    raise ConfigError(f"progress={name!r}: must be one of {kinds}")
