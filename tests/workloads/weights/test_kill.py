"""kill -9 at random moments of a whole run with pages and hindsight, each resumed: the output of an unharmed run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
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
        if path.is_file() and path.name not in {"summary.json", ".lock"} and not path.name.startswith("runs.db")
    }


def command(file: Path, out: Path, *options: str) -> list[str]:
    argv = [sys.executable, "-m", "raddle", "weights", "run", str(file), "-o", str(out), "--progress", "none"]
    return [*argv, "--workers", "2", "--retro", *options]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "backend", "kills"),
    [
        pytest.param("sample", "auto", 4, id="sample"),
        pytest.param("sample", "auto", 30, id="sample, thirty times", marks=pytest.mark.chaos),
        pytest.param("syngrowth", "auto", 30, id="syngrowth", marks=pytest.mark.chaos),
        pytest.param("sample", "processes", 10, id="sample on processes", marks=pytest.mark.chaos),
    ],
)
@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_half_written(
    source: str, backend: str, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    options = ["--backend", backend]
    if source == "sample":
        file = tmp_path / "sample.csv"
        make = [sys.executable, "-m", "raddle", "weights", "sample", "700", "-o", str(file), "--seed", "3"]
        subprocess.run(make, check=True, capture_output=True)
    else:
        folder: Any = request.getfixturevalue("data")
        file = folder / "weights" / "growthcleanr_syngrowth.csv.gz"
        options += SYNGROWTH
    whole = tmp_path / "whole"
    began = time.monotonic()
    subprocess.run(command(file, whole, *options), check=True, capture_output=True)
    seconds = time.monotonic() - began
    expected = digests(whole)

    seed = int(os.environ.get("RADDLE_SEED", "0"))
    rng = random.Random(seed)
    told, complete = [], 0
    for kill in range(kills):
        # a fresh folder each third time, so that early and late steps are both met
        out = tmp_path / f"out{kill // 3}"
        out.mkdir(exist_ok=True)
        argv = command(file, out, *options, "--journal", str(out / "runs.db"), "--resume")
        moment = rng.uniform(0.1, 1.0) * seconds
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                process.wait(timeout=moment)
                complete += 1
            except subprocess.TimeoutExpired:
                process.kill()
            assert process.wait() in {0, -9}, process.stderr and process.stderr.read()
        told.append(round(moment / seconds, 2))
        # what stands under a final name is whole, whenever the run died
        found = digests(out)
        final = {name for name in found if not any(part.startswith(".") for part in name.split("/"))}
        assert {name: found[name] for name in final} == {name: expected[name] for name in final}, told
        if kill % 3 == 2 or kill == kills - 1:
            last = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert last.returncode == 0, last.stderr
            assert digests(out) == expected, told
    print(f"seed={seed}: {kills} kills at {told} of {seconds:.1f} s, {complete} came too late; output as unharmed")
