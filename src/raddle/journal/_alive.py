"""Whether the process that a run belongs to is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from raddle.journal import _rows

__all__ = ["alive"]

_PROC = Path("/proc")
#: killed, and not yet (in a container without an init perhaps never) taken note of by whoever started it
_DEAD = (b"Z", b"X")


def alive(pid: int, host: str) -> bool:
    """Whether the process may still work; of another host it cannot be told."""
    if host != _rows.safe_text(socket.gethostname()):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and there
    try:
        # "PID (NAME) STATE ...", where NAME may hold anything.
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b") ")[2][:1] not in _DEAD
    except FileNotFoundError:
        return not _PROC.joinpath("self").exists()  # it ended just now, or there is no /proc
    except OSError:
        return True
