"""What stays when the run is over: a row per reading, a row per user, the totals."""

from __future__ import annotations

import json
import sqlite3
from array import array
from contextlib import closing
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.files import asset, replaced, write_whole
from raddle.workloads.weights.text import at as instant
from raddle.workloads.weights.values import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from raddle.workloads.weights.values import Readings, UserResult

__all__ = ["Results", "write_summary"]

_NAN = float("nan")
_FLOATS = ("filtered_weight", "trend", "sigma", "trend_sigma", "innovation", "allowed")
_RESTARTS = ("first reading", "gap", "level change")


class Results:
    """Columns of the results, in order of users. Compact, since all is kept until the end.

    Polars is imported only when the columns are written: it starts threads, and workers may be forked until then.
    """

    def __init__(self, *, days: bool) -> None:
        self.days = days
        self.users: list[str] = []
        self.sources: dict[str, int] = {}
        self.user = array("q")
        self.line = array("q")
        self.time: array[Any] = array("d" if days else "q")
        self.weight = array("d")
        self.source = array("q")
        self.stage = bytearray()
        self.restart = bytearray()
        self.floats = {name: array("d") for name in _FLOATS}
        self.states: list[tuple[Any, ...]] = []

    def add(self, readings: Readings, result: UserResult) -> None:
        """Take one user's part."""
        count = len(readings.lines)
        numbers = [self.sources.setdefault(name, len(self.sources)) for name in readings.source_names]
        self.user.extend([len(self.users)] * count)
        self.users.append(readings.user)
        self.line.extend(readings.lines)
        self.time.extend(readings.times)
        self.weight.extend(readings.weights_kg)
        self.source.extend(numbers[source] for source in readings.sources)
        self.stage += result.stages
        restart = bytearray([len(_RESTARTS)]) * count
        for at, why in result.restarts.items():
            restart[at] = _RESTARTS.index(why)
        self.restart += restart
        columns = (
            result.filtered_kg,
            result.trend_kg_day,
            result.sigma_kg,
            result.trend_sigma,
            result.innovation_kg,
            result.allowed_kg,
        )
        for column, values in zip(self.floats.values(), columns, strict=True):
            column.extend(_NAN if value is None else value for value in values)
        self.states.append(self._state(readings, result))

    def _state(self, readings: Readings, result: UserResult) -> tuple[Any, ...]:
        last: float | str | None = None
        if result.state is not None:
            last = readings.times[result.last]
            last = last if self.days else instant(last).isoformat()
        count = len(readings.lines)
        restarts = sum(why != "first reading" for why in result.restarts.values())
        return (
            readings.user,
            *(result.state or (None,) * 5),
            last,
            count,
            result.accepted,
            count - result.accepted,
            restarts,
            result.since_restart,
            readings.unused,
        )

    def stages(self) -> dict[str, int]:
        """Return how many readings ended in each stage."""
        return {name: self.stage.count(code) for code, name in enumerate(STAGES)}

    def write_parquet(self, path: Path) -> None:
        """Write a row per reading: by user, then by time, then by line."""
        import polars as pl

        time = pl.Series("time", self.time, dtype=pl.Float64 if self.days else pl.Int64)
        frame = pl.DataFrame(
            [
                pl.Series("line", self.line, dtype=pl.Int64),
                _words("user_id", self.users, self.user),
                time if self.days else time.cast(pl.Datetime("us", "UTC")),
                pl.Series("weight_kg", self.weight, dtype=pl.Float64),
                _words("source", list(self.sources), self.source),
                _words("stage", STAGES, self.stage),
                pl.Series("accepted", self.stage, dtype=pl.UInt8) <= 1,
                *(pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in self.floats.items()),
                _words("restart", [*_RESTARTS, None], self.restart),
            ]
        )
        with replaced(path) as spare:
            frame.write_parquet(spare, compression="zstd", compression_level=3, row_group_size=250_000)

    def write_state(self, path: Path) -> None:
        """Write a row per user into a new SQLite file."""
        insert = f"INSERT INTO user_state VALUES ({','.join('?' * 13)})"  # noqa: S608 - question marks only
        with replaced(path) as spare, closing(sqlite3.connect(spare, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = OFF")  # a new file under a name of its own: nothing to roll back
            base.executescript(asset("state.sql"))
            base.execute("BEGIN")
            base.executemany(insert, self.states)
            base.execute("COMMIT")


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write summary.json."""
    write_whole(path, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())


def _words(name: str, words: Iterable[str | None], numbers: Iterable[int]) -> Any:
    import polars as pl

    texts = pl.Series("words", list(words), dtype=pl.String)
    return texts.gather(pl.Series("numbers", list(numbers), dtype=pl.Int64)).alias(name)
