"""A run in figures for Prometheus: a text file for node_exporter, or an HTTP endpoint."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from raddle._events import (
    AttemptFailed,
    ItemsEnded,
    LimitChanged,
    RunEnded,
    RunStarted,
    RunStopping,
    WorkerReplaced,
)
from raddle._model import Status
from raddle.errors import ConfigError
from raddle.progress._clock import RealClock
from raddle.progress._repeat import Repeat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raddle._events import Observed
    from raddle._model import Outcome
    from raddle._ports import Clock

__all__ = ["CONTENT_TYPE", "Metrics", "PrometheusFile", "PrometheusServer"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: upper bounds in seconds; above the last one is "+Inf"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

_status_of, _seconds_of = itemgetter(2), itemgetter(7)
_attempts_of, _resumed_of = itemgetter(5), itemgetter(11)


class _Figures:
    def __init__(self, run: RunStarted, started: float = 0.0) -> None:  # no dataclass: each `import raddle` is here
        self.run = run
        #: Unix time
        self.started = started
        self.ended: float | None = None
        self.items = dict.fromkeys(Status, 0)
        #: items that took at most as long as the bound, for each of `BUCKETS`
        self.within = [0] * len(BUCKETS)
        self.timed = self.resumed = self.retries = self.lost = self.stopping = 0
        self.seconds = 0.0
        self.limit = run.workers


class Metrics:
    """Adds up one run's events, and writes them in the text format of Prometheus. Safe to read from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._lock = threading.Lock()
        self._now = _Figures(RunStarted("", "", 0, None))

    def add(self, event: Observed) -> None:
        """Take an event."""
        with self._lock:
            now = self._now
            match event:
                case ItemsEnded(outcomes):
                    self._items_ended(outcomes)
                case AttemptFailed():
                    now.retries += 1
                case WorkerReplaced():
                    now.lost += 1
                case LimitChanged(limit, _):
                    now.limit = limit
                case RunStarted():
                    self._now = _Figures(event, self._clock.wall())
                case RunStopping():
                    now.stopping = 1
                case RunEnded(summary):
                    # The summary also counts what ended without an event, such as items that never started.
                    now.items = {status: getattr(summary, status.value) for status in Status}
                    now.resumed = summary.resumed
                    now.ended = self._clock.wall()
                case _:
                    pass

    def text(self) -> str:
        """Return the figures so far."""
        with self._lock:
            return "".join(self._families())

    def _items_ended(self, outcomes: Sequence[Outcome]) -> None:
        now, statuses = self._now, list(map(_status_of, outcomes))
        for status in Status:
            now.items[status] += statuses.count(status)
        now.resumed += sum(map(_resumed_of, outcomes))
        # What was read from the journal or never started took no time in this session.
        ran = [outcome for outcome in outcomes if _attempts_of(outcome) and not _resumed_of(outcome)]
        seconds = sorted(map(_seconds_of, ran))
        now.timed += len(seconds)
        now.seconds += sum(seconds)
        for place, bound in enumerate(BUCKETS):
            now.within[place] += bisect_right(seconds, bound)

    def _families(self) -> Iterator[str]:
        now, run = self._now, self._now.run
        labels = {"run": run.name, "backend": run.backend}

        def one(name: str, kind: str, text: str, value: float) -> str:
            return _head(name, kind, text) + _sample(name, labels, value)

        yield _head("items_total", "counter", "Items that have their outcome.")
        for status, count in now.items.items():
            yield _sample("items_total", labels | {"status": status.value}, count)
        yield one("items_resumed_total", "counter", "Of these, read from the journal.", now.resumed)
        yield one("attempts_retried_total", "counter", "Attempts that ended badly and are tried again.", now.retries)
        yield one("workers_lost_total", "counter", "Workers that died, were killed or abandoned.", now.lost)
        yield self._histogram(labels)
        yield one("workers", "gauge", "Workers of the run.", run.workers)
        yield one("workers_limit", "gauge", "Workers that may be busy at once now.", now.limit)
        if run.total is not None:
            yield one("items_expected", "gauge", "Items in the source.", run.total)
        active = int(now.started > 0 and now.ended is None)
        yield one("run_active", "gauge", "1 while the run goes on.", active)
        yield one("run_stopping", "gauge", "1 once nothing more starts.", now.stopping)
        yield one("run_start_time_seconds", "gauge", "When the run started, Unix time.", now.started)
        if now.ended is not None:
            yield one("run_end_time_seconds", "gauge", "When the run ended, Unix time.", now.ended)

    def _histogram(self, labels: dict[str, str]) -> str:
        lines = [_head("item_seconds", "histogram", "How long the last attempt of an item took.")]
        bounds = [*map(str, BUCKETS), "+Inf"]
        counts = [*self._now.within, self._now.timed]
        for bound, count in zip(bounds, counts, strict=True):
            lines.append(_sample("item_seconds_bucket", labels | {"le": bound}, count))
        lines.append(_sample("item_seconds_sum", labels, self._now.seconds))
        lines.append(_sample("item_seconds_count", labels, self._now.timed))
        return "".join(lines)


