"""What one endpoint bears, and what its contract allows. Nothing here reads a clock or rolls dice."""

from __future__ import annotations

import math
from collections import deque
from statistics import median_low

__all__ = ["Breaker", "Buckets", "InFlight"]

_NEVER = float("-inf")


class Buckets:
    """Requests and tokens per minute, admitted together or not at all.

    GCRA (ITU-T I.371): one instant per limit, at which the bucket will be full again. What was reserved too much
    comes back with `settle`.

    Args:
        requests: per minute; None for no limit
        tokens: per minute; None for no limit
        burst: seconds' worth of either that may go at once after a pause
    """

    def __init__(self, requests: float | None, tokens: float | None, *, burst: float = 1.0) -> None:
        self._per_request = 60.0 / requests if requests else 0.0
        self._per_token = 60.0 / tokens if tokens else 0.0
        self._request_depth = max(burst, self._per_request)
        self._token_depth = burst
        self._request_full = self._token_full = _NEVER

    def next_at(self, now: float, tokens: float) -> float:
        """Return the instant from which a call of so many tokens may start; `now` if it may at once."""
        request_at = self._request_full - (self._request_depth - self._per_request)
        # A call larger than the bucket goes when the bucket is full, and what follows waits until it is paid.
        missing = min(tokens * self._per_token, self._token_depth)
        return max(now, request_at, self._token_full - (self._token_depth - missing))

    def take(self, now: float, tokens: float) -> None:
        """Count one call of so many tokens."""
        self._request_full = max(now, self._request_full) + self._per_request
        self._token_full = max(now, self._token_full) + tokens * self._per_token

    def settle(self, reserved: float, used: float) -> None:
        """Give back what was reserved and not used; charge what was used beyond it."""
        self._token_full -= (reserved - used) * self._per_token


class InFlight:
    """How many calls at once: found by slow start, kept near what the service was last seen to bear.

    From a few it doubles per round trip until the first rejection, or until round trips take more than `SLOW` times
    the shortest; while they do, it does not grow. A rejection tells what fits: `known`, the calls that were then under
    way beside it. The limit falls to `FALL` of itself, at most once per `PAUSE` seconds and round trip, and never stays
    above `known`. It comes back by `STEP` per round trip, goes by `CREEP` through the `NEAR` part around `known`, and
    beyond that it doubles again: then the service bears more than it did.

    A round trip is judged by the median of as many calls as the limit allows at once: a straggler in fifty is not
    taken for a queue.

    Not the engine's `Throttle`, which learns a rate from rejections alone and is open until the first. In virtual time
    (the five services of tests/workloads/classify/test_pool.py, at most 256 calls at once) it got 0.35 to 0.83 of the
    ideal with up to 25 % of the calls rejected; plain AIMD after slow start (+2 per round trip, x0.7) 0.84 to 0.99;
    this 0.93 to 0.99 with less than 0.6 %.
    """

    SLOW, STEP, CREEP, NEAR, FALL, PAUSE = 1.5, 2.0, 1.0, 0.04, 0.85, 0.25
    #: rounds that the shortest round trip is looked for in: a service that got slower for good is believed in the end
    ROUNDS = 64

    #: calls at once at the beginning: that part of `most`, but from 4 to 16
    START = (0.25, 4, 16)

    def __init__(self, most: int) -> None:
        self._most = float(most)
        part, least, highest = self.START
        self._limit = float(min(most, highest, max(least, int(part * most))))
        #: what fits, as far as seen; infinity: no rejection yet; 0: slow start
        self._known = 0.0
        self._slow = False
        self._round: list[float] = []
        self._round_size = self._limit
        self._medians: deque[float] = deque(maxlen=self.ROUNDS)
        self._fell = _NEVER

    @property
    def limit(self) -> int:
        """How many calls may be under way."""
        return int(self._limit)

    def succeeded(self, seconds: float, busy: int) -> None:
        """Learn that a call took so long while `busy` calls were under way, itself among them."""
        self._round.append(seconds)
        if len(self._round) >= self._round_size:
            self._judge()
        if self._slow or busy * 2 < self._limit:
            return  # in the second case nobody asked for more, so nothing says that more would fit
        self._limit = min(self._most, self._limit + self._growth() / self._limit)

    def _growth(self) -> float:
        """Return by how much the limit grows per round trip."""
        if self._limit > (1 + self.NEAR) * self._known:
            return self._limit
        if self._limit > (1 - self.NEAR) * self._known and self._known < math.inf:
            return self.CREEP
        return self.STEP

    def _judge(self) -> None:
        middle = median_low(self._round)
        self._round.clear()
        self._round_size = self._limit
        self._medians.append(middle)
        self._slow = middle > self.SLOW * min(self._medians)
        if self._slow and not self._known:
            self._known = math.inf

    def rejected(self, now: float, started: float, others: int) -> None:
        """Learn that a call that began at `started` was refused while `others` were under way beside it."""
        if started < self._fell:
            return  # on its way when the limit fell: the smaller limit was not yet tried
        self._known = float(max(1, others))
        if now - self._fell >= self.PAUSE:
            self._fell = now
            self._limit *= self.FALL
        self._limit = max(1.0, min(self._limit, float(others)))


class Breaker:
    """Leaves an endpoint alone that fails more often than not, and asks it now and then whether it is well again.

    Args:
        window: calls that are looked at
        least: calls before it says anything
        share: of them that failed, to open
        seconds: for which it stays open; doubled if the first call after that fails too, up to `longest`
        longest: seconds
    """

    def __init__(
        self, *, window: int = 20, least: int = 10, share: float = 0.5, seconds: float = 5.0, longest: float = 10.0
    ) -> None:
        self._seen: deque[bool] = deque(maxlen=window)
        self._least, self._share = least, share
        self._seconds, self._longest = seconds, longest
        self._wait = seconds
        #: None: closed; else when one call may try
        self._until: float | None = None
        self._opened = _NEVER
        self._probe: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._until is not None

    def next_at(self, now: float) -> float:
        """Return when a call may start: `now`, later, or infinity while one call tries."""
        if self._until is None:
            return now
        return math.inf if self._probe is not None else max(now, self._until)

    def started(self, now: float) -> None:
        """Learn that a call starts."""
        if self._until is not None:
            self._probe = now

    def ended(self, now: float, started: float, *, failed: bool | None) -> None:
        """Learn how a call ended; `failed=None` says nothing of its health: a rejection, a cancelled call."""
        if self._until is not None:
            if self._probe is not None and started >= self._probe:
                self._probe = None
                if failed is False:
                    self._close()
                elif failed:
                    self._open(now, min(self._longest, 2 * self._wait))
            return
        if failed is None or started < self._opened:
            return
        self._seen.append(failed)
        if len(self._seen) >= self._least and sum(self._seen) >= self._share * len(self._seen):
            self._open(now, self._seconds)

    def _open(self, now: float, wait: float) -> None:
        self._wait, self._until, self._opened = wait, now + wait, now
        self._seen.clear()

    def _close(self) -> None:
        self._until = None
        self._wait = self._seconds
