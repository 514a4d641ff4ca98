"""How near do raddle's limits come to the best fixed number of workers? A simulation in virtual time.

    python benchmarks/limits.py [--seeds 1 2 3 ...] [--variants]

Eight workloads, 1,500 items each, start 4 workers, at most 64: four on this machine, where throughput falls when too
many run, and four on a service that answers 429. A figure is the throughput as a part of that of the best fixed
number of workers for the same items, mean of the seeds; in brackets the share of all requests that were answered 429.
raddle is `HillClimb` until the first rejection and `Throttle` from then on, used as the machine uses them. The peers
are written from the formulas of their sources; an item of theirs that is rejected is tried again after 50 ms.
"""

# ruff: noqa: ARG002 - all contestants have one face

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean
from typing import TYPE_CHECKING

from raddle._policy.limits import HillClimb
from raddle._policy.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

START, MOST, NAIVE_WAIT = 4, 64, 0.05
FIXED = (*range(1, 9), 12, 14, 16, 18, 24, 32, 48, 64)

# ------------------------------------------------------------------------------------------------------ workloads


def equal(mean_: float, _random: random.Random) -> float:
    return mean_


def lognormal(mean_: float, chance: random.Random) -> float:
    return mean_ * chance.lognormvariate(-0.5, 1.0)


def bimodal(mean_: float, chance: random.Random) -> float:
    """90 % short, 10 % long: half the mean, and 5.5 times it."""
    return mean_ * (0.5 if chance.random() < 0.9 else 5.5)


@dataclass(frozen=True)
class Workload:
    name: str
    sizes: Callable[[float, random.Random], float]
    #: seconds of an item that runs alone
    seconds: float = 0.1
    items: int = 1500
    #: what runs at full speed at once on this machine; every worker more costs `penalty` of the whole
    cores: int = 4
    penalty: float = 0.02
    #: requests per second that the service grants; 0: work on this machine
    rate: float = 0.0
    later_rate: float = 0.0
    #: requests that the service lets pass at once after a pause
    burst: float = 10.0
    #: seconds until a rejection arrives
    refusal: float = 0.01
    #: "" for none, "whole" for whole seconds as HTTP wants them, "exact"
    retry_after: str = "whole"
    #: the service rejects what exceeds this many at once
    at_once: int = 10**9
    #: the quota comes at once, all this many seconds, and what is left of the old one is void; 0: drop by drop
    window: float = 0.0


CPU = [
    Workload("CPU, 4 cores, equal items", equal),
    Workload("CPU, lognormal items", lognormal),
    Workload("CPU, 90 % short 10 % long", bimodal),
    Workload("disk that thrashes past 4", equal, penalty=0.1),
]
API = [
    Workload("API 10/s, equal latency", equal, seconds=0.5, rate=10),
    Workload("API 10/s, lognormal", lognormal, seconds=0.5, rate=10),
    Workload("API 10/s, bimodal", bimodal, seconds=0.5, rate=10),
    Workload("API drops 10 → 3/s", equal, seconds=0.5, rate=10, later_rate=3),
]
TABLE = CPU + API

# ------------------------------------------------------------------------------------------------------- stations


class Machine:
    """Equal shares for all that run: speed of one = min(1, cores/n) / (1 + penalty·(n - cores))."""

    def __init__(self, load: Workload) -> None:
        self.load, self.served, self.now = load, 0.0, 0.0
        self.jobs: list[tuple[float, int, float]] = []
        self.count = 0

    def speed(self) -> float:
        n = len(self.jobs)
        return min(1.0, self.load.cores / n) / (1 + self.load.penalty * max(0, n - self.load.cores))

    def _to(self, now: float) -> None:
        if self.jobs:
            self.served += (now - self.now) * self.speed()
        self.now = now

    def start(self, now: float, size: float) -> None:
        self._to(now)
        self.count += 1
        heapq.heappush(self.jobs, (self.served + size, self.count, now))

    def next_at(self) -> float:
        return self.now + max(0.0, self.jobs[0][0] - self.served) / self.speed() if self.jobs else math.inf

    def end(self, now: float) -> tuple[float, float, bool, float | None]:
        self._to(now)
        return self.now, heapq.heappop(self.jobs)[2], True, None


