"""The golden vectors through the command: whatever the hash seed, the backend and the number of workers."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from itertools import product
from typing import TYPE_CHECKING

import pytest

pl = pytest.importorskip("polars")

if TYPE_CHECKING:
    from pathlib import Path

PROFILES = ("conservative", "balanced", "aggressive", "clinical", "custom")
WAYS = tuple(product(range(5), ("threads", "processes"), (1, 2)))  # hash seed, backend, workers
#: each profile and each of seed, backend and workers at least once; all of them together with RADDLE_CHAOS=1
SOME = [(PROFILES[at % 5], WAYS[at]) for at in range(0, len(WAYS), 3)]
ALL = [pytest.param(profile, way, marks=pytest.mark.chaos) for profile in PROFILES for way in WAYS]


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "way"), [*SOME, *ALL], ids=str)
def test_no_difference(profile: str, way: tuple[int, str, int], data: Path, tmp_path: Path) -> None:
    seed, backend, workers = way
    golden = data / "weights" / "golden"
    argv = [sys.executable, "-m", "raddle", "weights", "run", str(golden / "input.csv"), "-o", str(tmp_path)]
    argv += ["--rules", "compat", "--profile", profile, "--heights", str(golden / "heights.csv"), "--no-pages"]
    argv += ["--backend", backend, "--workers", str(workers), "--progress", "none"]
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": str(seed)})
    found = {row["line"]: row for row in pl.read_parquet(tmp_path / "results.parquet").to_dicts()}
    with (golden / f"expected_{profile}.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(found) == len(expected)
    for row in expected:
        mine = found[int(row["line"])]
        assert (mine["user_id"], mine["stage"], mine["accepted"]) == (
            row["user_id"],
            row["stage"],
            row["accepted"] == "1",
        ), row
        if mine["accepted"]:
            assert abs(mine["filtered_weight"] - float(row["filtered_weight"])) < 1e-9, row
            assert abs(mine["trend"] - float(row["trend"])) < 1e-9, row
