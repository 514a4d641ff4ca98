"""A run as OpenTelemetry spans: one for the run, one for each item, or for as many as the rate allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raddle._events import AttemptFailed, ItemsEnded, LimitChanged, RunEnded, RunStarted, RunStopping, WorkerReplaced
from raddle._model import Status
from raddle.errors import MissingExtra
from raddle.progress._clock import RealClock
from raddle.progress._text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Span, Tracer

    from raddle._events import Observed
    from raddle._model import Outcome
    from raddle._ports import Clock

__all__ = ["OpenTelemetryObserver"]

_NANO = 1_000_000_000
_TOTALS = ("admitted", "ok", "failed", "timed_out", "crashed", "cancelled", "resumed", "attempts", "workers_lost")


class OpenTelemetryObserver:
    """Observer that makes spans with the OpenTelemetry API. Where they go is up to the SDK that the program sets up.

    The run's span is a child of the span that is current when the run starts. An item's span has the times of its last
    attempt. Items that did not end ok come first where not all can have one; items read from the journal, and those
    that never started, have none.

    Args:
        tracer: default: that of the global provider
        spans_per_second: most item spans in a second, so that millions of items do not choke the exporter; the run's
            span says how many were left out. 0: only the run's span
        clock: what time it is; default: the real one

    Raises:
        MissingExtra: opentelemetry-api is not installed
    """

    def __init__(
        self, tracer: Tracer | None = None, *, spans_per_second: float = 100.0, clock: Clock | None = None
    ) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise MissingExtra("opentelemetry-api", "otel") from error
        self._tracer = tracer or trace.get_tracer("raddle")
        self._per_second = spans_per_second
        self._clock = clock or RealClock()
        self._run: Span | None = None
        self._context: Any = None
        self._offset = 0.0
        self._allowed = 0.0
        self._looked = 0.0
        self._left_out = 0

    def __call__(self, event: Observed) -> None:
        """Take an event."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif self._run is None:
            return
        elif isinstance(event, ItemsEnded):
            self._items_ended(event.outcomes)
        elif isinstance(event, AttemptFailed):
            what = {"raddle.position": event.position, "raddle.attempt": event.attempt, "raddle.wait": event.wait}
            if self._take(1):
                self._run.add_event("attempt failed", what | {"exception.type": event.error.type})
        elif isinstance(event, WorkerReplaced):
            self._run.add_event("worker lost", {"raddle.worker": event.worker, "raddle.reason": event.reason})
        elif isinstance(event, LimitChanged):
            self._run.add_event("limit changed", {"raddle.limit": event.limit, "raddle.reason": event.reason})
        elif isinstance(event, RunStopping):
            self._run.add_event("stopping", {"raddle.reason": event.reason})
        elif isinstance(event, RunEnded):
            self._end(event)

    def _begin(self, event: RunStarted) -> None:
        from opentelemetry import trace

        # An outcome's times are on the monotonic clock; a span's are nanoseconds since 1970.
        self._offset = self._clock.wall() - self._clock.now()
        self._looked, self._allowed, self._left_out = self._clock.now(), self._per_second, 0
        attributes: dict[str, Any] = {
            "raddle.run": event.name,
            "raddle.backend": event.backend,
            "raddle.workers": event.workers,
        }
        if event.total is not None:
            attributes["raddle.total"] = event.total
        self._run = self._tracer.start_span(
            f"raddle run {event.name}", attributes=attributes, start_time=self._nanoseconds(self._clock.now())
        )
        self._context = trace.set_span_in_context(self._run)

    def _items_ended(self, outcomes: Sequence[Outcome]) -> None:
        ran = [outcome for outcome in outcomes if outcome.attempts and not outcome.resumed]
        count = self._take(len(ran))
        self._left_out += len(ran) - count
        if count < len(ran):
            ran.sort(key=lambda outcome: outcome.status is Status.OK)  # stable: those not ok come first
        for outcome in ran[:count]:
            self._span(outcome)

    def _span(self, outcome: Outcome) -> None:
        from opentelemetry.trace import StatusCode

        attributes: dict[str, Any] = {
            "raddle.position": outcome.position,
            "raddle.item": short(outcome.item),
            "raddle.status": outcome.status.value,
            "raddle.attempts": outcome.attempts,
            "raddle.worker": outcome.worker,
        }
        start = self._nanoseconds(outcome.started)
        end = self._nanoseconds(outcome.started + outcome.seconds)
        span = self._tracer.start_span("raddle item", context=self._context, attributes=attributes, start_time=start)
        if outcome.error is not None:
            error = outcome.error
            told = {"exception.type": error.type, "exception.message": error.message}
            span.add_event("exception", told | {"exception.stacktrace": error.traceback}, timestamp=end)
            span.set_status(StatusCode.ERROR, str(error))
        span.end(end)

    def _end(self, event: RunEnded) -> None:
        from opentelemetry.trace import StatusCode

        run, summary = self._run, event.summary
        if run is None:
            return
        run.set_attributes({f"raddle.{name}": getattr(summary, name) for name in _TOTALS})
        run.set_attribute("raddle.spans_left_out", self._left_out)
        if not summary.all_ok:
            run.set_status(StatusCode.ERROR, summary.stopped or "not all items ended ok")
        run.end(self._nanoseconds(self._clock.now()))
        self._run = self._context = None

    def _take(self, wanted: int) -> int:
        """Return how many spans may be made now: a bucket that fills by the second and holds one second's worth."""
        now = self._clock.now()
        self._allowed = min(self._per_second, self._allowed + (now - self._looked) * self._per_second)
        self._looked = now
        count = min(wanted, int(self._allowed))
        self._allowed -= count
        return count

    def _nanoseconds(self, instant: float) -> int:
        return int((instant + self._offset) * _NANO)
