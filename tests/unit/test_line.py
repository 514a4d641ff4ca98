"""The progress line."""

from __future__ import annotations

import io

import pytest

from raddle import ConfigError, Summary
from raddle._events import ItemsEnded, LimitChanged, RunEnded, RunStarted, RunStopping
from raddle._model import Outcome, Status
from raddle.progress import Snapshot, observer_for
from raddle.progress.line import Line, describe, duration, rate
from raddle.testing import FakeClock


def ended(count: int) -> ItemsEnded:
    return ItemsEnded([Outcome(0, "x", Status.OK, None, None, 1, 0.0, 0.0, "w")] * count)


def test_on_a_terminal_it_paints_over_itself_ten_times_a_second() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock, in_place=True)
    line(RunStarted("job", "threads", 2, 1000))
    for _ in range(100):
        clock.advance(0.01)
        line(ended(1))
    paintings = stream.getvalue().split("\r\x1b[K")[1:]
    assert 9 <= len(paintings) <= 11
    assert "\n" not in stream.getvalue()
    assert all(len(text) < 80 for text in paintings)
    line(RunEnded(Summary(admitted=100, ok=100, source_ended=True)))
    assert stream.getvalue().endswith("job: 100 done · 100/s · took 1.0 s\n")


def test_elsewhere_a_new_line_each_tenth_or_each_few_seconds() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock)
    line(RunStarted("job", "threads", 2, 100))
    for _ in range(100):
        clock.advance(0.2)
        line(ended(1))
    line(RunEnded(Summary(admitted=100, ok=100, source_ended=True)))
    lines = stream.getvalue().splitlines()
    assert 9 <= len(lines) <= 11
    assert lines[0].startswith("job: 10 of 100 (10 %)")
    assert "\x1b" not in stream.getvalue()


def test_elsewhere_a_fast_run_says_one_thing() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock)
    line(RunStarted("job", "threads", 2, None))
    for _ in range(1000):
        clock.advance(0.0001)
        line(ended(100))
    line(RunEnded(Summary(admitted=100_000, ok=100_000, source_ended=True)))
    assert len(stream.getvalue().splitlines()) == 1


def test_elsewhere_why_the_limit_moved_is_said_once_for_each_move() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock)
    line(RunStarted("job", "threads", 2, 100))
    for n in range(1, 6):
        clock.advance(6.0)
        line(LimitChanged(n // 2, f"reason {n // 2}"))
        line(ended(1))
    told = [text.partition("reason ")[2] for text in stream.getvalue().splitlines()]
    assert told == ["0", "1", "", "2", ""]


def test_stopping_is_said_at_once() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock)
    line(RunStarted("job", "threads", 2, 10))
    line(RunStopping("SIGINT"))
    assert stream.getvalue().endswith("stopping: SIGINT\n")


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (Snapshot(name="a", total=3, ok=1, workers=2, running=1), "a: 1 of 3 (33 %) · 1 of 2 workers busy"),
        (Snapshot(ok=12345), "raddle: 12,345 done"),
        (Snapshot(total=0), "raddle: 0 of 0 (100 %)"),
        (Snapshot(total=1000, ok=999), "raddle: 999 of 1,000 (99 %)"),
        (
            Snapshot(ok=2, failed=1, resumed=1, ended=True, elapsed=61, total=3),
            "raddle: 3 done · 2 ok · 1 failed · 1 resumed · took 1:01 min",
        ),
        (Snapshot(name="evil\x1b[2J\n", ok=1), "evil [2J : 1 done"),
        (Snapshot(total=10, ok=5, rate=0.5, eta=10), "raddle: 5 of 10 (50 %) · 30.0/min · 10 s left"),
    ],
)
def test_describe(snapshot: Snapshot, text: str) -> None:
    assert describe(snapshot) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1:00 min"), (3599.9, "1:00:00 h"), (90061, "25:01:01 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"), [(123456.7, "123,457/s"), (9.94, "9.9/s"), (1, "1.0/s"), (0.1, "6.0/min")]
)
def test_rate(per_second: float, text: str) -> None:
    assert rate(per_second) == text


def test_observer_for_flattens_what_it_is_given() -> None:
    seen: list[object] = []
    found = observer_for(
        ["line", seen.append, None, ["jsonl", "logging", "live", "none"]], stream=io.StringIO(), clock=FakeClock()
    )
    assert [type(each).__name__ for each in found] == [
        "Line",
        "builtin_function_or_method",
        "JsonLines",
        "Logging",
        "Line",
    ]
    assert observer_for(None, clock=FakeClock()) == []


@pytest.mark.parametrize("spec", ["bar", 3])
def test_observer_for_refuses(spec: object) -> None:
    with pytest.raises(ConfigError, match="must be one of auto, live, line, jsonl"):
        observer_for(spec, clock=FakeClock())
