"""What a state knows of its users' readings, in arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.errors import RaddleError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from raddle.workloads.weights.values import Bytes, Floats, Ints

__all__ = ["RESULTS", "ROWS", "History", "of_users", "read_history"]

#: a reading as it is kept, 29 bytes
ROWS: Final = np.dtype([("line", "<i8"), ("time", "<i8"), ("value", "<f8"), ("unit", "u1"), ("source", "<u4")])
#: what was published for it, 18 bytes
RESULTS: Final = np.dtype([("stage", "u1"), ("reset", "u1"), ("filtered_weight", "<f8"), ("trend", "<f8")])

_MARKS: Final = 500  # SQLite takes 32,766; a statement is prepared anew for each other number of them

_HEIGHTS = """
    SELECT user_id, height_m, max(ingest) FROM snapshots
    WHERE user_id IN ({marks}) AND ingest IN (SELECT ingest FROM files WHERE finished) GROUP BY user_id"""
_ROWS = """
    SELECT user_id, file, sources, rows FROM history
    WHERE user_id IN ({marks}) AND file IN (SELECT number FROM files WHERE finished) ORDER BY user_id, file"""
_RESULTS = """
    SELECT user_id, live, max(ingest) FROM results
    WHERE user_id IN ({marks}) AND ingest IN (SELECT ingest FROM files WHERE finished) GROUP BY user_id"""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The earlier readings of some users, as in `Chunk`, by file and then by line; and what the rules said of them.

    Only files whose ingest was finished count.
    """

    #: as asked for; those the state does not know have no rows
    users: tuple[str, ...]
    starts: Ints
    line: Ints
    file: Ints
    time: Ints
    value: Floats
    unit: Bytes
    source: Ints
    source_names: tuple[str, ...]
    #: as last known; NaN: never
    height_m: Floats
    #: of the main pass, before the retrospective one
    stage: Bytes
    reset: Bytes
    filtered_weight: Floats
    trend: Floats


def of_users(
    connection: sqlite3.Connection, query: str, users: Sequence[str], *more: object
) -> Iterator[tuple[Any, ...]]:
    """Return what a query finds for any number of users: `{marks}` stands for a list of them, `more` comes after."""
    for first in range(0, len(users), _MARKS):
        group = users[first : first + _MARKS]
        yield from connection.execute(query.format(marks=",".join("?" * len(group))), (*group, *more))


def read_history(connection: sqlite3.Connection, users: Sequence[str]) -> History:
    """Read what a state knows of these users, all of it from one moment.

    Raises:
        RaddleError: rows and results of a user do not belong together
    """
    blocks: dict[str, list[tuple[int, str, bytes]]] = {}
    connection.execute("BEGIN")
    try:
        for user, file, sources, rows in of_users(connection, _ROWS, users):
            blocks.setdefault(user, []).append((file, sources, rows))
        results = {row[0]: row[1] for row in of_users(connection, _RESULTS, users)}
        heights = {row[0]: row[1] for row in of_users(connection, _HEIGHTS, users)}
    finally:
        connection.execute("ROLLBACK")
    return _gathered(tuple(users), blocks, results, heights)


def _gathered(
    users: tuple[str, ...],
    blocks: dict[str, list[tuple[int, str, bytes]]],
    results: dict[str, bytes],
    heights: dict[str, float | None],
) -> History:
    ordered = [block for user in users for block in blocks.get(user, ())]
    lengths = np.array([len(block[2]) // ROWS.itemsize for block in ordered], dtype=np.int64)
    per_user = [sum(len(block[2]) for block in blocks.get(user, ())) // ROWS.itemsize for user in users]
    for user, count in zip(users, per_user, strict=True):
        if len(results.get(user, b"")) != count * RESULTS.itemsize:
            raise RaddleError(f"user={user!r}: readings and results in the state do not belong together: make it anew")
    rows = np.frombuffer(b"".join(block[2] for block in ordered), dtype=ROWS)
    said = np.frombuffer(b"".join(results.get(user, b"") for user in users), dtype=RESULTS)
    source, names = _common_sources([block[1] for block in ordered], lengths, rows["source"])
    return History(
        users=users,
        starts=np.concatenate((np.zeros(1, np.int64), np.cumsum(np.array(per_user, dtype=np.int64)))),
        line=_column(rows, "line"),
        file=np.repeat(np.array([block[0] for block in ordered], dtype=np.int64), lengths),
        time=_column(rows, "time"),
        value=_column(rows, "value"),
        unit=_column(rows, "unit"),
        source=source,
        source_names=names,
        height_m=np.array([_number(heights.get(user)) for user in users], dtype=np.float64),
        stage=_column(said, "stage"),
        reset=_column(said, "reset"),
        filtered_weight=_column(said, "filtered_weight"),
        trend=_column(said, "trend"),
    )


def _common_sources(lists: list[str], lengths: Ints, local: Any) -> tuple[Ints, tuple[str, ...]]:
    """Number the sources of all blocks alike, in order of names."""
    known = {text: json.loads(text) for text in dict.fromkeys(lists)}
    names = tuple(sorted({name for each in known.values() for name in each}))
    places = {name: place for place, name in enumerate(names)}
    table = np.array([places[name] for text in lists for name in known[text]], dtype=np.int64)
    sizes = np.array([len(known[text]) for text in lists], dtype=np.int64)
    return table[np.repeat(np.cumsum(sizes) - sizes, lengths) + local], names


def _column(rows: Any, name: str) -> Any:
    native = rows.dtype[name].newbyteorder("=")
    return np.ascontiguousarray(rows[name], dtype=native)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