class Service:
    """A token bucket that answers 429 at once when it is empty."""

    def __init__(self, load: Workload) -> None:
        self.load, self.tokens, self.now, self.running, self.count = load, load.burst, 0.0, 0, 0
        self.jobs: list[tuple[float, int, float, bool, float | None]] = []

    def rate(self, now: float) -> float:
        return self.load.later_rate if self.load.later_rate and now >= 50 else self.load.rate

    def start(self, now: float, size: float) -> None:
        rate = self.rate(now)
        if not self.load.window:
            self.tokens = min(self.load.burst, self.tokens + (now - self.now) * rate)
        elif now // self.load.window > self.now // self.load.window or not self.count:
            self.tokens = rate * self.load.window
        self.now = now
        self.count += 1
        if self.tokens >= 1 - 1e-9 and self.running < self.load.at_once:
            self.tokens -= 1
            self.running += 1
            heapq.heappush(self.jobs, (now + size, self.count, now, True, None))
        else:
            window = self.load.window
            exact = (window - now % window if window else max(0.0, (1 - self.tokens) / rate)) + 1e-6
            after = {"": None, "whole": float(math.ceil(exact)), "exact": exact}[self.load.retry_after]
            heapq.heappush(self.jobs, (now + self.load.refusal, self.count, now, False, after))

    def next_at(self) -> float:
        return self.jobs[0][0] if self.jobs else math.inf

    def end(self, now: float) -> tuple[float, float, bool, float | None]:
        _, _, started, ok, after = heapq.heappop(self.jobs)
        self.running -= ok
        return now, started, ok, after


# ----------------------------------------------------------------------------------------------------- contestants


class Fixed:
    def __init__(self, limit: int = 32, *, seed: int = 0) -> None:
        self.limit: float = limit

    def permits(self, now: float) -> int:
        return MOST

    def took(self, now: float) -> None: ...

    def wake_at(self, now: float) -> float | None:
        return None

    def ended(self, now: float, started: float, busy: int) -> None: ...

    def rejected(self, now: float, started: float, busy: int, after: float | None) -> float | None:
        """Return for how long the worker holds on to the item; None: it gives it back."""
        self.dropped(busy)
        return NAIVE_WAIT

    def dropped(self, busy: int) -> None: ...

    def keep(self, limit: float) -> None:
        self.limit = max(1.0, min(float(MOST), limit))


class Vegas(Fixed):
    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(START)
        self.least, self.samples, self.chance = math.inf, 0, random.Random(seed)
        self.probe_at = 30 * START

    def ended(self, now: float, started: float, busy: int) -> None:
        rtt, self.samples = now - started, self.samples + 1
        if self.samples >= self.probe_at:
            self.samples, self.probe_at, self.least = 0, 30 * self.limit * self.chance.uniform(0.5, 1), rtt
            return
        self.least = min(self.least, rtt)
        if busy >= self.limit / 2:
            log = max(1.0, math.log10(self.limit))
            queue = math.ceil(self.limit * (1 - self.least / rtt))
            if queue <= log:
                self.keep(self.limit + 6 * log)
            elif queue < 3 * log:
                self.keep(self.limit + log)
            elif queue > 6 * log:
                self.keep(self.limit - log)

    def dropped(self, busy: int) -> None:
        self.keep(self.limit - max(1.0, math.log10(self.limit)))


class Gradient2(Fixed):
    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(START)
        self.long = 0.0

    def ended(self, now: float, started: float, busy: int) -> None:
        rtt = now - started
        self.long = rtt if not self.long else self.long + (rtt - self.long) * 2 / 601
        if self.long > 2 * rtt:
            self.long *= 0.95
        if busy >= self.limit / 2:
            gradient = max(0.5, min(1.0, 1.5 * self.long / rtt))
            self.keep(0.8 * self.limit + 0.2 * (gradient * self.limit + 4))


