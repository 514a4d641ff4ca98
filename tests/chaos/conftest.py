"""Seeds and counts of the tests that kill real programs; `kit` and `report` lie beside this file."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

import kit
from report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    """Whatever a failed test left running is ended."""
    yield
    while kit.STARTED:
        program = kit.STARTED.pop()
        if not program.ended or program.popen.stdout is None or not program.popen.stdout.closed:
            program.kill_all()
            program.popen.communicate()


@pytest.fixture
def seed() -> int:
    """RADDLE_SEED, else another one each time. It is printed with every failure."""
    return int(os.environ.get("RADDLE_SEED") or random.SystemRandom().randrange(1 << 30))


@pytest.fixture
def report(request: pytest.FixtureRequest, seed: int) -> Iterator[Report]:
    """Counts of this test, written down when it has passed."""
    print(f"RADDLE_SEED={seed}")
    counts = Report(request.node.nodeid, seed)
    began = time.monotonic()
    yield counts
    counts.write(time.monotonic() - began, full=request.node.get_closest_marker("chaos") is not None)
