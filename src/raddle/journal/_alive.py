"""Whether the process that a run belongs to is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from raddle.journal import _rows

__all__ = ["alive", "locks_open"]

_PROC = Path("/proc")
#: killed, and not yet (in a container without an init perhaps never) taken note of by whoever started it
_DEAD = (b"Z", b"X")


def alive(pid: int, host: str, journal: Path) -> bool:
    """Whether the process may still work on a run of the journal; of another host it cannot be told."""
    if host != _rows.safe_text(socket.gethostname()):
        return True
    if _gone(pid):
        return False
    try:
        return bool(locks_open(journal, pid))  # else it has got the number of one that has ended
    except OSError:
        return True  # no /proc, somebody else's process, or a journal that was moved


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, and there
    try:
        # "PID (NAME) STATE ...", where NAME may hold anything.
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2][:1] in _DEAD
    except FileNotFoundError:
        return _PROC.joinpath("self").exists()  # it ended just now, or there is no /proc
    except OSError:
        return False


def locks_open(journal: Path, pid: int) -> list[Path]:
    """Return by which descriptors a process has the lock file of a journal open: a run has as long as it works.

    Raises:
        OSError: there is no lock file, or it cannot be known
    """
    wanted = journal.with_name(journal.name + ".lock").stat()
    return [entry for entry in (_PROC / str(pid) / "fd").iterdir() if _is(entry, wanted)]


def _is(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        found = descriptor.stat()
    except OSError:
        return False  # closed meanwhile
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