class AimdOnLatency(Fixed):
    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(START)

    def ended(self, now: float, started: float, busy: int) -> None:
        if now - started > 5:
            self.dropped(busy)
        elif busy >= self.limit / 2:
            self.keep(self.limit + 1)

    def dropped(self, busy: int) -> None:
        self.keep(self.limit * 0.9)


class Raddle(Fixed):
    """Used as the machine uses them: hill climbing until the first rejection, the throttle from then on."""

    def __init__(self, *, seed: int = 0) -> None:
        self.climb = HillClimb(start=START, most=MOST)
        self.throttle: Throttle | None = None
        self.chance = random.Random(seed)

    @property
    def limit(self) -> float:  # type: ignore[override]
        return self.throttle.limit if self.throttle else self.climb.value

    def permits(self, now: float) -> int:
        return self.throttle.permits(now) if self.throttle else MOST

    def took(self, now: float) -> None:
        if self.throttle:
            self.throttle.took(now, 1)

    def wake_at(self, now: float) -> float | None:
        return self.throttle.wake_at(now) if self.throttle else None

    def ended(self, now: float, started: float, busy: int) -> None:
        if self.throttle:
            self.throttle.succeeded(now, 1, started, busy)
        else:
            self.climb.ended(now, 1, busy)

    def rejected(self, now: float, started: float, busy: int, after: float | None) -> float | None:
        if self.throttle is None:
            self.throttle = Throttle(limit=busy, most=MOST)
        self.throttle.rejected(now, started, after, self.chance.random())
        return None


# ------------------------------------------------------------------------------------------------------ simulation


@dataclass(frozen=True)
class Result:
    seconds: float
    waste: float
    #: the most often that one item was rejected
    worst: int


def simulate(load: Workload, control: Fixed, seed: int) -> Result:
    chance = random.Random(seed)
    station = Service(load) if load.rate else Machine(load)
    waiting = deque((load.sizes(load.seconds, chance), 0) for _ in range(load.items))
    held: list[tuple[float, float, int]] = []
    now, done, requests, refused, worst, busy = 0.0, 0, 0, 0, 0, 0
    under_way: dict[int, tuple[float, int]] = {}

    def launch(item: tuple[float, int]) -> None:
        nonlocal requests
        requests += 1
        station.start(now, item[0])
        under_way[station.count] = item

    while done < load.items:
        while waiting and busy < int(control.limit) and control.permits(now) > 0:
            control.took(now)
            busy += 1
            launch(waiting.popleft())
        ends = station.next_at()
        retry = held[0][0] if held else math.inf
        wake = control.wake_at(now) if waiting and busy < int(control.limit) else None
        soonest = min(ends, retry, math.inf if wake is None else wake)
        assert soonest < math.inf, "nothing will ever happen"
        assert soonest >= now - 1e-9, "time goes backwards"
        now = max(now, soonest)
        if ends <= soonest:
            number = station.jobs[0][1]
            _, started, ok, after = station.end(now)
            item = under_way.pop(number)
            if ok:
                done += 1
                control.ended(now, started, busy)
                busy -= 1
            else:
                refused += 1
                item = (item[0], item[1] + 1)
                worst = max(worst, item[1])
                hold = control.rejected(now, started, busy, after)
                if hold is None:
                    busy -= 1
                    waiting.appendleft(item)
                else:
                    heapq.heappush(held, (now + hold, *item))
        elif retry <= soonest:
            _, size, count = heapq.heappop(held)
            launch((size, count))
    return Result(now, refused / requests, worst)


# ----------------------------------------------------------------------------------------------------------- tables


@cache
def best_fixed(load: Workload, seed: int) -> float:
    numbers = FIXED
    if load.rate:  # more workers only ask more often
        numbers = (4, 8, 16, 64) if load.rate < 1e6 and load.rate * load.seconds > 10 else (4, 8, 12, 16)
    return min(simulate(load, Fixed(n), seed).seconds for n in numbers)


