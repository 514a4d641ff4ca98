"""Which endpoint takes the next call, and when. Decides from state and the time it is told; `queue.py` drives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from raddle.workloads.classify.upstream.limits import Breaker, Buckets, InFlight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.classify.upstream.endpoint import Endpoint

__all__ = ["Ended", "Figures", "Lane", "Place", "Pool", "Verdict"]

#: ok: an answer, whatever it says; heard: it lives, but would not; failed: nothing; rejected: not now; key: the key was
#: refused; unknown: cancelled
Verdict = Literal["ok", "heard", "failed", "rejected", "key", "unknown"]

#: without Retry-After: seconds after the second rejection in a row, and at most
_WAIT, _LONGEST_WAIT = 0.2, 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """A call that was let in."""

    lane: int
    started: float
    tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended.

    Args:
        verdict: what it says of the endpoint
        tokens: that it cost; None if nobody said
        retry_after: seconds the service asked for; None if it did not say
        chance: uniform in [0, 1), for jitter
    """

    verdict: Verdict
    tokens: float | None = None
    retry_after: float | None = None
    chance: float = 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    """What an endpoint does now, for people and metrics."""

    model: str
    in_flight: int
    limit: int
    calls: int
    rejected: int
    failed: int
    #: "ready", "cooling", "open" (left alone, because it fails), "refused" (its key is not accepted)
    state: str


class Lane:
    """One endpoint: its limits, and whether it may be asked."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.in_flight = self.calls = self.rejections = self.failures = 0
        self.refused = False
        self._flight = InFlight(endpoint.max_in_flight)
        self._buckets = Buckets(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._breaker = Breaker()
        self._cool_until = float("-inf")
        self._streak, self._closed_at = 0, float("-inf")

    @property
    def free(self) -> int:
        """How many calls more it bears."""
        return self._flight.limit - self.in_flight

    def ready_at(self, now: float, tokens: float) -> float:
        """Return when a call may start; infinity if only the end of another can tell."""
        if self.refused or self.free < 1:
            return math.inf
        return max(self._cool_until, self._breaker.next_at(now), self._buckets.next_at(now, tokens))

    def take(self, now: float, tokens: float) -> None:
        """Let a call start."""
        self.in_flight += 1
        self.calls += 1
        self._buckets.take(now, tokens)
        self._breaker.started(now)

    def end(self, now: float, place: Place, ended: Ended) -> None:
        """Learn how a call ended."""
        verdict = ended.verdict
        busy, self.in_flight = self.in_flight, self.in_flight - 1
        self._breaker.ended(now, place.started, failed={"ok": False, "heard": False, "failed": True}.get(verdict))
        if verdict == "ok":
            self._streak = 0
            self._flight.succeeded(now - place.started, busy)
            self._buckets.settle(place.tokens, place.tokens if ended.tokens is None else ended.tokens)
            return
        if verdict != "failed":
            self._buckets.settle(place.tokens, 0.0)  # one that failed may have been worked on, and charged
        if verdict == "rejected":
            self.rejections += 1
            self._reject(now, place.started, ended)
        elif verdict == "failed":
            self.failures += 1
        elif verdict == "key":
            self.refused = True

    def _reject(self, now: float, started: float, ended: Ended) -> None:
        self._flight.rejected(now, started, self.in_flight)
        if ended.retry_after is not None and ended.retry_after > 0:
            self.cool(now, ended.retry_after * (1 + 0.05 * ended.chance))
            return
        if started < self._closed_at:
            return  # it was on its way when an earlier one was refused, and tells nothing new
        # After the first, the smaller limit is answer enough: nothing starts until others have ended.
        self._streak += 1
        self._closed_at = now
        if self._streak > 1 or not self.in_flight:
            self.cool(now, ended.chance * min(_LONGEST_WAIT, _WAIT * 2.0 ** min(self._streak - 1, 30)))

    def cool(self, now: float, seconds: float) -> None:
        """Let nothing start for so long; a longer pause under way stays."""
        self._cool_until = max(self._cool_until, now + seconds)

    def figures(self, now: float) -> Figures:
        """Return what it does now."""
        state = "ready"
        if self.refused:
            state = "refused"
        elif self._breaker.is_open:
            state = "open"
        elif self._cool_until > now:
            state = "cooling"
        return Figures(
            self.endpoint.model,
            self.in_flight,
            self._flight.limit,
            self.calls,
            self.rejections,
            self.failures,
            state,
        )


class Pool:
    """All endpoints. Instants are seconds of one clock that never goes back."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.lanes = tuple(Lane(endpoint) for endpoint in endpoints)

    @property
    def refused(self) -> bool:
        """Whether no key is accepted any more."""
        return all(lane.refused for lane in self.lanes)

    def enter(self, now: float, tokens: float, avoid: int | None = None) -> Place | None:
        """Let a call start where there is most room; None if it must wait.

        Args:
            now: seconds
            tokens: that it will about cost
            avoid: an endpoint that just failed it: taken only if no other is ready
        """
        ready = [number for number, lane in enumerate(self.lanes) if lane.ready_at(now, tokens) <= now]
        if not ready:
            return None
        best = max(ready, key=lambda number: (number != avoid, self.lanes[number].free, -self.lanes[number].in_flight))
        self.lanes[best].take(now, tokens)
        return Place(best, now, tokens)

    def end(self, now: float, place: Place, ended: Ended) -> None:
        """Learn how a call ended."""
        self.lanes[place.lane].end(now, place, ended)

    def wake_at(self, now: float, tokens: float) -> float | None:
        """Return when to ask `enter` again; None if only the end of a call can help."""
        soonest = min(lane.ready_at(now, tokens) for lane in self.lanes)
        return None if soonest == math.inf else soonest
