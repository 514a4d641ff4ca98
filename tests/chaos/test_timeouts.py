"""G7: what overruns its timeout ends with all that it started, in time, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from report import Report


def check(answer: dict[str, object], report: Report, *, items: int, every: int) -> None:
    wanted = list(range(every // 2, items, every))
    late = answer["late"]
    assert [item for item, _ in late] == wanted
    over = sorted(seconds for _, seconds in late)
    assert over[0] >= 0, "ended before its time"
    p99 = over[min(len(over) - 1, round(0.99 * len(over)))]
    assert p99 < (1 if items >= 10_000 else 30), over
    kit.totals_add_up(answer["summary"], items)
    assert answer["summary"]["timed_out"] == answer["summary"]["workers_lost"] == len(wanted)
    report.add(items=items, overruns=len(wanted), others_timed_out=0)
    report.most(overrun_p99_s=p99, overrun_max_s=over[-1])


@pytest.mark.timeout(600)
@kit.counts(600, 10_000)
def test_overruns_of_seven_kinds_on_processes(count: int, report: Report) -> None:
    every = 85 if count < 10_000 else count // 100
    program = kit.start("overruns", backend="processes", items=count, every=every, timeout=1, workers=4)
    try:
        answer = kit.result(program, 500)
        check(answer, report, items=count, every=every)
        report.most(survivors_gone_after_s=program.gone())
    finally:
        program.kill_all()
    report.add(survivors=0)
    report.done()


@pytest.mark.timeout(600)
@kit.counts(600, 10_000)
def test_overruns_on_threads(count: int, report: Report) -> None:
    """The slot is free again at the deadline, and threads that still hang do not hold up the end of the program."""
    every = 60 if count < 10_000 else count // 50
    program = kit.start("overruns", backend="threads", items=count, every=every, timeout=1, workers=4)
    answer = kit.result(program, 500)
    check(answer, report, items=count, every=every)
    report.done()
