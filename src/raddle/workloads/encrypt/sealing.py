"""Seal any file and open it again, bit for bit: age v1 from file to file, appearing whole or not at all.

What a sealed file does not hide: its length (to the byte), its name, and that it is an age file. Whoever has an
identity can open every file ever sealed to it.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from typing import TYPE_CHECKING

from raddle.workloads.encrypt.age.errors import SourceChanged
from raddle.workloads.encrypt.age.stream import open_stream, seal_stream
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.encrypt.age.feed import Reader, Writer
    from raddle.workloads.encrypt.age.payload import Progress
    from raddle.workloads.encrypt.age.stream import Keys, Lock

    Source = str | os.PathLike[str] | Reader
    Target = str | os.PathLike[str] | Writer

__all__ = ["open_bytes", "open_file", "seal_bytes", "seal_file"]


def seal_file(
    source: Source,
    target: Target,
    lock: Lock,
    *,
    armor: bool = False,
    mode: int = 0o600,
    durable: bool = True,
    progress: Progress | None = None,
) -> int:
    """Seal a file and return its size in bytes; needs two or three MiB of memory whatever that is.

    Args:
        source: a path, or a stream of bytes such as `sys.stdin.buffer`
        target: a path that must not exist, or a stream
        lock: `Lock(recipients=[...])` or `Lock(passphrase=...)`
        armor: write ASCII text, a third larger
        mode: permissions of the finished file
        durable: wait until it is on the disk
        progress: called with the plain bytes done, about every MiB; what it raises stops the work and leaves nothing

    Raises:
        TargetExists, SourceChanged: see age.errors
        ConfigError: the source is no file, or the target's folder is missing
        OSError: reading or writing failed
    """
    with _target(target, mode=mode, durable=durable) as writer, _source(source) as reader:
        return seal_stream(reader, writer, lock, armor=armor, hint=_size(reader), progress=progress)


def open_file(
    source: Source,
    target: Target,
    keys: Keys,
    *,
    mode: int = 0o600,
    durable: bool = True,
    progress: Progress | None = None,
) -> int:
    """Open a sealed file, binary or armored, and return the bytes it held.

    A path as the target gets its name only after the last chunk is verified.

    A stream as the target gets verified bytes as they come: if this raises, throw away what it got.

    Raises:
        SealError: WrongKey, Damaged, Unsupported, TargetExists
        ConfigError, OSError: as `seal_file`
    """
    with _target(target, mode=mode, durable=durable) as writer, _source(source) as reader:
        return open_stream(reader, writer, keys, hint=_size(reader), progress=progress)


def seal_bytes(data: bytes, lock: Lock, *, armor: bool = False) -> bytes:
    """Seal bytes that are in memory."""
    out = io.BytesIO()
    seal_stream(io.BytesIO(data), out, lock, armor=armor, hint=len(data))
    return out.getvalue()


def open_bytes(data: bytes, keys: Keys) -> bytes:
    """Open what `seal_bytes` or any age program made; all or nothing.

    Raises:
        SealError: WrongKey, Damaged or Unsupported
    """
    out = io.BytesIO()
    open_stream(io.BytesIO(data), out, keys, hint=len(data))
    return out.getvalue()


@contextlib.contextmanager
def _source(source: Source) -> Iterator[Reader]:
    """Open a path, and see at the end that nobody wrote to it meanwhile."""
    if not isinstance(source, str | os.PathLike):
        yield source
        return
    with open(source, "rb", buffering=0) as file:  # noqa: PTH123 (a raw file: blocks are a MiB, buffers would only copy)
        before = os.fstat(file.fileno())
        if stat.S_ISREG(before.st_mode):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        yield file
        after = os.fstat(file.fileno())
        if stat.S_ISREG(before.st_mode) and _state(before) != _state(after):
            raise SourceChanged(
                f"source={os.fspath(source)!r} changed while it was read: seal it again when it is still"
            )


def _target(target: Target, *, mode: int, durable: bool) -> contextlib.AbstractContextManager[Writer]:
    if isinstance(target, str | os.PathLike):
        return staged(target, mode=mode, durable=durable)
    return contextlib.nullcontext(target)


def _size(reader: Reader) -> int | None:
    """Bytes to expect from a regular file; None for anything else."""
    if not isinstance(reader, io.FileIO):
        return None
    found = os.fstat(reader.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
