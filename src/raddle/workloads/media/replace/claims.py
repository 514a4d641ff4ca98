"""One writer for each file, whatever names it has: a lock on its device and inode, seen by all processes.

The locks are in a folder for state, not beside the media, so that a library holds nothing of ours. They go with the
process that has them, however it ends.
"""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH103, PTH108, PTH116, PTH118, PTH120
from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.media.replace.system import lock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["claim"]


@contextlib.contextmanager
def claim(folder: str, device: int, inode: int) -> Iterator[bool]:
    """Claim a file for this block; False: another worker or process has it.

    After the file was replaced its inode is free again, and may be another file's: whoever gets the claim then has to
    look whether the path is still what was probed.

    Args:
        folder: for the locks, the same for all that shall not meet; made if missing
        device: `st_dev` of the file, links followed
        inode: `st_ino`

    Raises:
        ConfigError: the folder cannot be made, or there are no locks on its disk
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state folder={folder!r} cannot be made ({error.strerror}): name another") from error
    path = os.path.join(folder, f"{device:x}-{inode:x}.lock")
    fd = _lock(path)
    if fd is None:
        yield False
        return
    try:
        yield True
    finally:
        # While it is locked: whoever waits with the old file in hand sees that its name is gone, and opens anew.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(fd)


def _lock(path: str) -> int | None:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        got = lock(fd)
        if got is None:
            os.close(fd)
            raise ConfigError(f"state folder={os.path.dirname(path)!r} is on a disk without locks: name another")
        if not got:
            os.close(fd)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(fd)):
                return fd
        os.close(fd)
