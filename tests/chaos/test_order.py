"""G17: items of one key run one at a time, in input order: over failures, timeouts, crashes, kills and resumes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import kit
import pytest
from world import live_through

if TYPE_CHECKING:
    from pathlib import Path

    from report import Report


@pytest.mark.timeout(3600)
@kit.counts(5, 200)
def test_order_within_a_key_over_kills(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    items, per_world = (150, 5) if count < 50 else (1500, 40)
    live_through(
        count,
        per_world=per_world,
        folder=tmp_path,
        items=items,
        chance=random.Random(seed),
        report=report,
        options={"lanes": 7, "trouble": True, "timeout": 0.25, "attempts": 12},
    )
    report.done()
