"""Rows that come as polars frames: Parquet files, and exports that are no tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from raddle import errors
from raddle.workloads.weights.ingest import kernels
from raddle.workloads.weights.ingest.blocks import BLOCK_COLUMNS, Dialect
from raddle.workloads.weights.ingest.csvfast import Cells, layout
from raddle.workloads.weights.ingest.decode import Source
from raddle.workloads.weights.ingest.rejects import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from raddle.workloads.weights.ingest.decode import Table
    from raddle.workloads.weights.options import ReadOptions
    from raddle.workloads.weights.values import Floats, Ints

__all__ = ["block_source", "parquet_frames", "refusals"]

_ROWS: Final = 1 << 18


def block_source(frame: pl.DataFrame) -> tuple[Ints, Source]:
    """Return lines and cells of a block as `blocks` describes it."""
    user, time, weight, unit, source = (_cells(frame[name]) for name in BLOCK_COLUMNS[1:])
    cells = Source(user=user, time=time, weight=weight, unit=unit, source=source)
    return frame["line"].to_numpy().astype(np.int64), cells


def parquet_frames(
    path: Path, name: str, options: ReadOptions, dialect: Dialect
) -> Iterator[tuple[pl.DataFrame, Ints, Source]]:
    """Yield a Parquet file in pieces. Its first row is line 2, as if the file were CSV.

    Raises:
        ConfigError: it cannot be read, or a column is missing or holds lists or the like
    """
    try:
        scan = pl.scan_parquet(path, glob=False)
        schema = scan.collect_schema()
        header = list(schema)
        found = layout(header, dialect, options, name)
        for column in found.needed:
            if schema[header[column]].is_nested() or schema[header[column]] == pl.Binary:
                raise errors.ConfigError(
                    f"{name}: column {header[column]!r} holds {schema[header[column]]}: "
                    "text, numbers or times are needed"
                )
        count = scan.select(pl.len()).collect().item()
        for first in range(0, count, _ROWS):
            frame = scan.slice(first, _ROWS).collect()
            columns = [frame[name] for name in header]
            source = Source(
                user=None if found.user is None else _cells(columns[found.user]),
                time=_times(columns[found.time], days=options.time_unit == "days"),
                weight=_numbers(columns[found.weight]),
                unit=None if found.unit is None else _cells(columns[found.unit]),
                source=None if found.source is None else _cells(columns[found.source]),
                where=tuple((_cells(columns[at]), values) for at, values in found.where),
            )
            yield frame, np.arange(first + 2, first + 2 + len(frame)), source
    except (pl.exceptions.PolarsError, OSError) as error:
        raise errors.ConfigError(
            f"{name} cannot be read as Parquet ({str(error).splitlines()[0]}): copy or download the file again"
        ) from error


def refusals(frame: pl.DataFrame, table: Table, names: Any, texts: Sequence[str]) -> list[Refusal]:
    """Return the refused rows of a frame; it shows their cells, or its column `row`."""
    at = np.flatnonzero(table.reason)
    if not len(at):
        return []
    refused = frame[at]
    shown = (
        refused["row"]
        if "row" in frame.columns
        else refused.select(
            pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in _shown(frame)], separator=",")
        ).to_series()
    )
    users = [texts[name] for name in names[at].tolist()]
    rows = shown.fill_null("").to_list()
    return list(map(Refusal, table.line[at].tolist(), table.reason[at].tolist(), users, rows))


def _shown(frame: pl.DataFrame) -> list[str]:
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    return plain[1:] if tuple(plain[:6]) == BLOCK_COLUMNS else plain


def _cells(column: pl.Series) -> Cells:
    text = column.cast(pl.String).fill_null("")
    ends = np.cumsum(text.str.len_bytes().to_numpy().astype(np.int64))
    joined: Any = text.str.join("").item() if len(text) else ""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]]) if len(ends) else ends
    return Cells(np.frombuffer(joined.encode(), np.uint8), starts, ends)


def _numbers(column: pl.Series) -> Cells | Floats:
    if not column.dtype.is_numeric():
        return _cells(column)
    numbers: Floats = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    return numbers


def _times(column: pl.Series, *, days: bool) -> Cells | Ints | Floats:
    if days:
        return _numbers(column)
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        return _cells(column)
    # with a time zone the number is UTC's already; without one it is taken for UTC
    ticks: Ints = column.dt.epoch("us").fill_null(kernels.NO_TIME).to_numpy().copy()
    return ticks
