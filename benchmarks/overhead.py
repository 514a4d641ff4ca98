"""What one item costs when the work itself costs nothing: raddle beside what people use today.

    python benchmarks/overhead.py [--payload]

A figure is the wall time of one whole call, from making the pool to having ended it, by the number of items. Each is
taken in a fresh interpreter, after one short call that pays for imports, clusters and kept pools. raddle runs with its
default settings; where a peer has a chunksize, its default and the best of five stand side by side.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import _items
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
    run_entry,
    say,
    serve,
    spread,
)
from _peers import NEEDS, OPEN, OPEN_ASYNC, exhaust

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

CHUNKS = (32, 256, 1024, 4096, 16384)
MEGABYTE = 1_000_000
#: they take many seconds to start, so they run in one round only
CLUSTERS = {"dask client.map", "ray"}

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def bare(count: int) -> dict[str, Any]:
    began = time.perf_counter()
    exhaust([_items.nothing(item) for item in range(count)])
    return {"us": (time.perf_counter() - began) / count * 1e6}


def call(peer: str, count: int, chunk: int = 0, func: str = "nothing") -> dict[str, Any]:
    """Time one call. `chunk=-1`: try all of CHUNKS on a quarter of the items first, and take the best."""
    timed(peer, min(count, 1000), max(chunk, 0), func)
    if chunk < 0:
        chunk = min(CHUNKS, key=lambda size: timed(peer, count // 4, size, func))
    return {"us": timed(peer, count, chunk, func) / count * 1e6, "chunk": chunk}


def timed(peer: str, count: int, chunk: int, func: str) -> float:
    began = time.perf_counter()
    with OPEN[peer](getattr(_items, func), range(count), chunk) as results:
        got = exhaust(results)
    seconds = time.perf_counter() - began
    assert got == count, f"{got} of {count} results"
    return seconds


def call_async(peer: str, count: int) -> dict[str, Any]:
    async def consume(items: int) -> int:
        got = 0
        async for _ in OPEN_ASYNC[peer](_items.nothing_async, range(items)):
            got += 1
        return got

    def once(items: int) -> float:
        began = time.perf_counter()
        got = asyncio.run(consume(items))
        assert got == items, f"{got} of {items} results"
        return time.perf_counter() - began

    once(min(count, 1000))
    return {"us": once(count) / count * 1e6}


def payload(peer: str, count: int, chunk: int = 0) -> dict[str, Any]:
    def items(many: int) -> Iterator[bytes]:
        for index in range(many):
            yield index.to_bytes(4, "big") * (MEGABYTE // 4)

    def once(many: int) -> float:
        began = time.perf_counter()
        with OPEN[peer](_items.enlarge, items(many), chunk) as results:
            assert exhaust(results) == many
        return time.perf_counter() - began

    once(WORKERS)
    return {"ms": once(count) / count * 1e3}


CALLS: Calls = {"bare": bare, "call": call, "call_async": call_async, "payload": payload}

# --------------------------------------------------------------------------------------------------------- the script


def contestants(options: Options) -> list[Entry]:
    scale = options.pick(1.0, 0.02)
    many, some, few, rare = (int(count * scale) for count in (1_000_000, 100_000, 10_000, 2_000))

    def entry(group: str, peer: str, count: int, note: str = "", **params: Any) -> Entry:
        name = f"{peer}, {note}" if note else peer
        rounds = 1 if peer in CLUSTERS else 0
        return Entry(group, name, "call", {"peer": peer, "count": count, **params}, NEEDS.get(peer, ""), 120, rounds)

    def both(group: str, peer: str, slow: int, fast: int) -> list[Entry]:
        return [entry(group, peer, slow, "default"), entry(group, peer, fast, "best chunk", chunk=-1)]

    def async_(peer: str, count: int, needs: str = "") -> Entry:
        return Entry("asyncio", peer, "call_async", {"peer": peer, "count": count}, needs, 120)

    return [
        Entry("serial", "a list comprehension", "bare", {"count": many}),
        entry("serial", "raddle serial", many),
        entry("threads", "raddle threads", many),
        entry("threads", "ThreadPoolExecutor.map", some, "default"),
        *both("threads", "ThreadPool.imap_unordered", some, many),
        *both("threads", "joblib threading", few, some),
        entry("threads", "mpire threads map", some, "default"),
        *both("threads", "pebble ThreadPool.map", few, some),
        entry("processes", "raddle processes", many),
        *both("processes", "ProcessPoolExecutor.map", few, many),
        *both("processes", "Pool.imap_unordered", few, many),
        entry("processes", "Pool.map", many, "default (all at the end)"),
        *both("processes", "joblib loky", some, some),
        *both("processes", "mpire map", some, some),
        *both("processes", "pebble ProcessPool.map", few, some),
        entry("processes", "ray", rare, "a task per item"),
        entry("processes", "ray", some, "batches of 500", chunk=500),
        entry("asyncio", "raddle asyncio", many, func="nothing_async"),
        async_("raddle arun", many),
        async_("asyncio.gather + Semaphore(64)", some),
        async_("aiometer.amap(64)", few, "aiometer"),
        entry("dask", "raddle dask", 2 * few),
        entry("dask", "dask client.map", rare),
    ]


def remember_chunks(entries: list[Entry]) -> None:
    """Find the best chunk once, before the rounds, so that all rounds measure the same thing."""
    for entry in entries:
        if entry.params.get("chunk") == -1 and entry.installed:
            say(f"which chunk is best: {entry.name}")
            found = run_entry(entry).get("chunk", CHUNKS[1])
            entry.params["chunk"] = found
            entry.name = entry.name.replace("best chunk", f"best chunk ({found:,})")


def no_op_table(report: Report, options: Options) -> list[Entry]:
    entries = chosen(contestants(options), options)
    if options.quick and not options.peers:
        entries = [entry for entry in entries if entry.group != "dask"]  # a cluster takes seconds to start
    remember_chunks(entries)
    measure(entries, options)
    rows = []
    for group, members in by_group(entries):
        ours = next((entry.median("us") for entry in members if entry.ours), None)
        for entry in members:
            found = entry.median("us")
            rows.append(
                (
                    f"{group}: {entry.name}",
                    f"{entry.params['count']:,}",
                    number(found) or entry.trouble,
                    spread(entry.values("us")),
                    ratio(ours, found),
                )
            )
            if entry.name in {"raddle threads", "raddle processes", "raddle asyncio", "raddle arun"} and found:
                report.goal(f"µs per no-op item, {entry.name}", "<= 1", found, met=found <= 1)
    report.table(("what", "items", "µs per item", "min – max", "raddle's time / theirs"), rows)
    return entries


def payload_table(report: Report, options: Options) -> list[Entry]:
    count = options.pick(400, 8)

    def entry(peer: str) -> Entry:
        rounds = 1 if peer in CLUSTERS else 0
        return Entry("payload", peer, "payload", {"peer": peer, "count": count}, NEEDS.get(peer, ""), 60, rounds)

    names = (
        "raddle processes",
        "ProcessPoolExecutor.map",
        "Pool.imap_unordered",
        "joblib loky",
        "mpire map",
        "pebble ProcessPool.map",
        "dask client.map",
        "ray",
    )
    entries = chosen([entry(name) for name in names], options)
    measure(entries, options)
    ours = next((entry.median("ms") for entry in entries if entry.ours), None)
    rows = [
        (e.name, number(e.median("ms")) or e.trouble, spread(e.values("ms")), ratio(ours, e.median("ms")))
        for e in entries
    ]
    report.table(
        ("1 MB in and 1 MB out", "ms per item", "min – max", "raddle's time / theirs"),
        rows,
        title=f"Large payloads, {WORKERS} processes, {count} items",
    )
    if ours:
        best = min((e.median("ms") or 1e9 for e in entries if not e.ours), default=1.9)
        report.goal("ms per item of 1 MB in and out", f"<= {best:.2f} (best peer)", ours, met=ours <= best)
    return entries


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--payload", action="store_true", help="only the items of 1 MB")


def main() -> None:
    options = parse(__doc__, rounds=3, extra=add_options)
    report = Report("What one item costs", options)
    entries = [] if options.extra.payload else no_op_table(report, options)
    entries += payload_table(report, options)
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
