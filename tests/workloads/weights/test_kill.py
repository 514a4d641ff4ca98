"""kill -9 at random moments of a whole run with pages, each time resumed: the output is that of an unharmed run."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("polars")

SYNGROWTH = ["--columns", "user=subjid,time=agedays,weight=measurement", "--time-unit", "days"]
SYNGROWTH += ["--where", "param=WEIGHTKG"]


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "summary.json" and not path.name.startswith("runs.db")
    }


def command(file: Path, out: Path, *options: str) -> list[str]:
    argv = [sys.executable, "-m", "raddle", "weights", "run", str(file), "-o", str(out), "--progress", "none"]
    return [*argv, "--workers", "2", *options]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "backend", "kills"),
    [
        pytest.param("sample", "processes", 4, id="sample on processes"),
        pytest.param("sample", "threads", 4, id="sample on threads"),
        pytest.param("syngrowth", "processes", 20, id="syngrowth on processes", marks=pytest.mark.chaos),
    ],
)
@pytest.mark.timeout(900)
def test_no_user_is_missing_and_none_is_recorded_twice(
    source: str, backend: str, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = ["--backend", backend]
    if source == "sample":
        file = tmp_path / "sample.csv"
        make = [sys.executable, "-m", "raddle", "weights", "sample", "150", "-o", str(file), "--seed", "3"]
        subprocess.run(make, check=True, capture_output=True)
    else:
        folder: Any = request.getfixturevalue("data")
        file = folder / "weights" / "growthcleanr_syngrowth.csv.gz"
        options += SYNGROWTH
    whole = tmp_path / "whole"
    subprocess.run(command(file, whole, *options), check=True, capture_output=True)
    users = len(list((whole / "users").iterdir()))

    # The moment is drawn by how many users are recorded, so that kills fall into the work on any machine.
    seed = int(os.environ.get("RADDLE_SEED", "0"))
    rng = random.Random(seed)
    out, journal = tmp_path / "out", tmp_path / "out" / "runs.db"
    out.mkdir()
    argv = command(file, out, *options, "--journal", str(journal), "--resume")
    recorded = []
    for goal in sorted(rng.sample(range(users), kills)):
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and count(journal)[0] < goal:
                pass
            process.kill()
        recorded.append(count(journal)[0])
    assert recorded == sorted(recorded)
    last = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert count(journal) == (users, users)
    assert digests(out) == digests(whole)
    print(f"seed={seed}: killed with {recorded} of {users} users recorded; 0 missing, 0 twice")


def count(journal: Path) -> tuple[int, int]:
    """Return how many outcomes are recorded, and of how many users."""
    if not journal.exists():
        return 0, 0
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as base:
            row = base.execute("SELECT count(*), count(DISTINCT item_id) FROM outcome").fetchone()
    except sqlite3.OperationalError:
        return 0, 0  # it is being made
    return int(row[0]), int(row[1])
