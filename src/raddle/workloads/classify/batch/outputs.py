"""Labels into CSV or JSON Lines, whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from raddle.workloads.classify.values import Label

    Write = Callable[[dict[str, Any]], None]

__all__ = ["FIELDS", "label_fields", "output_row", "writer"]

#: columns of the output, in this order
FIELDS: Final = (
    *("id", "category", "confidence", "status", "name", "primary_style", "secondary_style"),
    *("style_tags", "placement_tags", "reasoning", "provider", "margin", "flags", "error"),
)
_LISTS: Final = frozenset({"style_tags", "placement_tags", "flags"})


def label_fields(label: Label) -> dict[str, Any]:
    """Return what the output says of a label."""
    return {
        "category": label.category,
        "confidence": round(label.confidence, 4),
        "primary_style": label.primary_style,
        "secondary_style": label.secondary_style,
        "style_tags": list(label.style_tags),
        "placement_tags": list(label.placement_tags),
        "reasoning": label.reasoning,
        "provider": label.provider,
        "margin": None if label.margin is None else round(label.margin, 4),
        "flags": list(label.flags),
    }


def output_row(**known: Any) -> dict[str, Any]:
    """Return a row with all columns, empty where nothing is known."""
    return {name: known.get(name, [] if name in _LISTS else None) for name in FIELDS}


@contextmanager
def writer(path: Path | None) -> Iterator[Write]:
    """Give what writes one row; the file appears under its name only when all is written.

    Args:
        path: CSV or JSON Lines by its suffix; None: JSON Lines on standard output, each row at once

    Raises:
        ConfigError: another suffix
    """
    if path is None:
        yield _stdout
        return
    form = _form(path)
    part = path.with_name(path.name + ".part")
    # half a surrogate pair is no UTF-8; in JSON the escape of it is right, too
    with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield form(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _form(path: Path) -> Callable[[IO[str]], Write]:
    suffix = path.suffix.lower()
    if suffix in {".csv", ".tsv"}:
        return lambda file: _cells(file, "\t" if suffix == ".tsv" else ",")
    if suffix in {".jsonl", ".ndjson", ".jl"}:
        return lambda file: lambda row: _line(file, row)
    raise ConfigError(f"output={str(path)!r}: its name has to end with .csv, .tsv, .jsonl or .ndjson")


def _cells(file: IO[str], delimiter: str) -> Write:
    # cells that begin with =, +, - or @ stay as they are: data is not changed for the sake of spreadsheets
    out = csv.DictWriter(file, FIELDS, delimiter=delimiter, lineterminator="\n")
    out.writeheader()
    return lambda row: out.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> Any:
    return "; ".join(value) if isinstance(value, list) else "" if value is None else value


def _line(file: IO[str], row: dict[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _stdout(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")  # ASCII: a terminal may speak anything
    sys.stdout.flush()
