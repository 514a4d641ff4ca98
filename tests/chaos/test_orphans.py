"""G11: nobody goes on working for a program that was killed."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from report import Report


def parent_only(program: kit.Program) -> list[int]:
    return [program.pid]


def parent_and_zygote(program: kit.Program) -> list[int]:
    return [program.pid, *program.zygotes()]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("start", ["fork", "fresh"])
@pytest.mark.parametrize(
    ("kind", "victims"),
    [("sleep", parent_only), ("gil", parent_only), ("children", parent_only), ("gil", parent_and_zygote)],
    ids=["sleep", "gil", "children", "gil-zygote-too"],
)
@kit.counts(2, 100)
def test_no_orphans(count: int, start: str, kind: str, victims: object, tmp_path: Path, report: Report) -> None:
    for number in range(count):
        log = tmp_path / f"log-{number}"
        program = kit.start("orphans", start=start, kind=kind, log=str(log))
        try:
            kit.until(lambda log=log: kit.size(log) == 4)
            wanted = 4 + 2 * (kind == "children")
            kit.until(lambda program=program, wanted=wanted: len(kit.descendants(program.mark)) == wanted)
            for pid in victims(program):
                kit.send(pid, signal.SIGKILL)
            program.popen.wait(10)
            report.most(gone_after_s=program.gone())
        finally:
            program.kill_all()
            program.finish()
        report.add(kills=1, orphans=0)
    report.done()
