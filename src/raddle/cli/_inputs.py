"""Where the items of `raddle map` come from: read lazily, line by line.

Bad input never loses good work: a line that cannot be read is reported with its place, counted and left out, and the
run goes on.
"""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from raddle.cli._stdin import StoppableInput
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["KINDS", "Items", "open_items"]

KINDS = ("auto", "jsonl", "csv", "lines", "glob")
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
#: files up to this size are counted before they are read, so that progress knows the total
_COUNT_UP_TO = 256 << 20
#: longest field of a CSV file, in characters; the library's own bound of 128 KiB is met by real data
_FIELD_LIMIT = 1 << 28


@dataclass(slots=True)
class Items:
    """The items of an input, once over."""

    #: (line or running number, item)
    numbered: Iterator[tuple[int, Any]]
    #: "file", or "-" read as "stdin", for messages
    name: str
    #: called with line number and complaint
    report: Callable[[int, str], None]
    #: how many there are at most; None: not known. Not a `__len__`: what has one can be read twice
    total: int | None = None
    #: fields that every item must have
    needed: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        """Yield the items that can be used."""
        for number, item in self.numbered:
            lacking = [field for field in self.needed if field not in item] if self.needed else []
            if lacking:
                self.report(number, f"has no field {lacking[0]!r}; left out")
            else:
                yield item


def open_items(
    source: str,
    *,
    kind: str = "auto",
    needed: tuple[str, ...] = (),
    report: Callable[[str, int, str], None],
    stdin: IO[bytes] | None = None,
) -> Items:
    """Open an input; nothing is read before the first item is asked for, but for counting lines.

    Args:
        source: a file (also .gz), "-" for standard input, a folder, or a glob pattern
        kind: one of `KINDS`
        needed: fields that each item must have
        report: called with the input's name, line number and complaint for each line that cannot be used
        stdin: what "-" reads

    Raises:
        ConfigError: there is no such input, or the options do not fit it
    """
    if kind not in KINDS:
        raise ConfigError(f"--input={kind}: must be one of {', '.join(KINDS)}")
    kind = _kind(source) if kind == "auto" else kind
    if needed and kind in {"lines", "glob"}:
        raise ConfigError(
            f"--key/--id {needed[0]}: needs items with fields (jsonl or csv), but the input is read as {kind}"
        )
    name = "stdin" if source == "-" else source

    def complain(number: int, complaint: str) -> None:
        report(name, number, complaint)

    if kind == "glob":
        return Items(enumerate(_paths(source), 1), name, complain)
    stream = _stdin(stdin) if source == "-" else _open(source)
    total = None if source == "-" else _count(source, kind)
    return Items(_guarded(_READERS[kind], stream, source, complain), name, complain, total, needed)


def _kind(source: str) -> str:
    if source == "-":
        return "lines"
    if os.path.isdir(source) or (not os.path.exists(source) and glob.has_magic(source)):  # noqa: PTH110, PTH112 - a pattern is no path
        return "glob"
    return _ENDINGS.get(Path(source.removesuffix(".gz")).suffix.lower(), "lines")


def _open(source: str) -> IO[bytes]:
    try:
        if source.endswith(".gz"):
            return cast("IO[bytes]", gzip.open(source, "rb"))
        return Path(source).open("rb")
    except OSError as error:
        raise ConfigError(f"INPUT={source}: cannot be read: {error.strerror or error}") from error


def _stdin(given: IO[bytes] | None) -> IO[bytes]:
    if given is not None:
        return given
    try:
        return io.BufferedReader(StoppableInput(sys.stdin.fileno()))
    except (OSError, ValueError, AttributeError):  # no real standard input
        return sys.stdin.buffer


def _count(source: str, kind: str) -> int | None:
    """Return the number of items of a plain file that is quickly counted, else None."""
    path = Path(source)
    if source.endswith(".gz") or not path.is_file() or path.stat().st_size > _COUNT_UP_TO:
        return None
    total, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            if kind == "csv" and b'"' in block:
                return None  # a quoted field may hold line breaks
            total += block.count(b"\n")
            last = block[-1:]
    total += last != b"\n"
    return max(0, total - 1) if kind == "csv" else total


# ------------------------------------------------------------------------------------------------------ readers


def _guarded(
    reader: Callable[..., Iterator[tuple[int, Any]]],
    stream: IO[bytes],
    source: str,
    report: Callable[[int, str], None],
) -> Iterator[tuple[int, Any]]:
    """Read until the end or until the file breaks off; what was read before that stays."""
    number = 0
    try:
        with stream:
            for number, item in reader(stream, source, report):
                yield number, item
    except (OSError, EOFError, zlib.error) as error:
        report(number + 1, f"the input breaks off here: {error}")


def _lines(stream: IO[bytes], _source: str, _report: Callable[[int, str], None]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        # Bytes that are not UTF-8 survive as surrogates: a line is often a file name.
        text = line.decode("utf-8", "surrogateescape")
        yield number, (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


def _jsonl(stream: IO[bytes], _source: str, report: Callable[[int, str], None]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.isspace():
                continue
            item = json.loads(text)
        except (ValueError, RecursionError) as error:
            report(number, f"not JSON: {error}; left out")
        else:
            yield number, item


def _csv(stream: IO[bytes], source: str, report: Callable[[int, str], None]) -> Iterator[tuple[int, dict[str, str]]]:
    delimiter = "\t" if source.removesuffix(".gz").lower().endswith(".tsv") else ","
    csv.field_size_limit(_FIELD_LIMIT)
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        header: list[str] | None = None
        for number, row in _rows(text, delimiter, report):
            if header is None:
                header = _header(row, source)
            elif len(row) == len(header):
                yield number, dict(zip(header, row, strict=True))
            elif row:
                report(number, f"has {len(row)} fields, the header has {len(header)}; left out")


def _rows(text: IO[str], delimiter: str, report: Callable[[int, str], None]) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(text, delimiter=delimiter)
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows)
            "".join(row).encode()
        except StopIteration:
            return
        except csv.Error as error:
            report(number, f"not CSV: {error}; left out")
        except UnicodeEncodeError:
            report(number, "not UTF-8; left out")
        else:
            yield number, row


def _header(row: list[str], source: str) -> list[str]:
    twice = next((name for name in row if row.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"INPUT={source}: the header names {twice!r} more than once")
    return row


_READERS: dict[str, Callable[..., Iterator[tuple[int, Any]]]] = {"lines": _lines, "jsonl": _jsonl, "csv": _csv}


def _paths(source: str) -> Iterable[str]:
    """Return the files of a folder (below it too, hidden ones left out) or of a pattern, in order of name."""
    if os.path.isdir(source):  # noqa: PTH112 - a pattern is no path
        return _walk(source)
    found = sorted(path for path in glob.iglob(source, recursive=True) if os.path.isfile(path))  # noqa: PTH113, PTH207 - plain text in, plain text out
    if not found:
        raise ConfigError(f"INPUT={source}: no file matches (quote the pattern, or the shell expands it)")
    return found


def _walk(folder: str) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in sorted(files) if not name.startswith("."))  # noqa: PTH118 - as above
