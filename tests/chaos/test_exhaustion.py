"""G21: an item that uses up descriptors, threads or processes ends itself and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from report import Report

#: what becomes of the n-th of forty: descriptors, threads, children left behind by a crash, a bounded fork bomb
ENDS = {
    7: ("failed", "Too many open files"),
    17: ("failed", "start new thread"),
    27: ("crashed", "SIGKILL"),
    37: ("timed_out", "timeout=2"),
}


@pytest.mark.timeout(600)
@kit.counts(80, 2000)
def test_exhaustion_ends_the_item(count: int, report: Report) -> None:
    program = kit.start("exhaust", items=count)
    try:
        answer = kit.result(program, 500)
        program.gone()
    finally:
        program.kill_all()
    ends = {item: (status, text) for item, status, text in answer["ends"]}
    assert sorted(ends) == [number for number in range(count) if number % 40 in ENDS]
    for item, (status, text) in ends.items():
        assert status == ENDS[item % 40][0], (item, status, text)
        assert ENDS[item % 40][1] in text
    kit.totals_add_up(answer["summary"], count)
    report.add(items=count, exhausting=len(ends), others_harmed=0, survivors=0)
    report.done()
