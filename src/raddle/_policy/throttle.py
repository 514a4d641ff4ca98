"""What slows a run down when a service says no, and lets it go faster again."""

from __future__ import annotations

import math

__all__ = ["Throttle"]

_NEVER = float("-inf")


class Throttle:
    """Three things at once, learned from rejections alone: a gate, a rate and a ceiling of workers.

    - The gate: nothing starts before the `retry_after` of a rejection has passed, and up to 5 % more. Without one, or
      with 0, exponential backoff with full jitter over the rejections in a row.
    - The rate: after a rejection what may start per second follows CUBIC (Ha, Rhee, Xu 2008; botocore's "adaptive"
      retry mode), `rate(t) = c·(1 + (1 - β)·(t/K - 1)³)`: it falls to β·c, is back at c after K seconds, stays there
      for a while, and then looks for more. c is what the service was seen to grant: items that started between two
      rejections, by the time between them, averaged with the rate at the last. K grows with what a rejection costs.
    - The ceiling: AIMD on the number of busy workers, +1 (or 10 %) per ceiling's worth of successes while at least
      half of it is in use, x0.7 per rejection; but only for a rejection that came while the rate left permits unused,
      or before a rate is known: otherwise the rate was what admitted too much.

    Rate and ceiling fall at most once per round trip: a rejected attempt that started before the last fall does not
    count. Before the first rejection all is open. All times are seconds on one clock.

    Args:
        limit: how many workers may be busy now, at the first rejection
        most: the ceiling never rises above this
    """

    BETA = 0.85
    #: seconds until the rate is back at c: at least this, the time that so many items take, so many closed gates
    SECONDS, ITEMS, GATES = 1.5, 20.0, 6.0
    #: and at most
    LONGEST = 120.0
    #: part of the rate at the rejection in the new c
    TRUST = 0.4
    #: starts that must be seen before they tell a rate
    ENOUGH = 5
    #: what older rejections count in the mean
    FADE = 0.5
    #: a burst after a closed gate that was rejected within this part of K is halved
    EARLY = 0.25
    BURST_GROWTH = 1.05
    DECREASE = 0.7
    INCREASE = 0.1
    #: the ceiling only rises while so much of it is in use (as in RFC 7661): what nobody uses is never refused
    USED = 0.5
    #: backoff without Retry-After: seconds after the first rejection, and at most
    WAIT, LONGEST_WAIT = 0.2, 30.0

    def __init__(self, *, limit: int, most: int) -> None:
        self._most = float(max(1, most))
        self._ceiling = min(self._most, float(max(1, limit)))
        self._rejected = self._streak = 0
        #: items per second: what the service grants as far as known (None: not yet), and what may start now
        self._granted: float | None = None
        self._rate = 0.0
        self._tokens, self._burst = 0.0, 1.0
        self._at = self._fell = self._open = _NEVER
        #: seconds on the curve, and until it is back at c
        self._curve, self._k = 0.0, self.SECONDS
        self._started = 0
        self._seen_items = self._seen_seconds = 0.0
        self._uncompensated = self._mean_wait = self._latency = 0.0

    # ------------------------------------------------------------------------------------------------- the face

    @property
    def limit(self) -> int:
        """How many workers may be busy."""
        return int(self._ceiling)

    @property
    def reason(self) -> str:
        """What holds the run back, for people, with the figures."""
        if not self._rejected:
            return "not rejected so far"
        rate = "" if self._granted is None else f", about {self._granted:.3g} items/s"
        return f"rejected {self._rejected} times: at most {self.limit} at once{rate}"

    def permits(self, now: float) -> int:
        """Return how many items may start now."""
        if now < self._open:
            return 0
        if self._granted is None:
            return self.limit
        self._advance(now)
        return max(0, int(self._tokens + 1e-6))

    def took(self, now: float, items: int) -> None:
        """Learn that `items` start, tries after a rejection among them."""
        self._advance(now)
        self._started += items
        if self._granted is not None:
            self._tokens -= items

    def wake_at(self, now: float) -> float | None:
        """Return when to ask `permits` again if nothing may start now, else None."""
        if self.permits(now):
            return None
        if now < self._open:
            return self._open
        # Never closer than this: a clock has a grain, and the wait must end some day.
        return now + max(1e-3, (1 - self._tokens) / self._rate)

    def succeeded(self, now: float, items: int, started: float, busy: int) -> None:
        """Learn that `items` of one worker ended, not by a rejection.

        Args:
            now: seconds
            items: how many
            started: seconds, when the first of them began
            busy: how many workers were busy until now, this one among them
        """
        if items <= 0:
            return
        if started >= self._fell:
            self._streak = 0
        latency = max(1e-6, (now - started) / items)
        self._latency = latency if not self._latency else 0.9 * self._latency + 0.1 * latency
        if not self._rejected:
            return
        if busy >= self.USED * self._ceiling:
            self._ceiling = min(self._most, self._ceiling + items * max(1 / self._ceiling, self.INCREASE))
        if self._granted is None:
            self._advance(now)
            self._grant(self._ceiling / self._latency)
            self._burst = max(1.0, self._rate)

    def rejected(self, now: float, started: float, retry_after: float | None, chance: float) -> None:
        """Learn that an item that began at `started` was rejected.

        Args:
            now: seconds
            started: seconds
            retry_after: seconds that the service asked for, None if it did not say
            chance: uniform in [0, 1)
        """
        self._advance(now)
        self._rejected += 1
        self._started -= 1
        counts = started > self._fell
        self._streak += counts
        asked = retry_after is not None and 0 < retry_after < math.inf
        if asked and retry_after is not None:
            wait = retry_after * (1 + 0.05 * chance)
        else:
            wait = chance * min(self.LONGEST_WAIT, self.WAIT * 2.0 ** min(max(0, self._streak - 1), 30))
        if counts:
            self._fall(now, wait)
        if counts or asked:
            self._open = max(self._open, now + wait)

    # -------------------------------------------------------------------------------------------------- the rules

    def _fall(self, now: float, wait: float) -> None:
        if self._granted is None or self._tokens >= 1:
            self._ceiling = max(1.0, self._ceiling * self.DECREASE)
        if self._fell > _NEVER:
            self._learn(now)
        self._mean_wait = 0.7 * self._mean_wait + 0.3 * wait
        self._started, self._fell = 0, now
        self._tokens = min(self._tokens, 0.0)
        self._curve = 0.0
        if self._granted is not None:
            self._grant(self._granted)
            # What a burst after the gate makes up for was not lost.
            self._uncompensated = max(0.0, wait - self._burst / self._granted)

    def _learn(self, now: float) -> None:
        """Estimate what the service grants: it had none left at the last rejection, and has none left now."""
        self._seen_items += max(0, self._started)
        self._seen_seconds += max(0.0, now - self._fell - self._uncompensated)
        early = now - max(self._open, self._fell) < self.EARLY * self._k
        if self._seen_items >= self.ENOUGH and self._seen_seconds > 0:
            mean = self._seen_items / self._seen_seconds
            last = mean if self._granted is None else min(self._rate, 1.5 * mean)
            self._granted = (1 - self.TRUST) * mean + self.TRUST * last
            self._seen_items *= self.FADE
            self._seen_seconds *= self.FADE
        if self._granted is not None:
            most = max(1.0, self._granted)
            self._burst = max(1.0, self._burst / 2) if early else min(most, self._burst * self.BURST_GROWTH)

    def _grant(self, rate: float) -> None:
        self._granted = max(rate, 1e-3)
        self._rate = self.BETA * self._granted
        longest = max(self.SECONDS, self.ITEMS / self._granted, self.GATES * self._mean_wait)
        self._k = min(self.LONGEST, longest)

    def _advance(self, now: float) -> None:
        """Let time pass: permits arrive, and the rate moves along its curve while they are in use."""
        seconds, self._at = now - self._at, max(now, self._at)
        if self._granted is None or not 0 < seconds < math.inf:
            return
        if now <= self._open:
            self._rate = self._granted
        else:
            if self._tokens < self._burst:
                self._curve += min(seconds, now - self._open)
            growth = 1 + (1 - self.BETA) * (self._curve / self._k - 1) ** 3
            if growth > 2:  # noqa: PLR2004
                # Twice what was granted without a rejection: the service grants more now, so begin anew from there.
                self._granted *= 2
                self._curve, growth = self._k, 1.0
            self._rate = self._granted * growth
        self._tokens = min(self._burst, self._tokens + seconds * self._rate)
