"""The service in figures: for `/metrics`, and for `/ready` to judge the provider by."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import raddle

__all__ = ["CONTENT_TYPE", "Figures"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
#: so many items in a row without a label, none of them for its picture's sake: the provider is not usable
_STREAK: Final = 20
_PICTURE: Final = "raddle.workloads.classify.errors.PictureError"


class Figures:
    """Counts of one server since it began; used in its event loop alone."""

    def __init__(self) -> None:
        self.items: Counter[str] = Counter({"ok": 0, "failed": 0, "timed_out": 0})
        self.jobs: Counter[str] = Counter({"done": 0, "cancelled": 0})
        self.tokens: Counter[str] = Counter({"input": 0, "output": 0})
        self.in_flight = self.streams = self.calls = self.cached = self.streak = 0
        self.seconds = 0.0
        self.within = [0] * (len(_BOUNDS) + 1)

    def add(self, outcome: raddle.Outcome) -> None:
        """Count an item that ended."""
        self.items[outcome.status.value] += 1
        self.seconds += outcome.seconds
        self.within[bisect_left(_BOUNDS, outcome.seconds)] += 1
        if outcome.ok:
            label = outcome.value
            self.streak = 0
            self.cached += label.cached
            self.calls += label.usage.calls
            self.tokens["input"] += label.usage.input_tokens
            self.tokens["output"] += label.usage.output_tokens
        elif outcome.error is None or _PICTURE not in outcome.error.lineage:
            self.streak += 1

    @property
    def provider_fails(self) -> bool:
        """Whether the last items all failed."""
        return self.streak >= _STREAK

    def text(self, *, unfinished: int, waiting: int) -> str:
        """Return all in the text format of Prometheus."""
        return "".join(self._families(unfinished, waiting))

    def _families(self, unfinished: int, waiting: int) -> Iterator[str]:
        yield _family("items_total", "counter", "Items that have their outcome.", "status", self.items)
        yield _family("jobs_total", "counter", "Jobs that ended.", "state", self.jobs)
        yield _family("tokens_total", "counter", "Tokens that endpoints charged for.", "kind", self.tokens)
        yield _one("cached_total", "counter", "Labels from the cache or from an identical item.", self.cached)
        yield _one("upstream_calls_total", "counter", "Calls to endpoints.", self.calls)
        yield _one("items_in_flight", "gauge", "Items the provider works at.", self.in_flight)
        yield _one("items_waiting", "gauge", "Items of unfinished jobs without an outcome.", waiting)
        yield _one("jobs_unfinished", "gauge", "Jobs that are not finished.", unfinished)
        yield _one("streams", "gauge", "Event streams that are open.", self.streams)
        yield _one("provider_failures_in_a_row", "gauge", "Items that failed since the last label.", self.streak)
        yield from self._histogram()

    def _histogram(self) -> Iterator[str]:
        yield _head("item_seconds", "histogram", "How long the provider took for an item.")
        total = 0
        for bound, count in zip([*map(str, _BOUNDS), "+Inf"], self.within, strict=True):
            total += count
            yield f'raddle_classify_item_seconds_bucket{{le="{bound}"}} {total}\n'
        yield f"raddle_classify_item_seconds_sum {self.seconds}\nraddle_classify_item_seconds_count {total}\n"


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP raddle_classify_{name} {text}\n# TYPE raddle_classify_{name} {kind}\n"


def _one(name: str, kind: str, text: str, value: float) -> str:
    return f"{_head(name, kind, text)}raddle_classify_{name} {value}\n"


def _family(name: str, kind: str, text: str, label: str, values: Mapping[str, int]) -> str:
    lines = [f'raddle_classify_{name}{{{label}="{key}"}} {value}\n' for key, value in values.items()]
    return _head(name, kind, text) + "".join(lines)
