"""A lazy source of a million items of 200 bytes: how soon, how far ahead, how much memory?

    python benchmarks/stream.py [--full]

Each contestant takes items from a generator and its results are taken one by one: the first, then a pause of one
second in which nobody takes anything, then the rest. What was read from the generator by the first result and after
the pause says whether it waits for its consumer. `--full`: ten million items too, raddle alone.

Memory is the highest resident memory of the program (its growth over the time before the call, too), and the sum of the
same of all processes that it started.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import _items
from _common import Calls, Entry, Report, chosen, give_up_after, measure, number, parse, peak_mb, serve
from _peers import NEEDS, OPEN, OPEN_ASYNC

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


class Source:
    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for index in range(self.count):
            self.read += 1
            yield b"%0200d" % index

    def __len__(self) -> int:
        return self.count


def run(peer: str, count: int, chunk: int = 0, cap: float = 30.0, pause: float = 1.0, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"before_mb": peak_mb()}
    taken = 0

    def now() -> dict[str, Any]:
        return {**found, "read": source.read, "taken": taken, "peak_mb": peak_mb(), "total": None}

    source = Source(count)
    lazy = iter(source)  # a generator: no length, no second pass
    give_up_after(cap, now)
    began = time.perf_counter()
    with OPEN[peer](_items.size, lazy, chunk, **options) as results:
        for _ in results:
            taken += 1
            if taken == 1:
                found |= {"first": time.perf_counter() - began, "read_first": source.read}
                time.sleep(pause)
                found["read_paused"] = source.read
    assert taken == count, f"{taken} of {count} results"
    return now() | {"total": time.perf_counter() - began}


def run_async(peer: str, count: int, cap: float = 30.0, pause: float = 1.0) -> dict[str, Any]:
    import asyncio

    found: dict[str, Any] = {"before_mb": peak_mb()}
    source = Source(count)
    taken = 0

    async def consume() -> None:
        nonlocal taken
        async for _ in OPEN_ASYNC[peer](size_async, iter(source)):
            taken += 1
            if taken == 1:
                found.update(first=time.perf_counter() - began, read_first=source.read)
                await asyncio.sleep(pause)
                found["read_paused"] = source.read

    def now() -> dict[str, Any]:
        return {**found, "read": source.read, "taken": taken, "peak_mb": peak_mb(), "total": None}

    give_up_after(cap, now)
    began = time.perf_counter()
    asyncio.run(consume())
    assert taken == count, f"{taken} of {count} results"
    return now() | {"total": time.perf_counter() - began}


async def size_async(item: bytes) -> int:
    return len(item)


CALLS: Calls = {"run": run, "run_async": run_async}

# --------------------------------------------------------------------------------------------------------- the script


def contestants(count: int, cap: float, *, pause: float = 1.0, alone: bool = False) -> list[Entry]:
    def entry(peer: str, chunk: int = 0, note: str = "", **options: Any) -> Entry:
        params = {"peer": peer, "count": count, "chunk": chunk, "cap": cap, "pause": pause, **options}
        name = f"{peer}{note}{f', chunk {chunk}' if chunk else ''}"
        return Entry(f"{count:,} items", name, "run", params, NEEDS.get(peer, ""), cap + 20, 1)

    def async_(peer: str, needs: str = "") -> Entry:
        params = {"peer": peer, "count": count, "cap": cap, "pause": pause}
        return Entry(f"{count:,} items", peer, "run_async", params, needs, cap + 20, 1)

    ours = [entry("raddle processes"), entry("raddle threads"), async_("raddle arun")]
    if alone:
        return ours
    return [
        *ours,
        entry("Pool.imap_unordered", 500),
        entry("ProcessPoolExecutor.map", 500),
        entry("joblib loky", note=" return_as=generator", return_as="generator"),
        entry("mpire imap", 500),
        entry("pebble ProcessPool.map", 500),
        entry("ThreadPool.imap_unordered", 500),
        entry("ThreadPoolExecutor.map"),
        async_("asyncio.gather + Semaphore(64)"),
        async_("aiometer.amap(64)", "aiometer"),
    ]


def row(entry: Entry, cap: float) -> tuple[str, ...]:
    first, total = entry.median("first"), entry.median("total")
    if entry.trouble:
        return (entry.name, entry.trouble, *[""] * 6)
    before, peak = entry.median("before_mb"), entry.median("peak_mb")
    done = number(total) if total is not None else f"> {cap:.0f} ({entry.results[0]['taken']:,} done)"
    return (
        entry.name,
        number(first and 1000 * first, "{:,.1f}") or f"none in {cap:.0f} s",
        number(entry.median("read_first"), "{:,.0f}"),
        number(entry.median("read_paused"), "{:,.0f}"),
        done,
        number(peak, "{:,.0f}"),
        number(None if peak is None or before is None else peak - before, "{:,.0f}"),
        number(entry.median("children_mb"), "{:,.0f}"),
    )


def main() -> None:
    options = parse(__doc__, rounds=1)
    report = Report("A lazy million", options)
    cap = options.pick(20.0, 10.0)
    entries = chosen(contestants(options.pick(1_000_000, 20_000), cap, pause=options.pick(1.0, 0.1)), options)
    if options.full:
        entries += chosen(contestants(10_000_000, 300.0, alone=True), options)
    measure(entries, options, watch=True)
    for group in dict.fromkeys(entry.group for entry in entries):
        head = ("what", "first result, ms", "read by then", "read after a pause of 1 s", "all, pause included, s")
        memory = ("peak MB", "growth MB", "children MB")
        members = [entry for entry in entries if entry.group == group]
        report.table((*head, *memory), [row(entry, cap) for entry in members], title=group)
        for entry in members:
            if entry.ours and not entry.trouble:
                growth = (entry.median("peak_mb") or 0) - (entry.median("before_mb") or 0)
                report.goal(f"MB of growth, {group}, {entry.name}", "<= 50", growth, met=growth <= 50, form="{:.0f}")
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
