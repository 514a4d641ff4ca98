"""How much of two CPUs reaches the items? CPU-bound items of 1, 10 and 100 ms, and a mix of short and long ones.

    python benchmarks/efficiency.py

An item keeps its CPU busy for so much CPU time of its own thread, and says how much it really was. Efficiency is the
sum of that by (workers x wall time), from making the pool to having ended it. The first row is what the machine itself
gives in the same round: as many bare processes that only spin, without any library.
"""

from __future__ import annotations

import os
import time
from typing import Any

from _common import (
    WORKERS,
    Calls,
    Entry,
    Options,
    Report,
    by_group,
    chosen,
    measure,
    number,
    parse,
    ratio,
    serve,
    spread,
)
from _items import spin
from _peers import NEEDS, OPEN, exhaust, value_of

#: (milliseconds, items), for about 3 s of CPU time in all, half of that for the mix
MIXES: dict[str, list[tuple[float, int]]] = {
    "1 ms": [(1, 3000)],
    "10 ms": [(10, 300)],
    "100 ms": [(100, 30)],
    "skew": [(0.1, 5000), (50, 20)],
}
GOALS = {"1 ms": 0.95, "10 ms": 0.98, "skew": 0.95}

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def items_of(mix: list[list[float]]) -> list[float]:
    return [milliseconds for milliseconds, count in mix for _ in range(int(count))]


def run(peer: str, mix: list[list[float]], chunk: int = 0) -> dict[str, Any]:
    items = items_of(mix)
    with OPEN[peer](spin, [0.01] * (4 * WORKERS), 1) as results:
        exhaust(results)
    began = time.perf_counter()
    busy = 0.0
    with OPEN[peer](spin, items, chunk) as results:
        for result in results:
            busy += value_of(result)
    wall = time.perf_counter() - began
    return {"efficiency": busy / (WORKERS * wall), "wall": wall}


def bare(mix: list[list[float]]) -> dict[str, Any]:
    milliseconds = sum(length * count for length, count in mix)
    began = time.perf_counter()
    children = []
    for _ in range(WORKERS):
        child = os.fork()
        if child == 0:
            spin(milliseconds / WORKERS)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    wall = time.perf_counter() - began
    return {"efficiency": milliseconds / 1000 / (WORKERS * wall), "wall": wall}


CALLS: Calls = {"run": run, "bare": bare}

# --------------------------------------------------------------------------------------------------------- the script


def contestants(options: Options) -> list[Entry]:
    def entry(group: str, peer: str, note: str = "", chunk: int = 0) -> Entry:
        params = {"peer": peer, "mix": mixes[group], "chunk": chunk}
        return Entry(group, f"{peer}{note}", "run", params, NEEDS.get(peer, ""), 60, 0 if peer in often else 1)

    scale = options.pick(1.0, 0.02)
    mixes = {name: [(ms, max(1, int(count * scale))) for ms, count in mix] for name, mix in MIXES.items()}
    often = {"raddle processes", "Pool.imap_unordered", "joblib loky"}
    found = []
    for group, mix in mixes.items():
        if options.quick and group not in {"1 ms", "skew"}:
            continue
        found.append(Entry(group, "bare processes, no library", "bare", {"mix": mix}))
        found += [
            entry(group, "raddle processes"),
            entry(group, "Pool.imap_unordered"),
            entry(group, "Pool.map"),
            entry(group, "ProcessPoolExecutor.map", ", default"),
            entry(group, "ProcessPoolExecutor.map", ", chunk 16", 16),
            entry(group, "joblib loky"),
            entry(group, "mpire map", ", default"),
            entry(group, "mpire map", ", chunk 1", 1),
            entry(group, "pebble ProcessPool.map"),
        ]
        if group != "skew":
            found += [entry(group, "dask client.map"), entry(group, "ray")]
    return found


def main() -> None:
    options = parse(__doc__, rounds=3)
    report = Report(f"Efficiency on {WORKERS} CPUs", options)
    entries = chosen(contestants(options), options)
    measure(entries, options)
    rows = []
    groups = dict(by_group(entries))
    for name in dict.fromkeys(entry.name for entry in entries):
        cells = [name]
        for group, members in groups.items():
            entry = next((one for one in members if one.name == name), None)
            floor = next((one.median("efficiency") for one in members if one.name.startswith("bare")), None)
            found = entry.median("efficiency") if entry else None
            if entry is None or found is None:
                cells += [entry.trouble if entry else "", ""]
                continue
            cells += [f"{100 * found:.1f} ({spread([100 * v for v in entry.values('efficiency')], '{:.0f}')})"]
            cells += [ratio(found, floor)]
            if entry.ours and group in GOALS:
                goal = f">= {100 * GOALS[group]:.0f} (the machine gave {number(floor and 100 * floor, '{:.1f}')})"
                met = found >= GOALS[group]
                report.goal(f"efficiency in %, items of {group}", goal, 100 * found, met=met, form="{:.1f}")
        rows.append(cells)
    head = ["what"]
    for group in groups:
        head += [f"{group}: % (min – max)", "by bare"]
    note = "skew: 5,000 items of 0.1 ms, then 20 of 50 ms. 'by bare': the figure by that of the bare processes."
    report.table(head, rows, note=note)
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
