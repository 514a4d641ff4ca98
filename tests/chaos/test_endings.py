"""G18, G5: however items end and whatever is asked, the totals add up; the caller's own code harms nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import kit
import pytest

import raddle

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = 60
ODD = 20
BACKENDS = ["serial", "threads", "processes"]
KINDS = ["ok", "failed", "timed_out", "crashed", "cancelled"]


def ends(item: tuple[int, str]) -> int:
    number, kind = item
    if number == ODD:
        if kind == "failed":
            raise ValueError("odd")
        if kind == "timed_out":
            time.sleep(3)
        if kind == "crashed":
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02 if kind == "cancelled" else 0.001)
    return number


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_error", ["skip", "fail"])
def test_every_mode_with_every_ending(on_error: Any, kind: str, backend: Any) -> None:
    if (kind == "timed_out" and backend == "serial") or (kind == "crashed" and backend != "processes"):
        pytest.skip("cannot happen on this backend: a timeout is refused, a crash would be the test's own")
    items = [(number, kind) for number in range(ITEMS)]
    timeout = 0.2 if kind == "timed_out" else None
    with raddle.run(ends, items, backend=backend, workers=2, on_error=on_error, timeout=timeout) as run:
        seen = []
        for outcome in run:
            seen.append(outcome)
            if kind == "cancelled" and outcome.position == ODD:
                run.cancel("enough")
    summary = run.summary
    kit.totals_add_up(asdict(summary), ITEMS)
    assert [outcome.position for outcome in seen] == list(range(ITEMS))
    counted = Counter(str(outcome.status) for outcome in seen)
    assert counted == {status: count for status in kit.STATUSES if (count := getattr(summary, status))}
    stopped = kind == "cancelled" or (on_error == "fail" and kind != "ok")
    if not stopped:
        assert counted == ({"ok": ITEMS} if kind == "ok" else {"ok": ITEMS - 1, kind: 1})
        assert summary.stopped == ""
    else:
        assert set(counted) <= {"ok", "cancelled", kind}
        assert kind == "cancelled" or counted[kind] == 1
        assert summary.stopped == "enough" or "on_error='fail'" in summary.stopped
        assert counted["cancelled"] > 0
    assert run.snapshot().done == ITEMS


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_observer_that_raises_harms_nothing(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def observer(event: object) -> None:
        calls.append(event)
        raise ValueError("observer")

    with raddle.run(abs, range(ITEMS), backend=backend, workers=2, progress=[observer, calls.append]) as run:
        assert list(run.values()) == list(range(ITEMS))
    assert run.summary.all_ok
    assert len(calls) > 2, "the other observer is still told"
    assert "is not called again" in caplog.text


def test_a_slow_observer_loses_nothing() -> None:
    with raddle.run(abs, range(200), backend="threads", workers=2, progress=lambda _: time.sleep(0.001)) as run:
        assert list(run.values()) == list(range(200))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_a_source_that_raises_keeps_what_was_given(backend: Any, error: type[BaseException]) -> None:
    def source() -> Iterator[int]:
        yield from range(ITEMS)
        raise error("source")

    seen = []
    if backend == "serial" and not issubclass(error, Exception):
        pytest.skip("in the caller's own thread it is the caller's")
    run = raddle.run(abs, source(), backend=backend, workers=2)
    with pytest.raises(error, match="source"), run:
        seen.extend(outcome.position for outcome in run)
    assert seen == list(range(ITEMS))
    kit.totals_add_up(asdict(run.summary), ITEMS)
    assert not run.summary.source_ended
    assert not run.summary.all_ok


class Incomparable:
    def __lt__(self, other: object) -> bool:
        raise ValueError("what")

    __gt__ = __lt__


class Unequal:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("what")


def raising(item: int) -> Any:
    if item == ODD:
        raise ValueError("what")
    return item


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options",
    [
        {"key": raising},
        {"key": lambda item: [] if item == ODD else item},
        {"key": lambda _: Unequal()},
        {"priority": raising},
        {"priority": lambda item: "x" if item == ODD else item},
        {"priority": lambda _: Incomparable()},
        {"id": raising},
        {"id": lambda item: 1.5 if item == ODD else item},
    ],
    ids=["key", "key-unhashable", "key-unequal", "priority", "priority-mixed", "priority-raises", "id", "id-type"],
)
def test_a_key_priority_or_id_that_raises_ends_the_run_and_says_so(
    options: dict[str, Any], backend: Any, tmp_path: Any
) -> None:
    more = {"journal": tmp_path / "runs.db"} if "id" in options else {}
    seen = []
    with (
        pytest.raises((ValueError, TypeError), match=r"what|unhashable|not supported|id=1\.5"),
        raddle.run(abs, iter(range(ITEMS)), backend=backend, workers=2, **options, **more) as run,
    ):
        seen.extend(run)
    assert all(outcome.status in ("ok", "cancelled") for outcome in seen)
    assert not run.summary.all_ok
    kit.totals_add_up(asdict(run.summary))
    assert len(seen) == run.summary.admitted
