"""G6: an item that kills what runs it ends, alone; the others are done."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from report import Report


def supervised(folder: Path, restarts: int, **options: object) -> tuple[dict[str, object], int]:
    """Start the program again whenever it was killed; return its last answer and how often it was."""
    for life in range(restarts + 1):
        program = kit.start("poison", life=life, journal=str(folder / "runs.db"), log=str(folder / "log"), **options)
        code, out, err = program.finish()
        program.gone()
        if code == 0:
            return json.loads(out.splitlines()[-1]), life
        assert code == -signal.SIGKILL, err
    raise AssertionError(f"no end after {restarts} restarts")


def test_a_poison_that_kills_its_worker_ends_after_its_tries(tmp_path: Path, report: Report) -> None:
    answer, lives = supervised(
        tmp_path, 0, backend="processes", items=200, poison=[30, 77], after=0, pause=0.001, parent=False
    )
    assert lives == 0
    assert [(end[0], end[1], end[2]) for end in answer["ends"]] == [(30, "crashed", 3), (77, "crashed", 3)]
    assert all("SIGKILL" in end[3] for end in answer["ends"])
    kit.totals_add_up(answer["summary"], 200)
    assert answer["summary"]["workers_lost"] == 6
    report.add(poison=2, workers_killed=6, others_done=198)
    report.done()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.parametrize("poison", [[12], pytest.param([5, 12, 13, 30], marks=pytest.mark.chaos)], ids=["one", "four"])
def test_a_poison_that_kills_the_program_ends_alone(
    poison: list[int], backend: str, tmp_path: Path, report: Report
) -> None:
    """Its neighbours are slow, so that one of them is under way at each death; they are innocent."""
    answer, restarts = supervised(
        tmp_path, 50, backend=backend, items=40, poison=poison, after=0.02, pause=0.05, parent=True
    )
    assert {end[0]: end[1] for end in answer["ends"]} == dict.fromkeys(poison, "crashed")
    assert all("whole program died" in end[3] for end in answer["ends"])
    assert restarts <= 10 * len(poison) + 2
    kit.totals_add_up(answer["summary"], 40)
    report.add(poison=len(poison), programs_killed=restarts, others_done=40 - len(poison))
    report.done()


def test_an_item_that_eats_memory_ends_alone(report: Report) -> None:
    """Under RLIMIT_AS a MemoryError is its failure; killed as the kernel kills, it is a crash."""
    answer = kit.run("hunger", items=100)
    ends = {item: (status, text) for item, status, text in answer["ends"]}
    assert sorted(ends) == [7, 13, 27, 33, 47, 53, 67, 73, 87, 93]
    assert all(ends[item][0] == "failed" and "MemoryError" in ends[item][1] for item in ends if item % 20 == 7)
    assert all(ends[item][0] == "crashed" and "SIGKILL" in ends[item][1] for item in ends if item % 20 == 13)
    kit.totals_add_up(answer["summary"], 100)
    report.add(memory_errors=5, killed=5, others_done=90)
    report.done()
