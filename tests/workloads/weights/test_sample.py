"""The synthetic file: seeded, and with all the trouble of real ones."""

from __future__ import annotations

import csv
import gzip
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from raddle import errors
from raddle.workloads.weights.sample import HEADER, write_sample

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv.gz", "d.csv.gz"):
        write_sample(tmp_path / name, users=20, seed=3)
    write_sample(tmp_path / "other.csv", users=20, seed=4)
    data = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert data["a.csv"] == data["b.csv"]
    assert data["c.csv.gz"] == data["d.csv.gz"]
    assert gzip.decompress(data["c.csv.gz"]) == data["a.csv"]
    assert data["other.csv"] != data["a.csv"]


def test_a_user_is_the_same_however_many_there_are(tmp_path: Path) -> None:
    few, many = tmp_path / "few.csv", tmp_path / "many.csv"
    write_sample(few, users=5, seed=-1)
    count = write_sample(many, users=700, seed=-1)
    assert many.read_bytes().startswith(few.read_bytes())
    assert many.read_bytes().count(b"\n") == count + 1
    with many.open(newline="") as file:
        ids = [row["user_id"] for row in csv.DictReader(file)]
    assert len(set(ids)) == 700
    assert 0.95 < count / 70_000 < 1.05
    changes = sum(one != other for one, other in pairwise(ids))
    assert changes == 699  # all rows of a user stand together


@pytest.mark.parametrize(("users", "rows"), [(1, 1), (3000, 1), (2, 40_000)])
def test_any_size(tmp_path: Path, users: int, rows: int) -> None:
    path = tmp_path / "s.csv"
    count = write_sample(path, users=users, rows_per_user=rows)
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    assert tuple(table[0]) == HEADER
    assert len(table) == count + 1
    assert {len(row) for row in table} == {5}
    assert users <= count <= 2 * users * rows


def test_all_the_trouble_is_there(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    count = write_sample(path, users=600, seed=2)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    units, weights = [row[4] for row in rows], [row[3] for row in rows]
    assert set(units) == {"kg", "lb", "lbs", "[lb_ap]", "kg/m2", "m2", "NULL", "", "cm"}
    assert {"NULL", "", "n.a.", "error", "8O.2", "0", "-1", "NaN"} <= set(weights)
    assert {"", "yesterday", "2024-02-30", "0024-05-01"} <= {row[1] for row in rows}
    assert {"T", " "} == {row[1][10:11] for row in rows if len(row[1]) > 10}
    assert any(row[1].endswith("+02:00") for row in rows)
    assert any(row[2].startswith("BSA ") for row in rows)
    twice = sum(one == other for one, other in pairwise(rows))
    assert 0.007 < twice / count < 0.02
    days = [(row[0], row[1][:10]) for row in rows if row[1][:2] == "20"]
    early = sum(one[0] == other[0] and one[1] > other[1] for one, other in pairwise(days))
    assert 0.01 < early / count < 0.04  # out of order


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ConfigError, match="cannot write there"):
        write_sample(tmp_path / "file" / "s.csv", users=1)
