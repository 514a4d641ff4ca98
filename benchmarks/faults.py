"""Items that hang, and items that kill their worker: what do they cost the others?

    python benchmarks/faults.py

- 200 items of 10 ms, of which items 3 and 4 hang; 1 s timeout, two workers. Ideal: two timed out, 198 ok, after 2 s.
  They hang asleep; in one call of C code that looks at no signal; in a loop that swallows every exception; or in a
  program that they started. Left over: processes of these items that are alive when the call has ended.
- 1,000 items of 1 ms, of which item 100 kills its worker with SIGKILL. Ideal: 999 ok.

A contestant that hangs is ended by a watchdog, and what it had done by then is shown.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _items
import raddle
from _common import (
    WORKERS,
    Calls,
    Entry,
    Options,
    Report,
    by_group,
    chosen,
    give_up_after,
    measure,
    parse,
    serve,
)
from _peers import NEEDS, OPEN, package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HANGS = {"asleep": "hang_sleep", "in C": "hang_in_c", "swallows": "hang_swallow", "in a program": "hang_in_child"}
ITEMS, HANGING, TIMEOUT = 200, 2, 1.0

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def ours(backend: str, func: Callable[[int], int]) -> Iterator[bool]:
    with raddle.run(func, range(ITEMS), backend=backend, workers=WORKERS, timeout=TIMEOUT) as run:
        for outcome in run:
            yield outcome.ok


def pebble_schedule(func: Callable[[int], int]) -> Iterator[bool]:
    pebble = package("pebble")

    with pebble.ProcessPool(max_workers=WORKERS) as pool:
        futures = [pool.schedule(func, args=[item], timeout=TIMEOUT) for item in range(ITEMS)]
        for future in futures:
            yield future.exception() is None


def pebble_map(func: Callable[[int], int]) -> Iterator[bool]:
    pebble = package("pebble")

    with pebble.ProcessPool(max_workers=WORKERS) as pool:
        yield from each(pool.map(func, range(ITEMS), timeout=TIMEOUT).result())


def mpire_apply(func: Callable[[int], int]) -> Iterator[bool]:
    mpire = package("mpire")

    with mpire.WorkerPool(n_jobs=WORKERS) as pool:
        results = [pool.apply_async(func, (item,), task_timeout=TIMEOUT) for item in range(ITEMS)]
        for result in results:
            try:
                result.get()
            except Exception:  # noqa: BLE001 - whatever it makes of a timeout
                yield False
            else:
                yield True


def mpire_imap(func: Callable[[int], int]) -> Iterator[bool]:
    mpire = package("mpire")

    with mpire.WorkerPool(n_jobs=WORKERS) as pool:
        yield from each(pool.imap(func, range(ITEMS), chunk_size=1, task_timeout=TIMEOUT))


def each(results: Iterable[Any]) -> Iterator[bool]:
    """Take result by result and go on after an error, for as long as the iterator does."""
    source = iter(results)
    while True:
        try:
            result = next(source)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - whatever it makes of a timeout or a dead worker
            yield False
        else:
            yield result.ok if isinstance(result, raddle.Outcome) else True


TIMEOUTS: dict[str, Callable[[Any], Iterator[bool]]] = {
    "raddle processes": lambda func: ours("processes", func),
    "raddle threads": lambda func: ours("threads", func),
    "pebble schedule": pebble_schedule,
    "pebble map": pebble_map,
    "mpire apply_async": mpire_apply,
    "mpire imap": mpire_imap,
}


def count(states: Iterator[bool], cap: float) -> dict[str, Any]:
    """Count what is ok and what is not, and stop at the cap, for what hangs."""
    found: dict[str, Any] = {"ok": 0, "bad": 0}
    began = time.perf_counter()
    give_up_after(cap, lambda: {**found, "hangs": True})
    for ok in states:
        found["ok" if ok else "bad"] += 1
        found["last"] = time.perf_counter() - began
    return {**found, "seconds": time.perf_counter() - began}


def hang(peer: str, func: str, cap: float) -> dict[str, Any]:
    found = count(TIMEOUTS[peer](getattr(_items, func)), cap)
    time.sleep(0.2)
    return {**found, "left": sleepers()}


def sleepers() -> int:
    """Return how many of the programs that the items started are still there: `sleep 3600` with our mark."""
    mark = f"BENCH_MARK={os.environ['BENCH_MARK']}".encode()
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cmdline").read_bytes().startswith(b"sleep\x003600"):
                    found += mark in (entry / "environ").read_bytes()
            except OSError:
                continue
    return found


def die(peer: str, cap: float, items: int, chunk: int = 0) -> dict[str, Any]:
    if peer in {"dask client.map", "ray"}:
        with OPEN[peer](_items.nothing, range(WORKERS)):
            pass  # start the cluster

    def states() -> Iterator[bool]:
        with OPEN[peer](_items.die_at_100, range(items), chunk) as results:
            yield from each(results)

    try:
        return count(states(), cap)
    except Exception as error:  # noqa: BLE001 - what a peer makes of it is the question
        return {"ok": None, "bad": None, "raised": type(error).__name__}


CALLS: Calls = {"hang": hang, "die": die}

# --------------------------------------------------------------------------------------------------------- the script


def hanging(report: Report, options: Options) -> list[Entry]:
    cap = options.pick(12.0, 6.0)
    entries = []
    for state, func in HANGS.items():
        if options.quick and state != "asleep":
            continue
        for name in TIMEOUTS:
            if name == "raddle threads" and state != "asleep":
                continue  # no thread can be stopped in C, and one that swallows everything is a thread all the same
            params = {"peer": name, "func": func, "cap": cap}
            needs = "" if name.startswith("raddle") else name.split()[0]
            entries.append(Entry(state, name, "hang", params, needs, cap + 8, 1))
    entries = chosen(entries, options)
    measure(entries, options)
    groups = dict(by_group(entries))
    rows = []
    for name in dict.fromkeys(entry.name for entry in entries):
        cells = [[hang_cell(entry) for entry in members if entry.name == name] for members in groups.values()]
        rows.append([name, *(cell[0] if cell else "–" for cell in cells)])
    title = f"{ITEMS} items of 10 ms, {HANGING} of them hang, {TIMEOUT:.0f} s timeout"
    note = "ok / not ok, seconds in all. Ideal: 198 / 2, 2.0 s. Left: programs of the items that are still alive."
    report.table(("what", *groups), rows, title=title, note=note)
    for entry in entries:
        seconds = entry.median("seconds")
        if entry.name == "raddle processes" and seconds:
            right = entry.results[0]["ok"] == ITEMS - HANGING and entry.results[0]["bad"] == HANGING
            met = right and seconds <= 2.4 and not entry.results[0]["left"]
            report.goal(f"s for all with 2 that hang {entry.group}, 198 ok, none left", "<= 2.4", seconds, met=met)
    return entries


def hang_cell(entry: Entry) -> str:
    if entry.trouble:
        return entry.trouble
    found = entry.results[0]
    text = f"{found['ok']} / {found['bad']}, "
    text += f"{found['seconds']:.1f} s" if "seconds" in found else f"hangs (after {entry.params['cap']:.0f} s)"
    return text + (f", {found['left']} left" if found.get("left") else "")


def dying(report: Report, options: Options) -> list[Entry]:
    cap, items = options.pick(12.0, 6.0), options.pick(1000, 200)

    def entry(peer: str, note: str = "", chunk: int = 0) -> Entry:
        params = {"peer": peer, "cap": cap, "items": items, "chunk": chunk}
        return Entry("die", f"{peer}{note}", "die", params, NEEDS.get(peer, ""), cap + 30, 1)

    entries = [
        entry("raddle processes"),
        entry("pebble ProcessPool.map", ", chunk 1", 1),
        entry("pebble ProcessPool.map", ", chunk 50", 50),
        entry("ProcessPoolExecutor.map"),
        entry("Pool.imap_unordered"),
        entry("joblib loky"),
        entry("mpire imap"),
        entry("dask client.map"),
        entry("ray"),
    ]
    entries = chosen(entries, options)
    measure(entries, options)
    rows: list[tuple[Any, ...]] = []
    for one in entries:
        if one.trouble:
            rows.append((one.name, one.trouble, "", ""))
            continue
        found = one.results[0]
        ok, bad = found["ok"], found["bad"]
        if "raised" in found:
            rows.append((one.name, 0, "", f"raises {found['raised']} for the whole call"))
            continue
        end = f"{found['seconds']:.2f} s" if "seconds" in found else f"hangs (ended after {cap:.0f} s)"
        rows.append((one.name, ok, bad, end))
        if one.ours:
            report.goal(
                f"items ok of {items:,}, one kills its worker", f"{items - 1}", ok, met=ok == items - 1, form="{:.0f}"
            )
    head = ("what", "ok", "not ok", "time")
    report.table(
        head, rows, title=f"{items:,} items of 1 ms, one kills its worker", note=f"Ideal: {items - 1:,} ok, 1 not."
    )
    return entries


def main() -> None:
    options = parse(__doc__, rounds=1)
    report = Report("Items that hang, items that kill", options)
    entries = hanging(report, options)
    entries += dying(report, options)
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
