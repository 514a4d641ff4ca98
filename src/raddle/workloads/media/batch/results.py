"""How a file ended, and the same as text and JSON."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from raddle.workloads.media.replace.system import Identity
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = [
    "STATUSES",
    "Did",
    "NotDone",
    "Result",
    "Status",
    "path_json",
    "printable",
    "row",
    "size_text",
    "streams_text",
]

Status = Literal["done", "unchanged", "skipped", "failed", "cancelled", "planned"]
STATUSES: tuple[Status, ...] = ("planned", "done", "unchanged", "skipped", "failed", "cancelled")
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_THOUSAND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Did:
    """What one step of the policy did to the file, or would do."""

    #: from 1
    number: int
    name: str = ""
    #: as in `Plan`; "skipped" when its skip_if held
    method: str
    changes: tuple[str, ...] = ()
    #: why it was skipped
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one file ended. Sizes in bytes."""

    path: str
    status: Status
    reason: str = ""
    steps: tuple[Did, ...] = ()
    warnings: tuple[str, ...] = ()
    streams_before: tuple[str, ...] = ()
    streams_after: tuple[str, ...] = ()
    size_before: int | None = None
    size_after: int | None = None
    seconds: float = 0.0
    verify_level: str = ""
    #: "" if nothing was verified
    verify_result: str = ""
    #: how often a program was tried for the step that took most tries
    attempts: int = 0
    #: path of the result, if its name is another
    target: str = ""
    #: what an earlier run left is still there, so nothing was looked into
    resumed: bool = False
    #: the last lines of the program that failed
    said: tuple[str, ...] = ()
    #: of the file as it is now, when this policy has no more to do on it
    settled: Identity | None = None

    @property
    def changes(self) -> tuple[str, ...]:
        """Return all changes, in words."""
        return tuple(change for step in self.steps for change in step.changes)

    @property
    def saved(self) -> int:
        """Return the bytes that the file is smaller now; negative if it is larger."""
        if self.status not in {"done", "failed"} or self.size_before is None or self.size_after is None:
            return 0
        return self.size_before - self.size_after


class NotDone(Exception):
    """Raised in a worker for a file that failed or was cancelled; it carries the result through the engine."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.reason or result.status)
        self.result = result


def row(result: Result) -> dict[str, Any]:
    """Return what a line of JSON says."""
    told: dict[str, Any] = {
        **path_json("path", result.path),
        "status": result.status,
        "reason": printable(result.reason),
        "changes": [printable(change) for change in result.changes],
        "steps": [_step(step) for step in result.steps],
        "warnings": [printable(warning) for warning in result.warnings],
        "streams_before": [printable(stream) for stream in result.streams_before],
        "streams_after": [printable(stream) for stream in result.streams_after],
        "size_before": result.size_before,
        "size_after": result.size_after,
        "seconds": round(result.seconds, 3),
        "verify": {"level": result.verify_level, "result": printable(result.verify_result)}
        if result.verify_result
        else None,
        "attempts": result.attempts,
        "resumed": result.resumed,
    }
    if result.target:
        told |= path_json("target", result.target)
    if result.said:
        told["stderr"] = [printable(line) for line in result.said]
    return told


def _step(step: Did) -> dict[str, Any]:
    told: dict[str, Any] = {"step": step.number, "method": step.method, "changes": list(map(printable, step.changes))}
    if step.name:
        told["name"] = step.name
    if step.reason:
        told["reason"] = printable(step.reason)
    return told


def path_json(key: str, path: str) -> dict[str, str]:
    """Return the path as text, and its bytes where they are no UTF-8: the text alone would not lead back to it."""
    raw = os.fsencode(path)
    try:
        return {key: raw.decode()}
    except UnicodeDecodeError:
        return {key: printable(path), f"{key}_base64": base64.b64encode(raw).decode()}


def printable(text: str) -> str:
    r"""Return text that is UTF-8 and cannot move a cursor: bytes that are no UTF-8 as \xff."""
    clean = os.fsencode(text).decode("utf-8", "backslashreplace") if not _is_text(text) else text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in clean)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def streams_text(media: MediaFile) -> tuple[str, ...]:
    """Say in a few words what each stream is."""
    return tuple(_stream(stream) for stream in media.streams)


def _stream(stream: Stream) -> str:
    words = [stream.kind, stream.codec]
    if stream.width and stream.height:
        words.append(f"{stream.width}x{stream.height}")
    if stream.channels:
        words.append(f"{stream.channels}ch")
    if stream.kind in {"audio", "subtitle"}:
        words.append(stream.language)
    words += [word for word, on in (("default", stream.default), ("forced", stream.forced)) if on]
    name = stream.title or stream.filename
    return " ".join([*words, *([repr(name)] if name else [])])


def size_text(size: float) -> str:
    """Write bytes as people say them: "812 bytes", "1.5 MB"."""
    if abs(size) < _THOUSAND:
        return f"{size:.0f} bytes"
    for unit in _UNITS:
        size /= _THOUSAND
        if abs(size) < _THOUSAND or unit == _UNITS[-1]:
            break
    return f"{size:,.1f} {unit}"
