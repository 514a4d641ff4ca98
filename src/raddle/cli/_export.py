"""Recorded outcomes to JSON Lines or CSV, into a file that is whole or not there."""

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

from raddle.cli._outputs import LineWriter, dump
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raddle.journal.history import OutcomeRow

__all__ = ["FORMATS", "as_record", "export_to"]

FORMATS = ("jsonl", "csv")
_COLUMNS = ("position", "item", "key", "status", "value", "error_type", "error_message", "traceback", "attempts")
_LAST_COLUMNS = ("started", "seconds", "worker")


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

    Raises:
        ConfigError: the file cannot be written
    """
    if output is None:
        writer = LineWriter(sys.stdout.buffer)
        count = _write(writer, records, kind, values=values)
        writer.close()
        return count
    try:
        with _whole_file(Path(output)) as stream:
            return _write(LineWriter(stream), records, kind, values=values)
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written: {error.strerror or error}") from error


def _write(writer: LineWriter, records: Iterable[dict[str, Any]], kind: str, *, values: bool) -> int:
    count = 0
    names = [name for name in (*_COLUMNS, *_LAST_COLUMNS) if values or name != "value"]
    if kind == "csv":
        writer.write_line(_csv_line(names))
    for count, record in enumerate(records, 1):  # noqa: B007 - the last number is the answer
        writer.write_line(dump(record) if kind == "jsonl" else _csv_line([_cell(record, name) for name in names]))
        if writer.closed:
            break
    return count


def _cell(record: dict[str, Any], name: str) -> object:
    if name.startswith("error_") or name == "traceback":
        return (record["error"] or {}).get(name.removeprefix("error_"), "")
    value = record.get(name)
    if name != "value" or value is None or isinstance(value, (str, int, float)):
        return record.get(f"{name}_unreadable", value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _csv_line(cells: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write beside the file, then rename: whoever looks sees the old file or the whole new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
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
