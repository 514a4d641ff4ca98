"""What the operating system offers and Python does not: exchanging two names, renaming without overwriting, locks."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH108, PTH123
from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import shutil
from typing import Any, Final

__all__ = ["Identity", "exchange", "identity_of", "link_or_copy", "lock", "rename_new", "sync_folder"]

#: device, inode, size, mtime in ns
Identity = tuple[int, int, int, int]

_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
#: the kernel or the file system does not know the call
_UNKNOWN: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
#: no hard links here: FAT, or another owner's file under fs.protected_hardlinks
_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_NO_LOCKS: Final = {errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}


def identity_of(stat: os.stat_result) -> Identity:
    """Return what tells one state of one file from all others."""
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _rename(old: str, new: str, flags: int) -> int:
    """Return 0 or the number of the error."""
    call = getattr(_libc(), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    failed = call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags)
    return ctypes.get_errno() if failed else 0


def exchange(one: str, other: str) -> bool:
    """Swap two files in one step; False: this file system cannot.

    Raises:
        OSError: it could, and did not
    """
    number = _rename(one, other, _EXCHANGE)
    if number and number not in _UNKNOWN:
        raise OSError(number, os.strerror(number), other)
    return not number


def rename_new(old: str, new: str) -> None:
    """Rename, never over another file.

    Raises:
        FileExistsError: there is one
        OSError: it cannot be renamed
    """
    number = _rename(old, new, _NOREPLACE)
    if number in _UNKNOWN:
        os.link(old, new, follow_symlinks=False)
        os.unlink(old)
    elif number:
        raise OSError(number, os.strerror(number), new)


def link_or_copy(old: str, new: str) -> None:
    """Give a file a second name, or where that cannot be a copy that is on the disk.

    Raises:
        FileExistsError: the name is taken
    """
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(old, "rb") as source, open(fd, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        shutil.copystat(old, new)


def lock(fd: int) -> bool | None:
    """Lock an open file for this descriptor alone; False: somebody else has it, None: there are no locks here."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