class PrometheusFile:
    """Observer that keeps a run's metrics in a file, replaced as a whole: for node_exporter's textfile collector.

    Args:
        path: should end in ".prom", as the collector wants it; its folder must exist
        every: seconds between two writings at most and, while the run goes on, about at least
        clock: what time it is; default: the real one

    Raises:
        ConfigError: the folder does not exist
    """

    def __init__(self, path: str | os.PathLike[str], *, every: float = 5.0, clock: Clock | None = None) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise ConfigError(f"path={self.path}: its folder does not exist; make it first")
        self._clock = clock or RealClock()
        self._every = every
        self._metrics = Metrics(self._clock)
        self._lock = threading.Lock()
        self._written = float("-inf")
        self._repeat: Repeat | None = None

    def __call__(self, event: Observed) -> None:
        """Take an event; write if it is time to."""
        self._metrics.add(event)
        with self._lock:
            if isinstance(event, RunStarted):
                self._repeat = Repeat(self.tick, self._every)
            if isinstance(event, RunEnded) and self._repeat is not None:
                self._repeat.stop()
                self._repeat = None
            self._write(at_once=isinstance(event, (RunStarted, RunStopping, RunEnded)))

    def tick(self) -> None:
        """Time has passed: write if it is time to."""
        with self._lock:
            if self._repeat is not None:
                self._write(at_once=False)

    def _write(self, *, at_once: bool) -> None:
        now = self._clock.now()
        if not at_once and now - self._written < self._every:
            return
        self._written = now
        # Another name than *.prom, which the collector would read half-written.
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(self._metrics.text(), encoding="utf-8")
            beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise


class PrometheusServer:
    """Observer that serves a run's metrics over HTTP at `url`, from the moment it is made until `close()`.

    It outlives the run, so that the last figures can be fetched, and never keeps the program alive.

    Args:
        port: 0: a free one
        host: which address to listen on; by default nobody but this machine can ask
        clock: what time it is; default: the real one

    Raises:
        ConfigError: the port cannot be had
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", clock: Clock | None = None) -> None:
        from http.server import ThreadingHTTPServer

        self._metrics = Metrics(clock)
        try:
            self._server = ThreadingHTTPServer((host, port), _answers(self._metrics))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"port={port}: cannot listen on {host}: {error}; use another port, or 0") from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, name="raddle-metrics", daemon=True)
        self._thread.start()

    def __call__(self, event: Observed) -> None:
        """Take an event."""
        self._metrics.add(event)

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _answers(metrics: Metrics) -> Any:
    from http.server import BaseHTTPRequestHandler

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.partition("?")[0] in {"/", "/metrics"}
            body = metrics.text().encode() if known else b"see /metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: standard error is the caller's."""

    return Answers


# --------------------------------------------------------------------------------------------------------- format


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP raddle_{name} {text}\n# TYPE raddle_{name} {kind}\n"


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"raddle_{name}{{{inside}}} {value}\n"


def _escaped(text: str) -> str:
    """Escape a label as the format asks for; what is not UTF-8 in a file name becomes a question mark."""
    clean = text.encode("utf-8", "replace").decode()
    return clean.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
