"""How sealing and opening can fail.

RaddleError
└── SealError            the sealed file or its key is at fault; no output file exists
    ├── WrongKey         no key that was given opens the file
    ├── Damaged          not a whole, unchanged age v1 file; where it differs is not told
    ├── Unsupported      it says openly that it needs what raddle does not do: version, cost, number of stanzas
    ├── TargetExists (FileExistsError)   outputs never overwrite
    └── SourceChanged    the source was written to while it was sealed
"""

from __future__ import annotations

from raddle.errors import RaddleError

__all__ = ["Damaged", "SealError", "SourceChanged", "TargetExists", "Unsupported", "WrongKey"]


class SealError(RaddleError):
    """A file could not be sealed or opened; nothing was left behind."""


class WrongKey(SealError):
    """No identity or passphrase that was given opens the file."""


class Damaged(SealError):
    """The file is not a whole and unchanged age v1 file."""

    def __init__(self, message: str = "the file is damaged, cut short, or not an age v1 file") -> None:
        super().__init__(message)


class Unsupported(SealError):
    """The header, which anybody can read, asks for more than raddle does."""


class TargetExists(SealError, FileExistsError):
    """The output is there already; nothing of it was touched."""


class SourceChanged(SealError):
    """Size or time of the source changed between its first and its last byte."""
