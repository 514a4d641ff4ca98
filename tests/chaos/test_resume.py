"""G9: resume goes by what an item is, whatever became of the input; another function is not mixed in."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import kit
import pytest

import raddle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from report import Report


@pytest.mark.timeout(3600)
@kit.counts(25, 1000)
def test_edits_between_a_kill_and_the_resume(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    """Inserted, deleted, reordered and doubled items: what was recorded is not run again, everything else is, once."""
    report.add(**kit.run("edits", seconds=3000, cases=count, seed=seed, folder=str(tmp_path)))
    assert report.counts["cases"] == count
    report.done()


@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_equal_items_survive_a_kill(backend: str, tmp_path: Path, report: Report) -> None:
    """Many equal items in one chunk are one interruption each, not many of one."""
    options = {"items": 2000, "backend": backend, "journal": str(tmp_path / "runs.db"), "log": str(tmp_path / "log")}
    for kill in range(3):
        program = kit.start("equal", life=kill, **options)
        before = kit.size(tmp_path / "log")
        while kit.size(tmp_path / "log") < before + 400:
            assert not program.ended, program.finish()
            time.sleep(0.002)
        kit.send(program.pid, signal.SIGKILL)
        assert program.finish()[0] == -signal.SIGKILL
    summary = kit.run("equal", **options)["summary"]
    assert summary["ok"] == 2000, summary
    assert summary["resumed"] > 0
    report.add(kills=3, items=2000)
    report.done()


def doubled(item: int) -> int:
    return item * 2


def doubled_otherwise(item: int) -> int:
    return item + item


def by(factor: int, item: int) -> int:
    return factor * item


def closure(factor: int) -> Callable[[int], int]:
    return lambda item: factor * item


def default(factor: int) -> Callable[[int], int]:
    def times(item: int, factor: int = factor) -> int:
        return factor * item

    return times


class Factor:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, item: int) -> int:
        return self.factor * item

    def __call__(self, item: int) -> int:
        return self.factor * item


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (doubled, doubled_otherwise),
        (partial(by, 2), partial(by, 3)),
        (default(2), default(3)),
        (closure(2), closure(3)),
        (Factor(2).times, Factor(3).times),
        (Factor(2), Factor(3)),
    ],
    ids=["code", "partial", "default", "closure", "method", "object"],
)
def test_a_changed_function_or_parameter_is_refused(first: Any, second: Any, tmp_path: Path) -> None:
    def session(func: Any, items: int) -> Any:
        options = {"backend": "serial", "journal": tmp_path / "runs.db", "name": "x", "resume": True}
        with raddle.run(func, range(items), **options) as run:
            list(run)
        return run.summary

    session(first, 3)
    assert session(first, 5).resumed == 3
    with pytest.raises(raddle.JournalError, match="another name"):
        session(second, 6)
