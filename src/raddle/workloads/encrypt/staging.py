"""Files that appear whole or not at all, and never in the place of another.

The content goes to a file without a name (O_TMPFILE) in the target's folder, so that even a killed process or a power
cut leaves nothing behind; a link gives it its name once all is written. A link never overwrites, unlike a rename. Where
the file system has no nameless files, a private temporary takes their place, and where it has no links (FAT),
renameat2 with RENAME_NOREPLACE.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age.errors import TargetExists

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["staged"]

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NOREPLACE = 1


@contextlib.contextmanager
def staged(
    target: str | os.PathLike[str], *, mode: int = 0o600, durable: bool = True, nameless: bool = True
) -> Iterator[io.FileIO]:
    """Give a raw file to write; it becomes `target` when the block ends, and vanishes if the block raises.

    Args:
        target: must not exist; its folder must
        mode: permissions of the finished file; until then it is 0600
        durable: wait until content and name are on the disk
        nameless: False to use a private temporary always

    Raises:
        TargetExists: before the block runs, or after, if somebody else was faster
        ConfigError: the folder is missing or is no folder
    """
    path = Path(target)
    folder = _open_folder(path)
    try:
        if os.path.lexists(path):
            raise _exists(path)
        temporary, file = (_nameless(folder) if nameless else None) or _named(path)
        try:
            with file:
                yield file
                os.fchmod(file.fileno(), mode)
                if durable:
                    os.fsync(file.fileno())
                _publish(file, temporary, path, folder)
        finally:
            if temporary:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=folder)
        if durable:
            os.fsync(folder)
    finally:
        os.close(folder)


def _open_folder(path: Path) -> int:
    try:
        return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"folder={str(path.parent)!r} of the output is missing: make it first") from error


def _exists(path: Path) -> TargetExists:
    return TargetExists(f"target={str(path)!r} exists and is never overwritten: move it away, or name another")


def _nameless(folder: int) -> tuple[str, io.FileIO] | None:
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    if not os.path.exists(f"/proc/self/fd/{fd}"):  # noqa: PTH110 (the way to its name; no /proc, no way)
        os.close(fd)
        return None
    return "", open(fd, "r+b", buffering=0)  # noqa: PTH123 (a descriptor; the caller closes it)


def _named(path: Path) -> tuple[str, io.FileIO]:
    fd, name = tempfile.mkstemp(prefix=".raddle-", suffix=".part", dir=path.parent)
    return Path(name).name, open(fd, "r+b", buffering=0)  # noqa: PTH123 (as above)


def _publish(file: io.FileIO, temporary: str, path: Path, folder: int) -> None:
    source = temporary or f"/proc/self/fd/{file.fileno()}"
    try:
        # dir_fds make Python call linkat with AT_SYMLINK_FOLLOW, without which /proc/self/fd would be linked itself
        os.link(source, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=not temporary)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if not temporary or error.errno not in _NO_LINKS:
            raise
        _rename(temporary, path, folder)


def _rename(temporary: str, path: Path, folder: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(folder, os.fsencode(temporary), folder, os.fsencode(path.name), _NOREPLACE):
        number = ctypes.get_errno()
        raise _exists(path) if number == errno.EEXIST else OSError(number, os.strerror(number), str(path))
