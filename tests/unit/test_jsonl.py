"""Events as JSON Lines, and through logging."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

from raddle import ErrorInfo, Summary
from raddle._events import (
    AttemptFailed,
    AttemptReported,
    ChunkStarted,
    ItemsEnded,
    LimitChanged,
    Observed,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle._model import Outcome, Status
from raddle.progress.jsonl import JsonLines
from raddle.progress.logging import Logging
from raddle.testing import FakeClock

if TYPE_CHECKING:
    import pytest

ERROR = ErrorInfo("ValueError", "bad\ninput", exception=ValueError("bad"))
OK = Outcome(0, "a", Status.OK, 1, None, 1, 0.0, 0.25, "thread-0")
FAILED = Outcome(1, object, Status.FAILED, None, ERROR, 3, 0.0, 0.5, "thread-1")

EVENTS: list[Observed] = [
    RunStarted("job", "threads", 2, None),
    ChunkStarted("thread-0", 2, 1),
    AttemptFailed(1, {"x": object}, 1, ERROR, 0.5),
    AttemptReported(1, "b", 2, 50.0, "half"),
    LimitChanged(1, "HTTP 429"),
    ItemsEnded([OK, FAILED]),
    ItemsEnded([OK]),
    WorkerReplaced("thread-1", "abandoned"),
    RunStopping("SIGINT"),
    RunEnded(Summary(name="job", admitted=2, ok=1, failed=1)),
]


def test_one_line_per_event() -> None:
    stream, clock = io.StringIO(), FakeClock()
    observer = JsonLines(stream, clock)
    for event in EVENTS:
        observer(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "run_started",
        "chunk_started",
        "attempt_failed",
        "attempt_reported",
        "limit_changed",
        "items_ended",
        "items_ended",
        "worker_replaced",
        "run_stopping",
        "run_ended",
    ]
    assert {line["time"] for line in lines} == {round(clock.wall(), 3)}
    assert (lines[3]["percent"], lines[3]["note"], lines[4]["limit"]) == (50.0, "half", 1)
    assert (lines[5]["items"], lines[5]["ok"]) == (2, 1)
    assert lines[5]["not_ok"] == [
        {
            "position": 1,
            "item": "<class 'object'>",
            "status": "failed",
            "error": {"type": "ValueError", "message": "bad\ninput"},
            "attempts": 3,
            "seconds": 0.5,
            "worker": "thread-1",
        }
    ]
    assert "not_ok" not in lines[6]
    assert lines[9]["admitted"] == 2


def test_logging_says_what_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    observer = Logging()
    with caplog.at_level(logging.INFO, "raddle.run"):
        for event in EVENTS:
            observer(event)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("INFO", "run 'job' starts: threads, workers=2"),
        ("WARNING", "item 1, attempt 1: ValueError: bad\ninput; next try in 0.5 s"),
        ("INFO", "limit is 1 now: HTTP 429"),
        ("ERROR", "item 1 failed: ValueError: bad\ninput"),
        ("WARNING", "thread-1 lost: abandoned"),
        ("WARNING", "nothing more starts: SIGINT"),
        ("INFO", "run 'job' ended: 1 of 2 ok"),
    ]
