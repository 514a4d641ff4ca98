"""Bodies of requests to items: JSON, JSON Lines, CSV. Blocking, so called in a thread."""

from __future__ import annotations

import codecs
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.classify.batch.rows import value_of
from raddle.workloads.classify.batch.tables import csv_lines
from raddle.workloads.classify.service import json_text
from raddle.workloads.classify.service.queries import Item
from raddle.workloads.classify.service.rows import dumps, product_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "BadInput",
    "TooMany",
    "Upload",
    "check_columns",
    "form_of",
    "from_pictures",
    "items_of",
    "parse_json",
    "rows_of",
]

_JSON: Final = {"application/json", "text/json"}
_LINES: Final = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
_CSV: Final = {"text/csv", "application/csv", "application/vnd.ms-excel"}
_TSV: Final = {"text/tab-separated-values"}
#: forms of tables; "": found out
_DELIMITERS: Final = {"csv": "", "tsv": "\t"}
_SUFFIXES: Final = {".json": "json", ".jsonl": "lines", ".ndjson": "lines", ".csv": "csv", ".tsv": "tsv"}
_DEEPEST: Final = 32
_LONGEST_ID: Final = 500


class BadInput(ValueError):
    """What was sent cannot be read; the message says where."""


class TooMany(ValueError):
    """More items than a job may have."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that was sent."""

    name: str
    data: bytes


def form_of(content_type: str, name: str = "") -> str | None:
    """Return "json", "lines", "csv" or "tsv" by content type, else by the suffix of a file's name; None: another."""
    kind = content_type.partition(";")[0].strip().lower()
    for form, kinds in (("json", _JSON), ("lines", _LINES), ("csv", _CSV), ("tsv", _TSV)):
        if kind in kinds:
            return form
    dot = name.rfind(".")
    return _SUFFIXES.get(name[dot:].lower()) if dot >= 0 else None


def rows_of(body: bytes, form: str, *, most: int) -> list[dict[str, Any]]:
    """Return the rows of a body.

    Raises:
        BadInput: it cannot be read
        TooMany: more rows than `most`
    """
    if form in _DELIMITERS:
        return _limited(_csv(body, _DELIMITERS[form]), most)
    text = _text(body)
    return _limited(_objects(text) if form == "json" else _lines(text), most)


def items_of(rows: Sequence[dict[str, Any]], *, id_column: str | None = None) -> list[Item]:
    """Return rows as items. Ids come from the column, else from one called id if it fits, else they are positions.

    Raises:
        BadInput: the column that was named misses an id or has one twice, or a row has no end of depth
    """
    ids = [value_of(row, id_column or "id")[:_LONGEST_ID] for row in rows]
    if len(set(ids)) < len(ids) or not all(ids):
        if id_column is not None:
            seen: dict[str, int] = {}
            for position, one in enumerate(ids):
                if not one:
                    raise BadInput(f"item {position}: {id_column!r} is empty; each item needs an id")
                if (first := seen.setdefault(one, position)) != position:
                    raise BadInput(f"id={one!r}: items {first} and {position} both have it; an id names one item")
        ids = [str(position) for position in range(len(rows))]
    for position, row in enumerate(rows):
        _refuse_deep(row, position)
    return [Item(place, _clean(one), dumps(row), None) for place, (one, row) in enumerate(zip(ids, rows, strict=True))]


def check_columns(items: Sequence[Item], *, mode: str, columns: Mapping[str, str | None]) -> None:
    """Refuse items of which none can be labelled: a wrong name of a column, or a first line that names none.

    Raises:
        BadInput: no item has the columns
    """
    for option, column in columns.items():
        if column and not any(value_of(json.loads(item.row), column) for item in items):
            raise BadInput(f"{option}_column={column!r}: no item has anything there")
    products = (product_of(item, mode=mode, columns=columns) for item in items)
    if mode == "image" and not any(product.picture for product in products):
        raise BadInput("no item names a picture; say by image_column= which column does")
    if mode == "text" and not any(product.text for product in products):
        raise BadInput(
            "no item has a name, type, category, style, tags or description; say by name_column= which column is its"
            " name. The first line of a table has to hold the names of columns"
        )


def from_pictures(uploads: Sequence[Upload]) -> list[Item]:
    """Return one item for each picture; its name is the id, the place added where a name comes twice."""
    items: list[Item] = []
    seen: set[str] = set()
    for position, upload in enumerate(uploads):
        name = _clean(upload.name)[:_LONGEST_ID] or f"picture {position}"
        name = f"{name} ({position})" if name in seen else name
        seen.add(name)
        items.append(Item(position, name, dumps({"name": name}), upload.data))
    return items


def _text(body: bytes) -> str:
    wide = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return body.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start}: not UTF-8; save the file as UTF-8") from error


def _limited(rows: Iterator[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for row in rows:
        if len(kept) == most:
            raise TooMany(f"more than {most} items; send them in several jobs")
        kept.append(row)
    if not kept:
        raise BadInput("no items: send at least one")
    return kept


def _loads(text: str, where: str) -> Any:
    try:
        return json_text.loads(text)
    except RecursionError as error:
        raise BadInput(f"{where}JSON is nested too deeply") from error
    except ValueError as error:
        raise BadInput(f"{where}not JSON: {error}") from error


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body.

    Raises:
        BadInput: it is none
    """
    return _loads(_text(body), "")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    found = _loads(text, "")
    rows = found.get("data") if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise BadInput('send a JSON list of objects, or {"data": [...]}')
    for position, row in enumerate(rows):
        yield _object(row, f"item {position}")


def _lines(text: str) -> Iterator[dict[str, Any]]:
    # by line feeds only: str.splitlines knows separators that JSON allows inside of a string
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _object(_loads(line, f"line {number}: "), f"line {number}")


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise BadInput(f"{where}: an object with columns is needed, not {type(row).__name__}")
    return row


def _csv(body: bytes, delimiter: str) -> Iterator[dict[str, Any]]:
    lines = csv_lines(io.StringIO(_text(body), newline=""), delimiter=delimiter)
    header: list[str] = []
    for line in lines:
        if line.error:
            raise BadInput(f"line {line.number}: {line.error}")
        if not header:
            header = [name.strip() for name in line.cells]
            if not any(header):
                raise BadInput(f"line {line.number}: no column names")
        elif any(line.cells):
            # of columns of one name, and of cells beyond the last column, the first count
            yield dict(reversed([*zip(header, line.cells, strict=False)]))
    if not header:
        raise BadInput("line 1: no column names")


def _refuse_deep(row: dict[str, Any], position: int) -> None:
    level: list[Any] = [row]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise BadInput(f"item {position}: nested more than {_DEEPEST} deep")


def _clean(text: str) -> str:
    # half a surrogate pair is valid in JSON and in nothing else
    return text.encode("utf-8", "replace").decode()
