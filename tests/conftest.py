"""What all tests share: where real data lies, and which tests run only when asked for."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("RADDLE_CHAOS") == "1":
        return
    for item in items:
        if item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.skip(reason="goes on for minutes: make chaos (RADDLE_CHAOS=1)"))


@pytest.fixture(autouse=True)
def _csv_limit() -> Iterator[None]:
    """The limit belongs to the whole interpreter, and `raddle map` raises it."""
    before = csv.field_size_limit()
    yield
    csv.field_size_limit(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real data: RADDLE_DATA, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("RADDLE_DATA") or ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("no real data here: set RADDLE_DATA to its folder")
    return folder


pytest.register_assert_rewrite("raddle.testing.backend_suite", "raddle.testing.journal_suite", "raddle.testing.records")
