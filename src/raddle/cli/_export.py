"""Recorded outcomes to JSON Lines, CSV or Parquet, into a file that is whole or not there."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from raddle.cli._outputs import LineWriter, dump, safe_repr
from raddle.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.journal.history import OutcomeRow

__all__ = ["FORMATS", "as_record", "export_to"]

FORMATS = ("jsonl", "csv", "parquet")
_COLUMNS = (
    "position", "item", "key", "status", "value", "value_kind", "error_type", "error_message", "traceback", "attempts",
    "started", "seconds", "worker",
)  # fmt: skip
_VALUES = ("value", "value_kind")
_INTEGERS, _FLOATS = ("position", "attempts"), ("started", "seconds")


def as_record(row: OutcomeRow, *, values: bool = True) -> dict[str, Any]:
    """Return a recorded outcome as `raddle map` would write it. "item" is the short text that the journal keeps."""
    record: dict[str, Any] = {"position": row.position, "item": row.label, "status": row.status.value}
    if values:
        record |= _value(row)
    error = None
    if row.error_type is not None:
        error = {"type": row.error_type, "message": row.error_message or "", "traceback": row.traceback or ""}
    return record | {
        "error": error,
        "attempts": row.attempts,
        "seconds": row.seconds,
        "worker": row.worker,
        "started": row.started,
        "key": row.key,
    }


def _value(row: OutcomeRow) -> dict[str, Any]:
    try:
        return {"value": row.load()}
    except Exception as error:  # noqa: BLE001 - unpickling runs the user's classes; one bad value must not end the export
        return {"value_unreadable": f"{type(error).__name__}: {error}"}


def export_to(output: str | None, records: Iterable[dict[str, Any]], kind: str, *, values: bool = True) -> int:
    """Write records to a file, or to standard output if `output` is None; return how many.

    Memory stays flat, whatever the number of records.

    Raises:
        ConfigError: the file cannot be written, or Parquet is wanted on standard output
        MissingExtra: Parquet is wanted, and polars is not installed
    """
    if output is None and kind == "parquet":
        raise ConfigError("--format=parquet: needs a file to write to: --output FILE")
    if output is None:
        return _write(sys.stdout.buffer, records, kind, values=values)
    if kind == "parquet":
        _polars()
    try:
        with _whole_file(Path(output)) as stream:
            write = _write_parquet if kind == "parquet" else _write
            return write(stream, records, kind, values=values)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written: {error.strerror or error}") from error


def _write(stream: IO[bytes], records: Iterable[dict[str, Any]], kind: str, *, values: bool) -> int:
    writer, count, names = LineWriter(stream), 0, _names(values=values)
    if kind == "csv":
        writer.write_line(_csv_line(names))
    for count, record in enumerate(records, 1):  # noqa: B007 - the last number is the answer
        if kind == "csv":
            row = _row(record, values=values)
            writer.write_line(_csv_line([row[name] for name in names]))
        else:
            writer.write_line(dump(record))
        if writer.closed:
            break
    writer.close()
    if writer.closed and stream is sys.stdout.buffer:
        raise BrokenPipeError  # the command ends as any program in a pipe does
    return count


def _names(*, values: bool) -> list[str]:
    return [name for name in _COLUMNS if values or name not in _VALUES]


def _row(record: dict[str, Any], *, values: bool) -> dict[str, Any]:
    """Return a record as columns of plain text and numbers."""
    error = record["error"] or {}
    row = {name: record.get(name) for name in _COLUMNS}
    row |= {"error_type": error.get("type"), "error_message": error.get("message"), "traceback": error.get("traceback")}
    if values:
        row["value"], row["value_kind"] = _shown(record)
    return row


def _shown(record: dict[str, Any]) -> tuple[str | None, str]:
    """Return a value as text, and what kind of text: "text" (it is a text), "json", "repr", "unreadable" or ""."""
    if "value_unreadable" in record:
        return record["value_unreadable"], "unreadable"
    value = record.get("value")
    if isinstance(value, str):
        return value, "text"
    if record["status"] != "ok":
        return None, ""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False), "json"
    except (TypeError, ValueError, RecursionError):
        return safe_repr(value), "repr"


def _csv_line(cells: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


# -------------------------------------------------------------------------------------------------------- parquet


def _polars() -> Any:
    try:
        import polars as pl
    except ImportError as error:
        raise MissingExtra("polars, which writes Parquet,", "export") from error
    return pl


def _write_parquet(stream: IO[bytes], records: Iterable[dict[str, Any]], _kind: str, *, values: bool) -> int:
    """Write JSON Lines beside the file and have polars turn them into Parquet, batch by batch."""
    polars, names, count = _polars(), _names(values=values), 0
    kinds = dict.fromkeys(_INTEGERS, polars.Int64) | dict.fromkeys(_FLOATS, polars.Float64)
    schema = {name: kinds.get(name, polars.String) for name in names}
    folder = Path(stream.name).parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".raddle-export.", suffix=".jsonl") as lines:
        for count, record in enumerate(records, 1):  # noqa: B007 - as above
            row = _row(record, values=values)
            # Parquet's text is UTF-8: bytes of a file name that are not become question marks.
            clean = {name: _utf8(row[name]) for name in names}
            lines.write((json.dumps(clean) + "\n").encode())
        lines.flush()
        if count:
            polars.scan_ndjson(lines.name, schema=schema).sink_parquet(stream.name)
        else:
            polars.DataFrame(schema=schema).write_parquet(stream.name)
    return count


def _utf8(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


# ----------------------------------------------------------------------------------------------------------- files


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write beside the file, then rename: whoever looks sees the old file or the whole new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        with Path(name).open("r+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
