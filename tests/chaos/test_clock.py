"""G15: what time of day it is changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import kit
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from report import Report


def check(answer: dict[str, Any], items: int) -> None:
    hanging = list(range(3, items, 25))
    assert [position for position, _, _ in answer["ends"]] == list(range(items))
    assert [position for position, status, _ in answer["ends"] if status == "timed_out"] == hanging
    assert all(0 <= seconds < 5 for _, _, seconds in answer["ends"])
    assert all(seconds >= 0.3 for _, status, seconds in answer["ends"] if status == "timed_out")
    kit.totals_add_up(answer["summary"], items)
    assert answer["summary"]["ok"] == items - len(hanging)
    assert 0 < answer["summary"]["seconds"] < 60
    assert answer["resumed"] == items
    assert answer["same"]


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_a_wall_clock_that_jumps_by_a_year(backend: str, tmp_path: Path, report: Report) -> None:
    """`time.time` of the program lies, a year forth and a year back with every call."""
    check(kit.run("clock", backend=backend, inject=True, items=100, journal=str(tmp_path / "runs.db")), 100)
    report.add(items=100, wrong=0)
    report.done()


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_a_system_clock_that_runs_wild(tmp_path: Path, report: Report) -> None:
    options = {"backend": "threads", "items": 100, "journal": str(tmp_path / "runs.db")}
    argv = ["faketime", "-f", "+1y x1", sys.executable, str(kit.PROGRAMS), "clock", json.dumps(options)]
    check(kit.result(kit.Program.start(argv)), 100)
    report.add(items=100, wrong=0)
    report.done()
