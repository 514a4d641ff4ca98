"""Bytes of files: plain, gzip or standard input, in blocks that end with a line, whatever is in them."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from raddle import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LONGEST_LINE", "Block", "Input", "blocks", "head_of", "located", "opened"]

#: bytes of a line; a longer one is cut off there and refused
LONGEST_LINE: Final = 1 << 20
_BLOCK: Final = 8 << 20
_HEAD: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Input:
    """A file that can be read, more than once: standard input has been copied."""

    #: as the user wrote it
    name: str
    path: Path
    #: hex digest of the bytes as stored
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Whole lines; only the last one of a file may lack its end."""

    data: bytes
    #: bytes that are missing at the end of overlong lines, by the offset in `data` where what is left ends
    dropped: dict[int, int]
    last: bool


def located(name: Path | str, scratch: Path, number: int) -> Input:
    """Find a file and its digest; "-" is standard input, which goes to a file in `scratch`, as a pipe does.

    Raises:
        ConfigError: no such file, or it cannot be read
    """
    digest = hashlib.sha256()
    path = Path(name)
    if str(name) == "-" or path.is_fifo() or path.is_char_device():  # can be read once only
        path = scratch / f"stdin-{number}"
        with (
            _explained(str(name)),
            nullcontext(sys.stdin.buffer) if str(name) == "-" else Path(name).open("rb") as stream,
            path.open("wb") as copy,
        ):
            while piece := stream.read(_BLOCK):
                digest.update(piece)
                copy.write(piece)
        return Input(str(name), path, digest.hexdigest())
    with _explained(str(name)), path.open("rb") as file:
        while piece := file.read(_BLOCK):
            digest.update(piece)
    return Input(str(name), path, digest.hexdigest())


@contextmanager
def opened(source: Input) -> Iterator[IO[bytes]]:
    """Open a file; gzip is unpacked.

    Raises:
        ConfigError: also while reading in the body: gzip data that is cut short or broken
    """
    with _explained(source.name), source.path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked  # type: ignore[misc]  # it reads like any other
        else:
            yield file


def head_of(source: Input) -> bytes:
    """Return the first 64 kB, unpacked; less if the data breaks: who reads it all will say so.

    Raises:
        ConfigError: UTF-16
    """
    with opened(source) as file:
        head, _ = _read(file, _HEAD)
    if head[:2] in _UTF16:
        raise errors.ConfigError(f"{source.name} is UTF-16: save it as UTF-8, for instance with `iconv -f UTF-16`")
    return head


def blocks(file: IO[bytes], name: str, *, size: int) -> Iterator[Block]:
    """Yield the file in blocks of about `size` bytes, each ending with a line end; the last may lack it.

    Raises:
        ConfigError: the gzip data is cut short or broken
    """
    carried, missing, lines = b"", 0, 0
    while True:
        data, error = _read(file, size)
        if error is not None:
            lines += _count(carried + data)
            raise errors.ConfigError(
                f"{name}: the gzip data ends or breaks after line {lines} ({error}): copy or download the file again"
            ) from error
        last = not data
        if missing and not carried.endswith(b"\r"):  # inside of an overlong line: only its end is of interest
            end = _first_end(data)
            missing += end
            data = data[end:]
            if not data and not last:
                continue
        whole = carried + data
        cut = len(whole) if last else _last_end(carried, data)
        if cut or last:
            carried = whole[cut:]
            lines += _count(whole[:cut])
            yield Block(whole[:cut], {LONGEST_LINE + 1: missing} if missing else {}, last)
            missing = 0
        else:
            carried = whole
        if last:
            return
        if len(carried) > 2 * LONGEST_LINE and not carried.endswith(b"\r"):
            missing += len(carried) - LONGEST_LINE - 1
            carried = carried[: LONGEST_LINE + 1]


def _read(file: IO[bytes], size: int) -> tuple[bytes, Exception | None]:
    """Read until there are `size` bytes, or to the end, or until the data breaks."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # what was read before the break is not lost
    pieces, have = [], 0
    try:
        while have < size and (piece := read(size - have)):
            pieces.append(piece)
            have += len(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return b"".join(pieces), error
    return b"".join(pieces), None


def _count(data: bytes) -> int:
    return data.count(b"\n") or data.count(b"\r")


def _first_end(data: bytes) -> int:
    found = [at for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
    return min(found, default=len(data))


def _last_end(carried: bytes, data: bytes) -> int:
    """Return the offset after the last line end; a CR at the very end may be half of one and does not count."""
    at = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1))
    if at >= 0:
        return len(carried) + at + 1
    return len(carried) if carried.endswith(b"\r") and data else 0


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise errors.ConfigError(f"{name}: there is no such file") from error
    except IsADirectoryError as error:
        raise errors.ConfigError(f"{name} cannot be read, it is a folder: name the files in it") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise errors.ConfigError(
            f"{name}: the gzip data ends or breaks ({error}): copy or download the file again"
        ) from error
    except OSError as error:
        raise errors.ConfigError(f"{name} cannot be read: {error.strerror or error}") from error
