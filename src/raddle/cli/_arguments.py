"""Where the items of `raddle exec` come from: the command line, files of lines, or standard input."""

from __future__ import annotations

import io
import itertools
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from raddle.cli._stdin import StoppableInput
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Arguments", "open_arguments", "split"]

_BLOCK = 1 << 16
#: files up to this size are counted before they are read, so that progress knows the total
_COUNT_UP_TO = 256 << 20


class Arguments:
    """The items, once over. Texts with file names in them keep every byte (surrogateescape)."""

    def __init__(self, items: Iterable[str], total: int | None) -> None:
        self._items = items
        #: how many there are at most; None: not known
        self.total = total

    def __iter__(self) -> Iterator[str]:
        """Yield the items."""
        return iter(self._items)


def split(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Return the command's words, ":::" or "::::" or None, and what follows it.

    Raises:
        ConfigError: there is more than one of them
    """
    marks = [place for place, word in enumerate(words) if word in {":::", "::::"}]
    if not marks:
        return list(words), None, []
    if len(marks) > 1:
        raise ConfigError(f"{words[marks[1]]}: a second source of items; give one (combinations are not made)")
    return list(words[: marks[0]]), words[marks[0]], list(words[marks[0] + 1 :])


def open_arguments(mark: str | None, given: Sequence[str], files: Sequence[str], *, null: bool = False) -> Arguments:
    """Return the items.

    Args:
        mark: ":::" if `given` are items, "::::" if they are files of items, else None
        given: what follows it
        files: more files of items; "-" is standard input, which is also read if there is nothing else
        null: items end with a NUL byte, not with a line break

    Raises:
        ConfigError: a file cannot be read, or there are two sources
    """
    if mark == ":::":
        if files:
            raise ConfigError(f"-a {files[0]}: a second source of items beside ':::'; give one")
        return Arguments(list(given), len(given))
    if mark == "::::":
        if not given:
            raise ConfigError("::::: must be followed by a file of items, or by - for standard input")
        files = [*files, *given]
    files = list(files) or ["-"]
    for name in files:
        _check(name)
    end = b"\0" if null else b"\n"
    totals = [_count(name, end) for name in files]
    total = None if None in totals else sum(count or 0 for count in totals)
    return Arguments(itertools.chain.from_iterable(_read(name, end) for name in files), total)


def _check(name: str) -> None:
    if name == "-":
        return
    try:
        Path(name).open("rb").close()
    except OSError as error:
        raise ConfigError(f"-a {name}: cannot be read: {error.strerror or error}") from error


def _count(name: str, end: bytes) -> int | None:
    path = Path(name)
    if name == "-" or not path.is_file() or path.stat().st_size > _COUNT_UP_TO:
        return None
    with path.open("rb") as stream:
        return sum(1 for _ in _pieces(stream, end))


def _read(name: str, end: bytes) -> Iterator[str]:
    try:
        with _stdin() if name == "-" else Path(name).open("rb") as stream:
            yield from map(os.fsdecode, _pieces(stream, end))
    except OSError as error:
        raise ConfigError(f"-a {name}: cannot be read any further: {error.strerror or error}") from error


def _stdin() -> IO[bytes]:
    try:
        return io.BufferedReader(StoppableInput(sys.stdin.fileno()))
    except (OSError, ValueError, AttributeError):  # no real standard input
        return sys.stdin.buffer


def _pieces(stream: IO[bytes], end: bytes) -> Iterator[bytes]:
    """Yield what stands between two ends, each as soon as it is there. Empty pieces are left out.

    An empty line is mostly an accident, and a command such as `rm -r dir/{}` must not be the victim of it.
    """
    rest = b""
    read = getattr(stream, "read1", stream.read)
    while block := read(_BLOCK):
        *whole, rest = (rest + block).split(end)
        yield from filter(None, whole)
    if rest:
        yield rest
