"""The benchmarks still run. What they measure is for `make bench`; here all figures are meaningless."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

SCRIPTS = ("overhead", "efficiency", "stream", "journal", "stop", "faults", "startup", "auto", "commands")


def run(root: Path, *argv: str) -> str:
    # no coverage or warnings filter of ours in the interpreters that they start
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "BENCH_"))}
    found = subprocess.run(
        [sys.executable, *argv],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_prints_tables_and_writes_figures(script: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    text = run(root, f"benchmarks/{script}.py", "--quick", "--no-peers", "--json", str(path))
    assert re.search(r"^\|---", text, re.MULTILINE)
    assert re.search(r"^\| [^|]*raddle[^|]* \| *[\d.]|\| [\d,]+ \(|\| \d+ / \d+", text, re.MULTILINE), text
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert figures["tables"]
    assert "goals" in figures


def test_all_scripts_are_run_in_one_go(root: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    run(root, "benchmarks/run_all.py", "startup", "--quick", "--no-peers", "--out", str(report))
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks of ")
    assert "| ms to import raddle with its engine |" in text


def test_an_unknown_script_is_refused_with_the_known_ones(root: Path) -> None:
    found = subprocess.run(
        [sys.executable, "benchmarks/run_all.py", "overheat"], cwd=root, capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "SCRIPT=overheat: choose from overhead" in found.stderr
