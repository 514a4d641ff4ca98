"""Opening a file with PyAV: what is probed is what was opened, and a hostile file can neither hang us nor reach others.

libav reads through a descriptor that is ours, so a name's bytes, a leading dash or "concat:" mean nothing, a file that
is swapped meanwhile cannot lend its identity, and no protocol but this one is allowed. Playlists and picture sequences,
which would make libav open other files, are not among the formats.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import MissingExtra, RaddleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

__all__ = ["FORMATS", "ProbeError", "mkv_doctype", "open_media"]

#: demuxers of containers for video, by libav's names
FORMATS: Final = (
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,flv,asf,ogg,rm,mxf,nut,dv,wtv,ivf"
)
_OPTIONS: Final = {
    "protocol_whitelist": "fd",
    "format_whitelist": FORMATS,
    # libav's defaults, said here because they bound time and memory on garbage
    "probesize": "5000000",
    "analyzeduration": "5000000",
    "max_streams": "1000",
}
_REFUSED: Final = {
    errno.ENOENT: "is not there",
    errno.EACCES: "may not be read by this user",
    errno.EPERM: "may not be read by this user",
    errno.ELOOP: "is a symbolic link that leads in a circle",
    errno.ENAMETOOLONG: "has a name that is too long for this file system",
    errno.ENOTDIR: "lies below something that is no folder",
}
_EBML: Final = b"\x1a\x45\xdf\xa3"
_DOCTYPE: Final = b"\x42\x82"


class ProbeError(RaddleError):
    """The file cannot be read as media; the message says why and what to do."""


@contextmanager
def open_media(path: str, *, timeout: float) -> Iterator[tuple[InputContainer, int, os.stat_result]]:
    """Open a file and give libav's container, our descriptor (for `os.pread`) and the stat of exactly that file.

    Args:
        path: surrogateescape for names that are not UTF-8
        timeout: seconds for opening, and for each later read

    Raises:
        ProbeError: it is not there, not readable, not a regular file, empty, or no media
        MissingExtra: PyAV is not installed
    """
    descriptor = _open(path)
    try:
        facts = os.fstat(descriptor)
        _check(path, facts)
        container = _container(path, descriptor, facts, timeout)
        with container:
            yield container, descriptor, facts
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        # O_NONBLOCK: a named pipe must not wait for a writer. It means nothing for regular files.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError as error:
        raise ProbeError(f"path={path!r} holds a NUL byte") from error
    except OSError as error:
        reason = _REFUSED.get(error.errno or 0, f"cannot be opened: {error.strerror}")
        raise ProbeError(f"path={path!r} {reason}") from error


def _check(path: str, facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise ProbeError(f"path={path!r} is a folder: name its files, or give --recursive")
    if not stat.S_ISREG(facts.st_mode):
        raise ProbeError(f"path={path!r} is no regular file but a device, socket or pipe")
    if facts.st_size == 0:
        raise ProbeError(f"path={path!r} is empty (0 bytes): restore it from a copy")


def _container(path: str, descriptor: int, facts: os.stat_result, timeout: float) -> InputContainer:
    try:
        import av
    except ImportError as error:
        raise MissingExtra("PyAV", "media") from error
    options = {**_OPTIONS, "fd": str(descriptor)}
    try:
        return av.open("fd:", "r", options=options, timeout=timeout, metadata_errors="replace")
    except av.error.ExitError as error:
        raise ProbeError(f"path={path!r}: its header was not read within timeout={timeout:g} s") from error
    except av.error.EOFError as error:
        raise ProbeError(f"path={path!r} ends before it says what it holds (size={facts.st_size}): cut off?") from error
    except MemoryError as error:
        raise ProbeError(f"path={path!r} asks for more memory than there is: damaged?") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise ProbeError(f"path={path!r} {_what_is_wrong(descriptor)}: {_words(error)}") from error


def _what_is_wrong(descriptor: int) -> str:
    """Say what the first bytes give away."""
    head = os.pread(descriptor, 12, 0)
    if head[4:8] == b"ftyp":
        return "is an MP4 without its index (moov), or with a damaged one, as if it was cut off"
    if head.startswith(_EBML) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "has a header that is damaged or cut off"
    return "is not a video file of a kind that is known here"


def _words(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error)


def mkv_doctype(descriptor: int) -> str:
    """Return what a Matroska file's EBML header says it is: "matroska" or "webm"; "" if it does not say."""
    head = os.pread(descriptor, 256, 0)
    at = head.find(_DOCTYPE) if head.startswith(_EBML) else -1
    if at < 0 or at + 3 > len(head):
        return ""
    size = head[at + 2] & 0x7F
    return head[at + 3 : at + 3 + size].rstrip(b"\0").decode("ascii", "replace")
