"""Rows of several files and orders become one history, each thing said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from raddle.workloads.weights.arrange import arrange, only  # noqa: E402
from raddle.workloads.weights.parts import Duplicate  # noqa: E402
from raddle.workloads.weights.values import FIELDS, Chunk, Filtered  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

# user, file, line, time, value, unit, source
Row = tuple[str, int, int, int, float, int, str]


@dataclass(frozen=True)
class Earlier:
    """What the state gives: rows with the results that were published."""

    users: tuple[str, ...]
    starts: Any
    line: Any
    file: Any
    time: Any
    value: Any
    unit: Any
    source: Any
    source_names: tuple[str, ...]


def columns(rows: Sequence[Row], users: Sequence[str]) -> dict[str, Any]:
    own = sorted(rows, key=lambda row: users.index(row[0]))  # stable: file order within a user
    names = sorted({row[6] for row in rows})
    counts = [sum(row[0] == user for row in rows) for user in users]
    return {
        "users": tuple(users),
        "starts": np.array([0, *np.cumsum(counts)], dtype=np.int64),
        "file": np.array([row[1] for row in own], dtype=np.int64),
        "line": np.array([row[2] for row in own], dtype=np.int64),
        "time": np.array([row[3] for row in own], dtype=np.int64),
        "value": np.array([row[4] for row in own], dtype=np.float64),
        "unit": np.array([row[5] for row in own], dtype=np.uint8),
        "source": np.array([names.index(row[6]) for row in own], dtype=np.int64),
        "source_names": tuple(names),
    }


def chunk_of(rows: Sequence[Row], users: Sequence[str] | None = None) -> Chunk:
    users = users or sorted({row[0] for row in rows})
    nobody = np.zeros(len(users), dtype=np.int64)
    return Chunk(**columns(rows, users), height_m=np.full(len(users), np.nan), unused=nobody)


def rows_of(chunk: Chunk) -> list[Row]:
    return [
        (
            user,
            int(chunk.file[at]),
            int(chunk.line[at]),
            int(chunk.time[at]),
            float(chunk.value[at]),
            int(chunk.unit[at]),
            chunk.source_names[chunk.source[at]],
        )
        for number, user in enumerate(chunk.users)
        for at in range(chunk.starts[number], chunk.starts[number + 1])
    ]


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.integers(0, 5),
        st.sampled_from([70.0, 71.5]),
        st.integers(0, 1),
        st.sampled_from(["scale", "app"]),
    ),
    max_size=30,
).map(lambda rows: [(user, file, line, *rest) for line, (user, file, *rest) in enumerate(rows, 2)])


@given(ROWS)
def test_by_time_each_thing_is_said_once_and_nothing_is_lost(rows: list[Row]) -> None:
    arranged = arrange(chunk_of(rows, "abc"), by_time=True)
    kept = rows_of(arranged.chunk)
    said: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: (row[1], row[2])):
        said.setdefault((row[0], *row[3:]), row)
    assert kept == sorted(said.values(), key=lambda row: (row[0], row[3], row[1], row[2]))
    left_out = {(row[1], row[2]): row for row in rows if row not in kept}
    assert {(item.file, item.line) for item in arranged.duplicates} == set(left_out)
    for item in arranged.duplicates:
        original = said[left_out[item.file, item.line][0], *left_out[item.file, item.line][3:]]
        assert (item.same_file, item.same_line) == original[1:3]
    assert sum(arranged.chunk.unused) == len(arranged.duplicates) == len(rows) - len(kept)
    assert arranged.fresh.all()


@given(ROWS)
def test_compat_keeps_the_order_of_the_file_and_every_row(rows: list[Row]) -> None:
    arranged = arrange(chunk_of(rows, "abc"), by_time=False)
    assert rows_of(arranged.chunk) == sorted(rows, key=lambda row: row[:3])
    assert arranged.duplicates == ()


@given(ROWS, st.booleans())
def test_earlier_rows_and_new_ones_are_as_if_they_had_come_together(rows: list[Row], by_time: bool) -> None:
    old = [row for row in rows if row[1] == 0]
    new = [row for row in rows if row[1] == 1]
    whole = arrange(chunk_of(rows, "abc"), by_time=by_time).chunk
    first = arrange(chunk_of(old, "abc"), by_time=by_time).chunk  # what the state has is arranged
    earlier = Earlier(**columns(rows_of(first), "abc"))
    arranged = arrange(chunk_of(new, "abc"), earlier, by_time=by_time)
    assert rows_of(arranged.chunk) == rows_of(whole)
    assert [row[1] == 1 for row in rows_of(whole)] == arranged.fresh.tolist()
    known = np.flatnonzero(arranged.earlier >= 0)
    assert (earlier.line[arranged.earlier[known]] == arranged.chunk.line[known]).all()


def test_a_duplicate_tells_which_row_is_used() -> None:
    rows: list[Row] = [("a", 0, 9, 5, 70.0, 0, "s"), ("a", 0, 2, 5, 70.0, 0, "s"), ("a", 0, 3, 5, 70.0, 1, "s")]
    arranged = arrange(chunk_of(rows), by_time=True)
    assert arranged.duplicates == (Duplicate(user="a", file=0, line=9, same_file=0, same_line=2),)
    assert arranged.chunk.line.tolist() == [2, 3]


def test_some_rows_of_a_chunk() -> None:
    rows: list[Row] = [("a", 0, 2, 1, 70.0, 0, "s"), ("a", 0, 3, 2, 71.0, 0, "s"), ("b", 0, 4, 3, 60.0, 0, "s")]
    chunk = chunk_of(rows)
    out = np.arange(len(FIELDS) * 3, dtype=float).reshape(len(FIELDS), 3)
    stage = np.array([0, 1, 2], dtype=np.uint8)
    filtered = Filtered(weight=chunk.value, stage=stage, reset=stage, out=out, states=np.zeros((2, 8)))
    fewer, results = only(chunk, filtered, np.array([False, True, True]))
    assert rows_of(fewer) == rows[1:]
    assert results.stage.tolist() == [1, 2]
    assert (results.out == out[:, 1:]).all()
