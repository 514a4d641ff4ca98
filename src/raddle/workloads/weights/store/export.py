"""Results as JSON, in the shape that the original program wrote: {"stats": ..., "users": {id: [result, ...]}}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from raddle.workloads.weights.files import replaced
from raddle.workloads.weights.text import at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["write_json"]

_ROWS: Final = 16_384
_COMPONENTS: Final = ("safety", "plausibility", "consistency", "reliability")
_DAYS_A_WEEK: Final = 7


def write_json(path: Path, parquet: Path, stats: Mapping[str, Any]) -> int:
    """Write results.parquet as JSON, a few thousand rows at a time; return how many there are.

    Names and nesting are the original's, with these differences: `raw_weight` is in kg for rejected readings too;
    what is not known of a reading is left out; `time` stands for `timestamp` where times are days; and what the
    results do not hold (confidence, noise multiplier, notes of the preprocessing) is not there.

    Args:
        path: of the file; it is there wholly or not at all
        parquet: as `write_results` left it
        stats: goes to the top
    """
    import orjson

    count, user = 0, None
    with replaced(path) as spare, spare.open("wb") as file:
        file.write(b'{"stats":' + orjson.dumps(dict(stats)) + b',\n"users":{')
        for row in _rows(parquet):
            owner = row["user_id"]
            if owner != user:
                file.write((b"" if user is None else b"],") + b"\n" + orjson.dumps(owner) + b":[\n")
                user = owner
            else:
                file.write(b",\n")
            file.write(orjson.dumps(_result(row)))
            count += 1
        file.write((b"" if user is None else b"]") + b"}}\n")
    return count


def _rows(parquet: Path) -> Iterator[dict[str, Any]]:
    import polars as pl

    height = pl.scan_parquet(parquet).select(pl.len()).collect().item()
    for first in range(0, height, _ROWS):
        frame = pl.scan_parquet(parquet).slice(first, _ROWS).collect()
        if frame.schema["time"] != pl.Float64:
            frame = frame.with_columns(pl.col("time").to_physical())
        yield from frame.iter_rows(named=True)


def _result(row: dict[str, Any]) -> dict[str, Any]:
    """Return a reading as the original tells of it."""
    accepted = row["accepted"]
    time = row["time"]
    trend, sigma, weight = row["trend"], row["sigma"], row["filtered_weight"]
    known_sigma = sigma is not None and weight is not None
    said = {
        "timestamp": at(time).isoformat() if isinstance(time, int) else None,
        "time": None if isinstance(time, int) else time,
        "source": row["source"],
        "raw_weight": row["weight_kg"],
        "stage": row["stage"],
        "accepted": accepted,
        "rejected": None if accepted else True,
        "filtered_weight": weight,
        "trend": trend,
        "trend_weekly": None if trend is None else trend * _DAYS_A_WEEK,
        "innovation": row["innovation"],
        "allowed": row["allowed"],
        "kalman_confidence_upper": weight + 2 * sigma if known_sigma else None,
        "kalman_confidence_lower": weight - 2 * sigma if known_sigma else None,
        "kalman_variance": sigma * sigma if known_sigma else None,
        "quality_score": row["quality"],
        "quality_components": _present({name: row[name] for name in _COMPONENTS}),
        "reset_event": None if row["restart"] is None else {"type": row["restart"]},
        "file": row["file"],
        "line": row["line"],
        "revised_stage": row["revised_stage"],
        "revised_filtered_weight": row["revised_filtered_weight"],
    }
    return _present(said) or {}


def _present(said: dict[str, Any]) -> dict[str, Any] | None:
    return {name: value for name, value in said.items() if value is not None} or None
