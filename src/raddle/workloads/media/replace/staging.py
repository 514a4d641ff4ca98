"""Where a result is written before it takes the original's place: beside it, under a name that tells whose it is.

The file is locked as long as it is wanted; the lock goes with the process, so whoever finds it unlocked may remove it.
"""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH108, PTH118, PTH119, PTH120
from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.replace.errors import DiskFull, NotWritable
from raddle.workloads.media.replace.names import temporary_name
from raddle.workloads.media.replace.system import lock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Stage", "stage"]

_READ_ONLY: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_TRIES: Final = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """A file to write a result to. Files whose names begin with its name go with it."""

    path: str
    #: where the original really is, links followed
    source: str

    @property
    def folder(self) -> str:
        """Return the folder of both."""
        return os.path.dirname(self.path)


@contextlib.contextmanager
def stage(source: str) -> Iterator[Stage]:
    """Give an empty file beside `source`; what is still there when the block ends is removed.

    Raises:
        NotWritable: the folder takes no files
        DiskFull: there is no room even for a name
        FileNotFoundError: there is no `source`
    """
    real = os.path.realpath(source, strict=True)
    folder, name = os.path.split(real)
    path, fd = _create(folder, name)
    try:
        yield Stage(path, real)
    finally:
        try:
            _remove(folder, os.path.basename(path))
        finally:
            os.close(fd)


def _create(folder: str, name: str) -> tuple[str, int]:
    longest = os.pathconf(folder, "PC_NAME_MAX")
    for _ in range(_TRIES):
        path = os.path.join(folder, temporary_name(name, name_max=min(longest, 255)))
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise _clear(error, folder) from error
        # Between the two calls a sweep may have taken it for left behind.
        if lock(fd) is not False and _is_still(path, fd):
            return path, fd
        os.close(fd)
    raise NotWritable(f"folder={folder!r}: {_TRIES} new files were taken away at once: who else cleans up there?")


def _is_still(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _clear(error: OSError, folder: str) -> Exception:
    if error.errno in _READ_ONLY:
        return NotWritable(
            f"folder={folder!r} takes no new files ({error.strerror}): allow writing there, or leave it out"
        )
    if error.errno in _FULL:
        return DiskFull(f"folder={folder!r}: {error.strerror}: make room")
    return error


def _remove(folder: str, name: str) -> None:
    with os.scandir(folder) as entries:
        mine = [entry.path for entry in entries if entry.name.startswith(name)]
    for path in mine:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
