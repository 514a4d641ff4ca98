"""Why a file was not replaced; each time the original is where it was, and what it was."""

from __future__ import annotations

from raddle.errors import RaddleError

__all__ = ["DiskFull", "HardLinked", "NotWritable", "ReplaceError", "SourceChanged", "TargetTaken"]


class ReplaceError(RaddleError):
    """Base of the errors here; the message names the path and the remedy."""


class SourceChanged(ReplaceError):
    """The original is not the file any more that was probed: somebody else is writing it, or has."""


class TargetTaken(ReplaceError):
    """Another file has the name that the result should get; it is never overwritten."""


class HardLinked(ReplaceError):
    """The original has further names, which would go on to mean the old content."""


class NotWritable(ReplaceError):
    """The folder or the disk takes no new files."""


class DiskFull(ReplaceError):
    """There is not enough room, and there will not be."""
