"""results.parquet: a row per reading that came with this run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.files import replaced
from raddle.workloads.weights.store.encode import changed_rows
from raddle.workloads.weights.values import DAY, FIELDS, RESETS, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.values import Bools, Chunk, Revised

__all__ = ["write_results"]

#: rows of a row group; also what is held at a time, some 30 MB
_GROUP: Final = 131_072


def write_results(path: Path, parts: Iterable[tuple[Part, Revised | None]], *, days: bool) -> dict[str, int]:
    """Write the fresh rows of all parts: by user, as the parts come, then by time, file and line.

    Part by part, so that memory does not grow with them; the bytes do not depend on how they are cut. `stage` and the
    columns after it are the word of the main pass; `revised_stage` and `revised_filtered_weight` are null unless the
    retrospective pass says something else.

    Args:
        path: of the file; it is there wholly or not at all
        parts: with the word of the retrospective pass, if there is one, in order of users
        days: `time` is days since birth or start, else an instant in UTC

    Returns:
        rows by stage, in order of STAGES
    """
    from polars.io.plugins import register_io_source

    counts = np.zeros(len(STAGES), dtype=np.int64)

    def frames() -> Iterator[pl.DataFrame]:
        for part, revised in parts:
            rows = _order(part.chunk, part.fresh)
            np.add(counts, np.bincount(part.filtered.stage[rows], minlength=len(STAGES)), out=counts)
            yield _frame(part, revised, rows, days=days)

    # A source is the only way by which polars writes a file row group by row group.
    source = register_io_source(lambda *_: _regrouped(frames()), schema=_schema(days=days))
    with replaced(path) as spare:
        source.sink_parquet(spare, compression="zstd", compression_level=1, row_group_size=_GROUP, maintain_order=True)
    return dict(zip(STAGES, counts.tolist(), strict=True))


def _order(chunk: Chunk, fresh: Bools) -> Any:
    """Return the fresh rows by user, time, file and line."""
    user = np.repeat(np.arange(len(chunk.users)), np.diff(chunk.starts))
    columns = [user, chunk.time, chunk.file, chunk.line]
    rising = np.zeros(max(len(user) - 1, 0), dtype=np.bool_)
    level = ~rising
    for column in columns:
        rising |= level & (column[1:] > column[:-1])
        level &= column[1:] == column[:-1]
    if (rising | level).all():
        return np.flatnonzero(fresh)
    order = np.lexsort(columns[::-1])
    return order[fresh[order]]


def _schema(*, days: bool) -> dict[str, Any]:
    import polars as pl

    return {
        "line": pl.Int64,
        "user_id": pl.String,
        "time": pl.Float64 if days else pl.Datetime("us", "UTC"),
        "weight_kg": pl.Float64,
        "source": pl.String,
        "stage": pl.String,
        "accepted": pl.Boolean,
        **dict.fromkeys(FIELDS[:6], pl.Float64),
        "restart": pl.String,
        **dict.fromkeys(FIELDS[6:], pl.Float64),
        "file": pl.Int32,
        "revised_stage": pl.String,
        "revised_filtered_weight": pl.Float64,
        "smoothed_weight": pl.Float64,
        "smoothed_sigma": pl.Float64,
    }


def _frame(part: Part, revised: Revised | None, rows: Any, *, days: bool) -> pl.DataFrame:
    import polars as pl

    chunk, live = part.chunk, part.filtered
    user = np.repeat(np.arange(len(chunk.users)), np.diff(chunk.starts))[rows]
    time = chunk.time[rows]
    stage = live.stage[rows]
    columns = {
        "line": chunk.line[rows],
        "user_id": _words(chunk.users, user),
        "time": time / DAY if days else pl.Series(time).cast(pl.Datetime("us", "UTC")),
        "weight_kg": live.weight[rows],
        "source": _words(chunk.source_names, chunk.source[rows]),
        "stage": _words(STAGES, stage),
        "accepted": stage <= 1,
        "restart": _words(RESETS, live.reset[rows]),
        "file": chunk.file[rows].astype(np.int32),
        **dict(zip(FIELDS, live.out[:, rows], strict=True)),
    }
    if revised is None:
        none = pl.repeat(None, len(rows), eager=True)
        columns |= {"revised_stage": none.cast(pl.String), "revised_filtered_weight": none.cast(pl.Float64)}
    else:
        final = revised.filtered
        changed = changed_rows(live, final)[rows]
        said = np.where(changed, final.stage[rows], len(STAGES))
        weight = np.where(changed, final.out[FIELDS.index("filtered_weight"), rows], np.nan)
        columns |= {"revised_stage": _words((*STAGES, None), said), "revised_filtered_weight": weight}
    late = None if revised is None else revised.smoothed
    for at, name in enumerate(("smoothed_weight", "smoothed_sigma")):
        columns[name] = pl.repeat(None, len(rows), dtype=pl.Float64, eager=True) if late is None else late[at, rows]
    frame = pl.DataFrame({name: columns[name] for name in _schema(days=days)})
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def _words(words: tuple[str | None, ...], codes: Any) -> pl.Series:
    import polars as pl

    return pl.Series(words, dtype=pl.String).gather(codes)


def _regrouped(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut the stream at every _GROUP rows, wherever the parts end."""
    import polars as pl

    held: list[pl.DataFrame] = []
    count = 0
    for frame in frames:
        held.append(frame)
        count += frame.height
        while count >= _GROUP:
            whole = pl.concat(held)
            yield whole.head(_GROUP).rechunk()
            held, count = [whole.slice(_GROUP)], count - _GROUP
    if count:
        yield pl.concat(held).rechunk()
