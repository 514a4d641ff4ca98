"""Observers for other systems: logging, Prometheus, OpenTelemetry; and views that move on by time."""

from __future__ import annotations

import io
import logging
import re
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle import ConfigError, ErrorInfo, MissingExtra, Outcome, Status, Summary
from raddle._events import (
    AttemptFailed,
    AttemptReported,
    ItemsEnded,
    LimitChanged,
    Observed,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle.progress import PrometheusFile, PrometheusServer, Stats
from raddle.progress._repeat import Repeat
from raddle.progress._text import short
from raddle.progress.line import Line
from raddle.progress.logging import Logging
from raddle.progress.prometheus import BUCKETS, Metrics
from raddle.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

ERROR = ErrorInfo("ValueError", "bad", "Traceback ...")


def outcome(position: int, status: Status = Status.OK, seconds: float = 0.2, **more: Any) -> Outcome:
    error = None if status is Status.OK else ERROR
    return Outcome(position, f"item {position}", status, None, error, 1, 100.0, seconds, "thread-0")._replace(**more)


EVENTS: list[Observed] = [
    RunStarted('my "job"\n', "threads", 2, 10),
    AttemptFailed(1, "x", 1, ERROR, 0.5),
    AttemptReported(3, "slow", 1, 40.0, "encoding"),
    LimitChanged(1, "HTTP 429"),
    ItemsEnded([outcome(0, seconds=0.004), outcome(1, Status.FAILED, 7.0), outcome(2, resumed=True, seconds=999.0)]),
    ItemsEnded([outcome(4, Status.CANCELLED, 0.0, attempts=0)]),
    WorkerReplaced("thread-1", "abandoned"),
    RunStopping("SIGINT"),
]
END = RunEnded(Summary(admitted=9, ok=2, failed=1, cancelled=6, resumed=1))


def samples(text: str) -> dict[str, float]:
    """Read the text format strictly: a line that is none is an error."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("# "):
            match = re.fullmatch(r'(raddle_\w+)\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (\S+)', line)
            assert match is not None, line
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2]))
            assert labels.pop("run") == 'my \\"job\\"\\n'
            assert labels.pop("backend") == "threads"
            found[match[1] + "".join(f" {value}" for value in labels.values())] = float(match[3])
    return found


# ------------------------------------------------------------------------------------------------------ prometheus


def test_metrics_add_up() -> None:
    clock = FakeClock()
    metrics = Metrics(clock)
    for event in EVENTS:
        metrics.add(event)
    found = samples(metrics.text())
    assert {name: value for name, value in found.items() if name.startswith("raddle_items_total")} == {
        "raddle_items_total ok": 2,
        "raddle_items_total failed": 1,
        "raddle_items_total timed_out": 0,
        "raddle_items_total crashed": 0,
        "raddle_items_total cancelled": 1,
    }
    assert found["raddle_items_resumed_total"] == found["raddle_attempts_retried_total"] == 1
    assert (found["raddle_workers"], found["raddle_workers_limit"], found["raddle_workers_lost_total"]) == (2, 1, 1)
    assert (found["raddle_items_expected"], found["raddle_run_stopping"], found["raddle_run_active"]) == (10, 1, 1)
    # Neither the resumed nor the cancelled item took any time in this run.
    assert (found["raddle_item_seconds_count"], found["raddle_item_seconds_sum"]) == (2, pytest.approx(7.004))
    bounds = [found[f"raddle_item_seconds_bucket {bound}"] for bound in (*BUCKETS, "+Inf")]
    assert bounds == sorted(bounds)
    assert (found["raddle_item_seconds_bucket 0.0025"], found["raddle_item_seconds_bucket 0.005"]) == (0, 1)
    assert "raddle_run_end_time_seconds" not in found
    metrics.add(END)
    found = samples(metrics.text())
    assert (found["raddle_items_total cancelled"], found["raddle_run_active"]) == (6, 0)
    assert found["raddle_run_end_time_seconds"] == clock.wall()


def test_every_metric_is_described_once() -> None:
    metrics = Metrics(FakeClock())
    for event in (*EVENTS, END):
        metrics.add(event)
    text = metrics.text()
    described = re.findall(r"^# TYPE (raddle_\w+) (counter|gauge|histogram)$", text, re.MULTILINE)
    assert len(described) == len({name for name, _ in described}) == text.count("# HELP ")
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in described)


def test_file_is_replaced_as_a_whole_and_not_too_often(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "raddle.prom"
    observer = PrometheusFile(path, every=5.0, clock=clock)
    observer(EVENTS[0])
    first = path.stat().st_ino
    for _ in range(10):
        clock.advance(0.3)
        observer(ItemsEnded([outcome(0)]))
    assert samples(path.read_text())["raddle_items_total ok"] == 0
    clock.advance(2.0)
    observer.tick()
    assert samples(path.read_text())["raddle_items_total ok"] == 10
    assert path.stat().st_ino != first
    observer(END)
    assert samples(path.read_text())["raddle_run_active"] == 0
    assert [each.name for each in tmp_path.iterdir()] == ["raddle.prom"]
    with pytest.raises(ConfigError, match="its folder does not exist; make it first"):
        PrometheusFile(tmp_path / "no" / "x.prom")


def test_server_answers_during_and_after_the_run() -> None:
    with PrometheusServer() as server:
        with raddle.run(abs, [-1, -2], backend="threads", progress=server, name="abs") as run:
            assert list(run.values()) == [1, 2]
        with urllib.request.urlopen(server.url, timeout=120) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        assert 'raddle_items_total{run="abs",backend="threads",status="ok"} 2' in text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/x", timeout=120)
        with pytest.raises(ConfigError, match="use another port, or 0"):
            PrometheusServer(server.port)


# --------------------------------------------------------------------------------------------------- opentelemetry


@pytest.fixture
def spans() -> tuple[Any, Any]:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter, provider.get_tracer("test")


def test_spans_of_items_lie_in_that_of_the_run(spans: tuple[Any, Any]) -> None:
    from raddle.progress import OpenTelemetryObserver

    exporter, tracer = spans
    clock = FakeClock()
    began = clock.now()
    observer = OpenTelemetryObserver(tracer, clock=clock)
    observer(EVENTS[0])
    clock.advance(10.0)
    done = [outcome(0, started=began + 1.0, seconds=2.0), outcome(1, Status.FAILED, started=began + 3.0)]
    for event in (*EVENTS[1:4], ItemsEnded([*done, outcome(2, resumed=True)]), *EVENTS[5:], END):
        observer(event)
    *items, run = exporter.get_finished_spans()
    assert [span.attributes["raddle.position"] for span in items] == [0, 1]
    assert all(span.parent.span_id == run.context.span_id for span in items)
    start = run.start_time
    assert start == pytest.approx((clock.wall() - 10.0) * 1e9, abs=1e6)
    assert (items[0].start_time - start, items[0].end_time - start) == (pytest.approx(1e9), pytest.approx(3e9))
    assert (items[0].status.is_ok, items[1].status.description) == (True, "ValueError: bad")
    assert items[1].events[0].attributes["exception.stacktrace"] == "Traceback ..."
    assert (run.attributes["raddle.failed"], run.attributes["raddle.spans_left_out"]) == (1, 0)
    assert [event.name for event in run.events] == ["attempt failed", "limit changed", "worker lost", "stopping"]


def test_no_more_spans_than_asked_for_and_failures_first(spans: tuple[Any, Any]) -> None:
    from raddle.progress import OpenTelemetryObserver

    exporter, tracer = spans
    clock = FakeClock()
    observer = OpenTelemetryObserver(tracer, spans_per_second=10, clock=clock)
    observer(EVENTS[0])
    for _ in range(4):
        clock.advance(0.5)
        observer(ItemsEnded([outcome(n, Status.FAILED if n == 99 else Status.OK) for n in range(100)]))
    observer(END)
    *items, run = exporter.get_finished_spans()
    assert len(items) == 10 + 3 * 5
    assert sum(span.attributes["raddle.status"] == "failed" for span in items) == 4
    assert run.attributes["raddle.spans_left_out"] == 400 - len(items)


def test_without_the_api_it_says_what_to_install(root: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys\nsys.modules['opentelemetry'] = None\nimport raddle.progress\n"
        "try:\n    raddle.progress.OpenTelemetryObserver()\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str(MissingExtra("opentelemetry-api", "otel"))


# --------------------------------------------------------------------------------------------------------- logging


def test_log_records_have_fields(caplog: pytest.LogCaptureFixture) -> None:
    observer = Logging()
    with caplog.at_level(logging.DEBUG, "raddle.run"):
        for event in (*EVENTS, END):
            observer(event)
    records = {record.event: record for record in caplog.records}  # type: ignore[attr-defined]
    assert list(records) == [
        "run_started", "attempt_failed", "attempt_reported", "limit_changed", "item_ended", "worker_replaced",
        "run_stopping", "run_ended",
    ]  # fmt: skip
    assert {record.run for record in caplog.records} == {'my "job"\n'}  # type: ignore[attr-defined]
    wanted = {"position": 1, "status": "failed", "attempts": 1, "seconds": 7.0, "error_type": "ValueError"}
    assert {name: getattr(records["item_ended"], name) for name in wanted} == wanted
    assert (records["attempt_reported"].levelname, records["attempt_reported"].percent) == ("DEBUG", 40.0)
    assert (records["run_ended"].admitted, records["run_ended"].cancelled) == (9, 6)


# ---------------------------------------------------------------------------------------------- reports, limits, time


def test_stats_know_who_is_slow_and_what_limits() -> None:
    stats = Stats()
    for event in EVENTS[:4]:
        stats.add(event, 0.0)
    stats.add(AttemptReported(5, b"\xff", 1, 1.0, ""), 0.0)
    stats.add(AttemptReported(3, "slow", 1, 60.0, "muxing"), 1.0)
    now = stats.snapshot(1.0)
    assert (now.limit, now.limit_reason) == (1, "HTTP 429")
    assert [(each.position, each.label, each.percent, each.note) for each in now.reports] == [
        (3, "'slow'", 60.0, "muxing"),
        (5, "b'\\xff'", 1.0, ""),
    ]
    stats.add(ItemsEnded([outcome(3)]), 2.0)
    stats.add(AttemptFailed(5, "x", 1, ERROR, 0.0), 2.0)
    assert stats.snapshot(2.0).reports == ()


def test_a_line_on_a_terminal_moves_on_while_nothing_ends() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock, in_place=True)
    line(RunStarted("job", "threads", 2, 10))
    line(LimitChanged(1, "HTTP 429"))
    for _ in range(20):
        clock.advance(0.5)
        line.tick()
    paintings = stream.getvalue().split("\r\x1b[K")[1:]
    assert 10 <= len(paintings) <= 12
    assert "limit 1: HTTP 429" in paintings[-1]
    line(END)
    before = stream.getvalue()
    clock.advance(10.0)
    line.tick()
    assert stream.getvalue() == before


def test_a_line_elsewhere_breaks_a_long_silence_only() -> None:
    stream, clock = io.StringIO(), FakeClock()
    line = Line(stream, clock, in_place=False)
    line(RunStarted("job", "threads", 2, 10))
    for _ in range(600):
        clock.advance(1.0)
        line.tick()
    assert len(stream.getvalue().splitlines()) == 10
    line(END)


def test_repeat_calls_until_stopped() -> None:
    class Counter:
        def __init__(self) -> None:
            self.calls = threading.Semaphore(0)

        def call(self) -> None:
            self.calls.release()

    counter = Counter()
    repeat = Repeat(counter.call, 0.001)
    for _ in range(3):
        assert counter.calls.acquire(timeout=120)
    repeat.stop()
    repeat.join(60)
    assert not repeat._thread.is_alive()
    forgotten = Repeat(Counter().call, 0.001)  # nobody holds the counter: there is nothing to call
    forgotten.join(60)
    assert not forgotten._thread.is_alive()


def test_repeat_says_once_what_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def call(self) -> None:
            raise ZeroDivisionError

    broken = Broken()
    repeat = Repeat(broken.call, 0.001)
    repeat.join(60)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(("item", "text"), [("a" * 600, "'" + "a" * 8 + "…"), (12, "12"), (b"\xff", "b'\\xff'")])
def test_short(item: object, text: str) -> None:
    assert short(item, 10) == text


def test_short_survives_a_hostile_item() -> None:
    assert "Hostile" in short(Hostile())
