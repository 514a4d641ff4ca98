"""What workers leave on disk comes back as it was, to the bit."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

np = pytest.importorskip("numpy")

from raddle.workloads.weights.parts import (  # noqa: E402
    Duplicate,
    Part,
    read_duplicates,
    read_part,
    read_revised,
    write_part,
    write_revised,
)
from raddle.workloads.weights.values import FIELDS, Chunk, Filtered, Replay, Revised, Revision  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def chunk(rows: int) -> Chunk:
    return Chunk(
        users=("a", "ü/<b>"),
        starts=np.array([0, rows // 2, rows]),
        line=np.arange(rows),
        file=np.zeros(rows, dtype=np.int64),
        time=np.arange(rows) * 10**15,
        value=np.linspace(1, 99, rows),
        unit=np.ones(rows, dtype=np.uint8),
        source=np.zeros(rows, dtype=np.int64),
        source_names=("scale",),
        height_m=np.array([1.7, np.nan]),
        unused=np.array([3, 0]),
        days=True,
    )


def filtered(rows: int) -> Filtered:
    out = np.random.default_rng(1).normal(size=(len(FIELDS), rows))
    out[:, ::3] = np.nan
    stage = np.arange(rows, dtype=np.uint8) % 7
    return Filtered(weight=np.arange(rows, dtype=float), stage=stage, reset=stage % 5, out=out, states=np.ones((2, 9)))


def same(one: object, other: object) -> None:
    assert type(one) is type(other)
    for field in fields(one):  # type: ignore[arg-type]
        mine, yours = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.shape, mine.tobytes()) == (yours.dtype, yours.shape, yours.tobytes()), field.name
        elif isinstance(mine, Chunk | Filtered):
            same(mine, yours)
        else:
            assert mine == yours, field.name


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_a_part_comes_back(rows: int, tmp_path: Path) -> None:
    duplicates = (Duplicate(user="a", file=0, line=9, same_file=0, same_line=2),)
    revisions = (Revision(0, 1, 6, 70.5, 71.5, 0.0, 0.1, -1),)
    part = Part(chunk(rows), filtered(rows), np.ones(rows, dtype=bool), duplicates, revisions)
    write_part(tmp_path / "x.part", part)
    found = read_part(tmp_path / "x.part")
    same(part, found)
    assert read_duplicates(tmp_path / "x.part") == duplicates
    assert found.filtered.out.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["x.part"]


@pytest.mark.parametrize("smoothed", [None, np.arange(18.0).reshape(2, 9)], ids=["without", "with"])
def test_what_hindsight_says_comes_back(smoothed: Any, tmp_path: Path) -> None:
    replay = Replay(0, 0, 10, 5, (1, 2), (("iqr",), ("iqr", "z")), 70.0, 71.0, "applied")
    revised = Revised(filtered(9), (replay,), (Revision(3, 1, 6, 70.5, 71.5, 0.0, 0.1, 0),), smoothed)
    write_revised(tmp_path / "x.revised", revised)
    same(revised, read_revised(tmp_path / "x.revised"))
