"""Catalogues row by row: CSV, JSON Lines, a folder of pictures. What cannot be read is an entry that says so."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.batch.rows import Columns, product_from_row, value_of
from raddle.workloads.classify.batch.tables import LONGEST, Line, csv_lines
from raddle.workloads.classify.values import Picture, Product

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raddle.workloads.classify.values import Mode

__all__ = ["Catalogue", "Entry"]

_CSV: Final = {".csv": "", ".tsv": "\t", ".tab": "\t"}
_LINES: Final = {".jsonl", ".ndjson", ".jl"}
_PICTURES: Final = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
_NO_TEXT: Final = "nothing to classify: no column with a name, type, category, style, tags or description"
_BOMS: Final = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the input: a product, or why there is none."""

    #: as the user gave it, else the position
    id: str
    #: what a resume goes by: digest of id, of which of those with this id it is, and of the content
    key: str
    product: Product | None = None
    error: str = ""
    #: whether an earlier row has the same id
    duplicate: bool = False

    def __repr__(self) -> str:
        """Return what views of progress show."""
        return f"{self.id} {self.product.name}" if self.product is not None else f"{self.id}: {self.error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """An input that is read anew each time it is iterated, a row at a time.

    Args:
        path: a CSV file, a JSON Lines file, or a folder of pictures
        mode: None: image for a folder, else text
        limit: most rows taken; 0: all
        delimiter, encoding: of CSV; None: found out, UTF-8
    """

    path: Path
    mode: Mode | None = None
    columns: Columns = field(default_factory=Columns)
    limit: int = 0
    delimiter: str | None = None
    encoding: str = "utf-8"
    _kind: str = field(init=False)

    def __post_init__(self) -> None:
        """Find out what it is.

        Raises:
            ConfigError: none of the three
        """
        suffix = self.path.suffix.lower()
        if self.path.is_dir():
            kind = "folder"
        elif not self.path.is_file():
            raise ConfigError(f"input={str(self.path)!r} is neither a file nor a folder")
        elif suffix in _CSV:
            kind = "csv"
        elif suffix in _LINES:
            kind = "lines"
        else:
            raise ConfigError(
                f"input={str(self.path)!r}: its name ends with none of {', '.join((*_CSV, *sorted(_LINES)))}"
            )
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise ConfigError(f"encoding={self.encoding!r} is not known") from error
        object.__setattr__(self, "_kind", kind)

    @property
    def by(self) -> Mode:
        """Whether products are classified by text or by picture."""
        return self.mode or ("image" if self._kind == "folder" else "text")

    def __iter__(self) -> Iterator[Entry]:
        """Read it.

        Raises:
            ConfigError: it is empty, or has no such column
        """
        source = {"csv": self._csv, "lines": self._json_lines, "folder": self._folder}[self._kind]()
        seen: Counter[str] = Counter()
        for place, (row, error) in enumerate(itertools.islice(source, self.limit or None)):
            yield self._entry(place, row, error, seen)

    def _entry(self, place: int, row: dict[str, Any] | Product, error: str, seen: Counter[str]) -> Entry:
        if isinstance(row, Product):
            given, content = row.id, row.id
        else:
            given = value_of(row, self.columns.id or "id") or str(place)
            content = json.dumps(row, sort_keys=True)
        seen[given] += 1
        nth = seen[given]
        # a digest of all: an id may hold what no journal takes, such as half a surrogate pair
        known = json.dumps([given, nth, content]).encode()
        key = hashlib.blake2b(known, digest_size=16).hexdigest()
        entry = Entry(id=given, key=key, duplicate=nth > 1)
        if error:
            return replace(entry, error=error)
        if not isinstance(row, Product):
            unique = given if nth == 1 else f"{given}#{nth}"
            row = product_from_row(row, id=unique, mode=self.by, columns=self.columns, folder=self.path.parent)
            if self.by == "text" and not row.text:
                return replace(entry, error=_NO_TEXT)
        return replace(entry, product=row)

    def _csv(self) -> Iterator[tuple[dict[str, Any] | Product, str]]:
        with self._opened() as file:
            lines = csv_lines(file, delimiter=self.delimiter or _CSV[self.path.suffix.lower()])
            header = next(lines, None)
            if header is None:
                raise ConfigError(
                    f"input={str(self.path)!r} is empty: a first line with the names of columns is needed"
                )
            if header.error:
                raise ConfigError(f"input={str(self.path)!r}: line {header.number}: {header.error}")
            self._check_columns(header.cells)
            for line in lines:
                yield _row(header.cells, line, self.encoding)

    @contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        with self.path.open("rb") as raw:
            start = raw.read(4)
        encoding = next((name for bom, name in _BOMS if start.startswith(bom)), self.encoding)
        if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
            encoding = "utf-8-sig"
        with self.path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            yield file

    def _check_columns(self, header: Sequence[str]) -> None:
        row = dict.fromkeys(header, "x")
        for option, column in (
            ("--id-column", self.columns.id),
            ("--name-column", self.columns.name),
            ("--image-column", self.columns.image),
        ):
            if column and not value_of(row, column):
                raise ConfigError(f"{option}={column!r}: there is no such column; there are {', '.join(header)[:300]}")
        product = product_from_row(row, id="", mode=self.by, columns=self.columns)
        if not (product.picture if self.by == "image" else product.text):
            option, what = ("--image-column", "pictures") if self.by == "image" else ("--name-column", "texts")
            raise ConfigError(
                f"input={str(self.path)!r}: no column of {what} by its name; there are {', '.join(header)[:300]}. "
                f"Name one by {option}; the first line has to hold the names of columns"
            )

    def _json_lines(self) -> Iterator[tuple[dict[str, Any] | Product, str]]:
        with self.path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(LONGEST)
                if not line:
                    return
                if len(line) == LONGEST and not line.endswith(b"\n"):
                    while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                        pass
                    yield {}, f"line {number}: longer than {LONGEST:,} bytes"
                    continue
                if line.strip() and line.strip() != codecs.BOM_UTF8:
                    yield _object(line, number)

    def _folder(self) -> Iterator[tuple[dict[str, Any] | Product, str]]:
        for path in _walk(self.path):
            inside = path.relative_to(self.path).as_posix()
            name = path.stem.replace("_", " ").replace("-", " ")
            yield (
                Product(
                    id=inside,
                    name=name,
                    text=f"Name: {name}",
                    mode=self.by,
                    picture=Picture(path=str(path)) if self.by == "image" else None,
                ),
                "",
            )


def _row(header: Sequence[str], line: Line, encoding: str) -> tuple[dict[str, Any], str]:
    row: dict[str, Any] = {}
    for name, cell in zip(header, line.cells, strict=False):
        row.setdefault(name, cell)
    error = line.error
    if not error and len(line.cells) != len(header):
        error = f"{len(line.cells)} cells, and {len(header)} columns"
    if any(len(cell) > LONGEST for cell in line.cells):
        row, error = {}, error or f"a cell is longer than {LONGEST:,} characters"
    if not error and any(not cell.isascii() and _undecoded(cell) for cell in line.cells):
        row = {name: cell.encode("utf-8", "replace").decode() for name, cell in row.items()}
        error = f"not {encoding}; --encoding says what it is, such as cp1252"
    return row, error and f"line {line.number}: {error}"


def _undecoded(cell: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in cell)


def _object(line: bytes, number: int) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return {}, f"line {number}: not JSON: {error}"
    if not isinstance(found, dict):
        return {}, f"line {number}: a JSON object is needed, not {type(found).__name__}"
    return found, ""


def _walk(folder: Path) -> Iterator[Path]:
    """All pictures below, by name; links to folders are not followed."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name)
        elif Path(entry.name).suffix.lower() in _PICTURES and entry.is_file():
            yield folder / entry.name
