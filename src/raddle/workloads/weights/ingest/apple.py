"""Apple Health: export.xml, which may have gigabytes, and CSV files that other programs make of it.

What an export holds, by public parsers of it: <Record type="HKQuantityTypeIdentifierBodyMass" sourceName=... unit="lb"
startDate="2021-12-11 18:04:47 -0700" value=...>, after a DTD with ELEMENT and ATTLIST declarations only.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Final
from xml.parsers import expat

from raddle import errors
from raddle.workloads.weights.ingest.exports import Entry, Line, cells_of, framed, physical_lines, spoiled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl

__all__ = ["is_csv", "is_xml", "read_csv", "read_xml"]

_WEIGHTS: Final = frozenset({"HKQuantityTypeIdentifierBodyMass", "BodyMass"})
_ROOT: Final = re.compile(rb"<HealthData(?=[\s>/])")
_TIME: Final = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}) ([+-]\d{2})(\d{2})", re.ASCII)
_PIECE: Final = 1 << 20
_LONGEST_PROLOG: Final = 4 << 20
#: bytes of an element; those of real ones are a thousand times shorter
_LONGEST_TAG: Final = 32 << 20
_SHOWN: Final = ("sourceName", "unit", "startDate", "value")
_NEEDED: Final = ("type", "unit", "startdate", "value")


def is_xml(text: str) -> bool:
    """Tell whether a file that begins so is export.xml."""
    start = text[:1000].lstrip()
    return start.startswith("<?xml") and ("<!DOCTYPE HealthData" in text or "<HealthData" in text)


def is_csv(header: Sequence[str]) -> bool:
    """Tell whether a header is one of the common conversions."""
    return set(_NEEDED) <= {name.lower() for name in header}


def read_xml(stream: IO[bytes], *, path: Path, user: str) -> Iterator[pl.DataFrame]:
    """Read the weights of an export; all other records are not looked at. Memory does not grow with the file.

    Raises:
        ConfigError: not well-formed, cut short, or with entities of its own
    """
    return framed(_records(stream, path, user))


def _records(stream: IO[bytes], path: Path, user: str) -> Iterator[Entry]:
    found: list[Entry] = []
    # an encoding that the file names could hide a declaration from _prolog
    parser = expat.ParserCreate("utf-8")

    def start(name: str, attributes: dict[str, str]) -> None:
        if name == "Record" and attributes.get("type") in _WEIGHTS:
            get = attributes.get
            shown = " ".join(f"{key}={get(key)}" for key in _SHOWN if key in attributes)
            time, source = _iso(get("startDate")), get("sourceName", "apple")
            found.append(Entry(parser.CurrentLineNumber, user, time, get("value"), get("unit"), source, shown))

    parser.StartElementHandler = start
    piece, fed = _prolog(stream, path), 0
    try:
        while piece:
            parser.Parse(piece, False)  # noqa: FBT003 - positional only
            fed += len(piece)
            yield from found
            found.clear()
            if fed - parser.CurrentByteIndex > _LONGEST_TAG:
                raise errors.ConfigError(
                    f"{path}: line {parser.CurrentLineNumber} has an element of over {_LONGEST_TAG >> 20} MB, "
                    f"which no export has: export it again"
                )
            piece = stream.read(_PIECE)
        parser.Parse(b"", True)  # noqa: FBT003 - positional only
    except expat.ExpatError as error:
        raise errors.ConfigError(
            f"{path}: not well-formed XML in line {error.lineno} ({expat.ErrorString(error.code)}): "
            f"the file is cut short or damaged, export it again"
        ) from error
    yield from found


def _prolog(stream: IO[bytes], path: Path) -> bytes:
    """Return the beginning without its DTD, with as many lines.

    The DTD of some versions of iOS is itself not well-formed, and nothing in it is needed. Without it there are no
    entities, which could grow without end.
    """
    start = b""
    while (root := _ROOT.search(start)) is None:
        piece = stream.read(_PIECE)
        if not piece or len(start) > _LONGEST_PROLOG:
            raise errors.ConfigError(f"{path}: there is no <HealthData> in it: give the export.xml of Apple Health")
        start += piece
    prolog = start[: root.start()]
    if b"<!ENTITY" in prolog:
        raise errors.ConfigError(
            f"{path} declares XML entities, which no export of Apple Health does and which can fill the memory: "
            f"it is not read; export it again"
        )
    return b"\n" * prolog.count(b"\n") + start[root.start() :]


def read_csv(stream: IO[bytes], *, user: str, delimiter: str) -> Iterator[pl.DataFrame]:
    """Read the weights of a CSV file with a row per record; rows of other types are not looked at."""
    return framed(_rows(stream, user, delimiter))


def _rows(stream: IO[bytes], user: str, delimiter: str) -> Iterator[Entry]:
    lines = physical_lines(stream)
    header = [name.lower() for name in cells_of(next(lines, Line(1, "")), delimiter) or []]
    kind, unit, time, value = (header.index(name) for name in _NEEDED)
    source = header.index("sourcename") if "sourcename" in header else None
    for line in lines:
        cells = cells_of(line, delimiter)
        if cells is None or len(cells) != len(header):
            if line.text.strip():
                yield spoiled(line, user)
        elif cells[kind] in _WEIGHTS:
            said = cells[source] if source is not None else "apple"
            yield Entry(line.number, user, _iso(cells[time]), cells[value], cells[unit], said, line.text)


def _iso(text: str | None) -> str | None:
    found = _TIME.fullmatch(text or "")
    return f"{found[1]}T{found[2]}{found[3]}:{found[4]}" if found else text
