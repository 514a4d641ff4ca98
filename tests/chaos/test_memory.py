"""G8: memory does not grow with the number of items, and no more is read than the window allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from report import Report

MB = 1 << 20


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["processes", "threads"])
@kit.counts(300_000, 10_000_000)
def test_a_lazy_source_in_flat_memory(count: int, backend: str, report: Report) -> None:
    answer = kit.run("lazy", seconds=1000, backend=backend, items=count)
    kit.totals_add_up(answer["summary"], count)
    assert answer["summary"]["ok"] == answer["pulled"] == count
    report.add(items=count)
    report.most(growth_mb=answer["growth"] / MB, most_between_source_and_consumer=answer["between"])
    assert answer["growth"] < 50 * MB
    report.done()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["processes", "threads"])
@kit.counts(100_000, 3_000_000)
def test_a_stuck_first_item_stops_the_reading(count: int, backend: str, report: Report) -> None:
    """Outcomes are wanted in order, so all others have to wait for the first; they wait in the window, no further."""
    window = 2000
    answer = kit.run("lazy", seconds=1000, backend=backend, items=count, window=window, stuck=0.7)
    kit.totals_add_up(answer["summary"], count)
    assert answer["summary"]["ok"] == count
    assert answer["between"] <= window + 1
    report.add(items=count)
    report.most(growth_mb=answer["growth"] / MB, most_between_source_and_consumer=answer["between"])
    assert answer["growth"] < 50 * MB
    report.done()
