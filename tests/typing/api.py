"""Checked by mypy --strict, never run: the types that a caller sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import raddle

if TYPE_CHECKING:
    from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def watch(event: object) -> None:
    del event


def plainest() -> None:
    for outcome in raddle.run(double, [1, 2, 3]):
        assert_type(outcome, raddle.Outcome)
        assert_type(outcome.status, raddle.Status)
        assert_type(outcome.ok, bool)
        assert_type(outcome.error, raddle.ErrorInfo | None)
        assert_type(outcome.attempts, int)
        assert_type(outcome.seconds, float)
        assert_type(outcome.worker, str)
        assert_type(outcome.position, int)
        assert_type(outcome.resumed, bool)


def every_option(journal: Path) -> raddle.Summary:
    with raddle.run(
        double,
        iter(range(10)),
        backend="processes",
        workers=2,
        timeout=1.5,
        retry=raddle.Retry(attempts=3),
        on_error="fail",
        ordered=False,
        key=lambda number: number % 2,
        permits={"odd": 1},
        permit=lambda number: "odd" if number % 2 else None,
        id=str,
        priority=lambda number: number,
        window=100,
        journal=journal,
        name="doubles",
        resume=True,
        progress=["line", watch],
        initializer=None,
        grace=2.0,
    ) as run:
        assert_type(run, raddle.Run)
        for value in run.values():
            use(value)
        run.cancel("enough")
        run.kill("really")
    assert_type(run.summary, raddle.Summary)
    return run.summary


def inside() -> float:
    attempt = raddle.attempt()
    assert_type(attempt, raddle.Attempt)
    assert_type(attempt.number, int)
    assert_type(attempt.cancelled, bool)
    assert_type(attempt.idempotency_key, str)
    return attempt.remaining()


def use(value: Any) -> None:
    del value


def refused() -> None:
    raddle.run(double, [1], on_error="ignore")  # type: ignore[arg-type]
    raddle.run(double, [1], backend="threads", worker=2)  # type: ignore[call-arg]
    raddle.run(double, [1], "threads")  # type: ignore[call-arg]