CONTESTANTS: dict[str, Callable[..., Fixed]] = {
    "fixed 32": Fixed,
    "Vegas": Vegas,
    "Gradient2": Gradient2,
    "AIMD, latency > 5 s": AimdOnLatency,
    "**raddle**": Raddle,
}
LOGNORMAL = API[1]
#: what the shipped policies were not tuned on, or not first of all
VARIANTS = [
    *(replace(load, name=f"{load.name}, no Retry-After", retry_after="") for load in API),
    replace(LOGNORMAL, name="API 10/s, Retry-After exact", retry_after="exact"),
    replace(LOGNORMAL, name="API 10/s, rejects after 0.3 s", refusal=0.3),
    replace(LOGNORMAL, name="API 10/s without burst", burst=1),
    replace(LOGNORMAL, name="API 10/s without burst, no Retry-After", burst=1, retry_after=""),
    replace(LOGNORMAL, name="API 1/s without burst, 300 items", rate=1, burst=1, items=300),
    replace(LOGNORMAL, name="API 100/s, 5,000 items", rate=100, burst=100, items=5000),
    replace(LOGNORMAL, name="API 60 per 6 s, all at once", window=6.0),
    replace(LOGNORMAL, name="API 600 per minute, all at once, 6,000 items", window=60.0, items=6000),
    replace(LOGNORMAL, name="API rises 3 → 10/s", rate=3, later_rate=10),
    replace(LOGNORMAL, name="API 10/s, calls of 5 s", seconds=5.0),
    replace(LOGNORMAL, name="API takes 8 at once", rate=1e6, burst=1e6, at_once=8),
    replace(LOGNORMAL, name="API takes 8 at once, no Retry-After", rate=1e6, burst=1e6, at_once=8, retry_after=""),
    *(replace(load, name=f"waiting, {load.name.split(', ')[-1]}", cores=64, penalty=0) for load in CPU[:3]),
    replace(CPU[1], name="waiting, lognormal items, 10,000 items", cores=64, penalty=0, items=10_000),
    replace(CPU[1], name="CPU, 16 cores, lognormal items", cores=16),
    replace(CPU[0], name="CPU, 2 cores, equal items", cores=2),
    replace(CPU[1], name="CPU, 2 cores, lognormal items", cores=2),
    replace(CPU[3], name="disk that serves one, thrashes at once", cores=1, penalty=0.3),
    replace(CPU[1], name="CPU, lognormal items, 10,000 items", items=10_000),
    replace(CPU[1], name="CPU, lognormal items, 100 items", items=100),
]


def cell(load: Workload, make: Callable[..., Fixed], seeds: list[int]) -> str:
    if load.rate:
        seeds = seeds[:5]  # they differ little, and take long
    results = [simulate(load, make(seed=seed), seed) for seed in seeds]
    part = mean(best_fixed(load, seed) / result.seconds for seed, result in zip(seeds, results, strict=True))
    waste = f" ({100 * mean(result.waste for result in results):.1f} %)" if load.rate else ""
    return f"{100 * part:.0f}{waste}"


def table(loads: list[Workload], seeds: list[int], names: list[str]) -> None:
    worst = 0
    print("| workload | " + " | ".join(names) + " |\n" + "|---" * (1 + len(names)) + "|")
    for load in loads:
        print(
            f"| {load.name} | " + " | ".join(cell(load, CONTESTANTS[name], seeds) for name in names) + " |", flush=True
        )
        if load.rate:
            worst = max(worst, *(simulate(load, Raddle(seed=seed), seed).worst for seed in seeds[:5]))
    print(f"\nSeeds {seeds[0]} to {seeds[-1]}, of the services the first five.")
    print(f"No item of raddle's was rejected more than {worst} times.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(1, 31), help="of the items (default: 1 to 30)")
    parser.add_argument("--variants", action="store_true", help="raddle on what it was not tuned on, too")
    given = parser.parse_args()
    table(TABLE, list(given.seeds), list(CONTESTANTS))
    if given.variants:
        table(VARIANTS, list(given.seeds)[:5], ["**raddle**"])


if __name__ == "__main__":
    main()
