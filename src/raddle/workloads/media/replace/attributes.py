"""What a file carries besides its content: owner, mode, extended attributes, times."""

from __future__ import annotations

import contextlib
import os
import stat as modes
from typing import Literal

__all__ = ["Times", "carry_attributes"]

#: preserve: those of the original; now; or a moment, in ns since 1970
Times = Literal["preserve", "now"] | int


def carry_attributes(source: str, stat: os.stat_result, fd: int, *, times: Times = "preserve") -> tuple[str, ...]:
    """Give the open file `fd` what `source` has; return in words what could not be carried."""
    notes: list[str] = []
    mode = modes.S_IMODE(stat.st_mode)
    if not _give(fd, stat.st_uid, stat.st_gid):
        notes.append(f"owner {stat.st_uid}:{stat.st_gid} could not be kept")
        mode &= ~(modes.S_ISUID | modes.S_ISGID)  # they would speak for another owner
    os.fchmod(fd, mode)
    lost = _carry_extended(source, fd)
    if lost:
        notes.append(f"attributes {', '.join(lost)} could not be kept")
    if times == "preserve":
        os.utime(fd, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif times != "now":
        os.utime(fd, ns=(times, times))
    return tuple(notes)


def _give(fd: int, uid: int, gid: int) -> bool:
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) == (uid, gid):
        return True
    try:
        os.fchown(fd, uid, gid)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(fd, -1, gid)  # a group of ours, perhaps
        return False
    return True


def _carry_extended(source: str, fd: int) -> list[str]:
    """Return the names that could not be set, of those that a user or an access list gave."""
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError:  # a file system without them
        return []
    lost: list[str] = []
    for name in sorted(names):
        try:
            os.setxattr(fd, name, os.getxattr(source, name, follow_symlinks=False))
        except OSError:
            if name.startswith(("user.", "system.")):
                lost.append(name)
    return lost
