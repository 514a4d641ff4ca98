"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["refuse_existing", "whole_file"]


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigError if the file is there and must not be replaced."""
    if not overwrite and os.path.lexists(path):
        raise ConfigError(f"path={str(path)!r} exists: give another name, or overwrite=True")


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it becomes `path` at the end, or is removed if anything is raised.

    Raises:
        ConfigError: the file exists and `overwrite` is not given, checked before and at the end
        OSError: it cannot be written
    """
    refuse_existing(path, overwrite=overwrite)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.chmod(0o666 & ~_umask())
        if overwrite:
            part.replace(path)
        else:
            _move_to_new(part, path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _move_to_new(part: Path, path: Path) -> None:
    """A hard link fails where a rename would replace what another wrote in the meantime."""
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise ConfigError(f"path={str(path)!r} exists: another program wrote it in the meantime") from error
    except OSError:  # a file system without hard links
        refuse_existing(path, overwrite=False)
        part.replace(path)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems refuse it; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    """The mask of new files. os.umask() reads it only by setting it, for all threads."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    return 0o077
