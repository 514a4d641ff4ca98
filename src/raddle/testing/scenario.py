"""What a seed draws before a simulated history begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._engine.rules import Rules
from raddle._policy.rate import Rate
from raddle._policy.retry import Retry

if TYPE_CHECKING:
    import random

__all__ = ["Scenario", "draw"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is drawn from the seed before a history begins."""

    rules: Rules
    items: int
    keys: int
    #: probabilities of what an attempt does
    fails: float
    hangs: float
    crashes: float
    #: a service refuses, and says so many seconds (None: it does not say)
    rejects: float
    retry_after: float | None
    #: most memory that an item takes, as a part of the limit; 0: nobody looks
    memory: float
    #: the source raises after this many items
    source_error_at: int | None
    resumed: float
    interrupted: float
    #: seconds at which somebody stops the run, and how
    stop: tuple[float, str] | None
    #: seconds at which the backend or the journal breaks
    breaks: tuple[float, str] | None
    slow_consumer: float
    #: seconds at which a worker says what the first items were like: (wall, cpu, lag) of one
    measured: tuple[tuple[float, float, float, float], ...]


def draw(rng: random.Random) -> Scenario:
    """Draw a scenario."""
    chance = rng.random
    journaled = chance() < 0.4
    chunked = chance() < 0.6
    keyed = chance() < 0.3
    workers = rng.randint(1, 4)
    guarded = chance() < 0.2
    trial = rng.randrange(workers) if chance() < 0.3 else 0
    classes = ("light", "heavy")[: rng.randint(1, 2)]
    permits = {name: rng.randint(1, 3) for name in classes} if chance() < 0.25 else None
    rules = Rules(
        workers=workers,
        limit=(rng.randint(1, workers), 1, workers) if chance() < 0.2 else None,
        trial=trial,
        cpus=max(1, trial),
        guarded=guarded,
        rate=rng.choice([Rate(10, burst=0.5), Rate(20, units=30, cost=float)]) if chance() < 0.15 else None,
        max_chunk=rng.choice([2, 5, 64]) if chunked else 1,
        depth=rng.choice([1, 2]),
        # What is killed without a timeout is killed for memory: so the judge can tell one from the other.
        timeout=None if guarded else rng.choice([None, 0.5, 2.0]),
        retry=Retry(attempts=rng.choice([1, 1, 2, 4]), wait_initial=0.3, wait_max=3),
        on_error=rng.choice(["skip", "skip", "skip", "fail"]),
        ordered=chance() < 0.6,
        keyed=keyed,
        permits=permits,
        prioritized=chance() < 0.2,
        window=rng.choice([None, None, 1, 2, 7, 30]),
        grace=rng.choice([0.0, 0.2, 5.0]),
        journaled=journaled,
        report_unread=chance() < 0.5,
        max_interruptions=3,
        max_rejections=5,
    )
    breaks = (chance() * 5, rng.choice(["backend", "journal"] if journaled else ["backend"]))
    return Scenario(
        rules=rules,
        items=rng.choice([0, 1, 5, 20, 60, 120]),
        keys=rng.randint(1, 5),
        fails=rng.choice([0, 0, 0.1, 0.4]),
        hangs=rng.choice([0, 0, 0.1]) if rules.timeout is not None else 0,
        crashes=rng.choice([0, 0, 0.1]),
        rejects=rng.choice([0, 0, 0, 0.3]),
        retry_after=rng.choice([None, 0.0, 0.5, 2.0]),
        memory=rng.choice([0.1, 0.4, 0.9, 1.5]) if guarded else 0,
        source_error_at=rng.randint(0, 30) if chance() < 0.1 else None,
        resumed=rng.choice([0, 0.3, 1.0]) if journaled else 0,
        interrupted=rng.choice([0, 0.1]) if journaled else 0,
        stop=(chance() * 8, rng.choice(["close", "kill", "discard"])) if chance() < 0.3 else None,
        breaks=breaks if chance() < 0.05 else None,
        slow_consumer=rng.choice([0.0, 0.0, 0.3]),
        measured=tuple(
            (chance() * 2, 0.03, rng.choice([0.001, 0.03]), rng.choice([0.0, 0.005])) for _ in range(4 if trial else 0)
        ),
    )
