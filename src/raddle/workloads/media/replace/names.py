"""Names of our temporary files and of the folders with originals: none of them is ever taken as an input."""

from __future__ import annotations

import base64
import os
import re
import secrets
from typing import Final

__all__ = ["KEPT", "TRASH", "is_ours", "main_temporary", "temporary_name"]

#: folder beside the files with the originals of those replaced, for some days
TRASH: Final = ".raddle-trash"
#: the same for good
KEPT: Final = ".raddle-originals"
#: room for what programs append: the figures of two passes, covers
_ROOM: Final = 24
_NAME_MAX: Final = 255
_TEMPORARY: Final = re.compile(r"(\..*\.raddle-[a-z2-7]{8}\.tmp)([.-][\w.-]{1,23})?", re.DOTALL)


def temporary_name(name: str, *, name_max: int = _NAME_MAX) -> str:
    """Return a new name beside `name` that tells whose it is, no longer than `name_max` bytes with what is appended."""
    token = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    end = f".raddle-{token}.tmp"
    raw = os.fsencode(name)[: name_max - len(end) - 1 - _ROOM]
    cut = os.fsdecode(raw)
    if os.fsencode(name) != raw and _is_text(name):
        cut = raw.decode(errors="ignore")  # not in the middle of a character
    return f".{cut}{end}"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def main_temporary(name: str) -> str | None:
    """Return the temporary that `name` is or goes with; None: it is not of ours."""
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else None


def is_ours(name: str) -> bool:
    """Say whether a file or folder of this name (without its path) must not be taken as an input."""
    return name in {TRASH, KEPT} or main_temporary(name) is not None
