"""Random histories of the machine by the million, on all cores: python tests/chaos/histories.py [COUNT] [FIRST SEED].

raddle runs them, of course. A broken promise is a seed; the same seed replays it.
"""

from __future__ import annotations

import sys

import raddle
from raddle.testing import BrokenPromise, simulate

SLICE = 200


def live(first: int) -> tuple[int, int, list[str]]:
    """Live through `SLICE` histories; return steps, items, and what broke."""
    steps = items = 0
    broken: list[str] = []
    for seed in range(first, first + SLICE):
        try:
            world = simulate(seed)
        except BrokenPromise as error:
            broken.append(str(error).partition("\n")[0])
        else:
            steps += world.steps
            items += len(world.final)
    return steps, items, broken


def main(count: int, first: int) -> int:
    from report import Report  # beside this script

    steps = items = histories = 0
    broken: list[str] = []
    with raddle.run(live, range(first, first + count, SLICE), backend="processes", progress="line") as run:
        for some_steps, some_items, found in run.values():
            steps += some_steps
            items += some_items
            histories += SLICE
            broken += found
    took = run.summary.seconds
    print(f"{histories:,} histories, {steps:,} steps, {items:,} items in {took:,.0f} s: {len(broken)} broken")
    print("\n".join(broken[:20]))
    if not broken:
        report = Report("tests/chaos/histories.py", seed=first, passed=True)
        report.add(histories=histories, steps=steps, items=items, broken=0)
        report.write(took, full=True)
    return 1 if broken else 0


if __name__ == "__main__":
    given = [int(word.replace("_", "")) for word in sys.argv[1:]]
    sys.exit(main(*(given + [100_000, 0][len(given) :])))
