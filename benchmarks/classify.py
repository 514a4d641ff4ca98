"""How near does classifying come to what the endpoint allows? 64 calls in flight, 200 ms each, stub in its own process.

    python benchmarks/classify.py [--quick] [--items N]

- **200 ms**: nothing goes wrong; the ideal is 64 / 0.2 s = 320 items a second.
- **stragglers**: 2 % of the calls take 3 s; the mean of 0.256 s puts the ideal at 250.
- **halved**: 64 slots and 8 places before them, beyond which 429 comes at once; 32 slots in the middle third. The ideal
  is what the slots could do. Once without Retry-After, once with one of a second, which must be obeyed and so costs.

raddle is `raddle.arun(provider.label, ...)` with the provider of `raddle classify`: queue, limits, breaker, retries and
all. The bare loop is aiohttp, gather and a semaphore, and asks again 50 ms after a 429. The seed's design is told anew
from its description: threads of a new pool for each batch of ten, batch after batch, 0.1 s between them, a blocking
client. All send the same words.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from _common import Calls, Entry, Options, Report, by_group, chosen, measure, number, parse, ratio, serve, spread

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from raddle.testing.upstream import UpstreamProcess
    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.upstream.prompt import Prompt
    from raddle.workloads.classify.values import Product

IN_FLIGHT, LATENCY = 64, 0.2
SHARE, STRAGGLER = 0.02, 3.0
PLAIN, SLOW, HALVED, TOLD = "200 ms", "stragglers", "halved", "halved, Retry-After: 1"
RADDLE, BARE, SEED, SEED_32 = "raddle", "bare aiohttp loop", "the seed's design", "the seed's design, 32 threads"


# ---------------------------------------------------------------------------------------------------------- the stub


def ideal_seconds(group: str, items: int) -> float:
    mean = LATENCY if group != SLOW else (1 - SHARE) * LATENCY + SHARE * STRAGGLER
    full = items * mean / IN_FLIGHT
    # A third of the time at half the slots is a sixth of the work.
    return full if group in (PLAIN, SLOW) else full / (1 - 1 / 6)


@contextmanager
def stub(group: str, seconds: float) -> Iterator[UpstreamProcess]:
    from raddle.testing.upstream import Plan, upstream_process

    plan = Plan(latency=LATENCY)
    if group == SLOW:
        plan = Plan(latency=LATENCY, stragglers=SHARE, straggler=STRAGGLER)
    elif group in (HALVED, TOLD):
        changes = ((seconds / 3, IN_FLIGHT // 2), (seconds * 2 / 3, IN_FLIGHT))
        wait = 1.0 if group == TOLD else None
        plan = Plan(latency=LATENCY, capacity=IN_FLIGHT, queue=8, changes=changes, retry_after=wait)
    with upstream_process(plan) as upstream:
        yield upstream


def asked(product: Product, prompt: Prompt) -> bytes:
    return prompt.data("stub", prompt.messages(product), "json_schema")


def products(count: int) -> list[Product]:
    from raddle.workloads.classify.values import Product

    names = ("Corner sofa", "Oak table", "Bunk bed", "Floor lamp")
    return [
        Product(id=str(i), text=f"Name: {names[i % 4]} {i} | Tags: modern, wood | item={i} category=SOFA")
        for i in range(count)
    ]


# ------------------------------------------------------------------------------------------------------ contestants


async def by_raddle(url: str, items: list[Product], taxonomy: Taxonomy) -> int:
    import raddle
    from raddle.workloads.classify.upstream import Endpoint, OpenAI

    provider = OpenAI([Endpoint(url=url, model="stub", max_in_flight=IN_FLIGHT)], taxonomy)
    labels = 0
    try:
        # as `raddle classify` does: some wait at the door, so that a free place is taken at once; 64 calls go out
        async with raddle.arun(provider.label, items, workers=IN_FLIGHT + IN_FLIGHT // 4, timeout=60) as run:
            async for outcome in run:
                labels += outcome.ok and outcome.value.category == "SOFA"
    finally:
        await provider.aclose()
    return labels


async def by_loop(url: str, items: list[Product], taxonomy: Taxonomy) -> int:
    import aiohttp

    from raddle.workloads.classify.upstream.prompt import Prompt

    prompt, semaphore = Prompt(taxonomy), asyncio.Semaphore(IN_FLIGHT)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(item: Product) -> bool:
            async with semaphore:
                data = asked(item, prompt)
                while True:
                    async with session.post(f"{url}/chat/completions", data=data, headers=headers) as answer:
                        if answer.status == 200:
                            said = json.loads(await answer.read())
                            return bool(json.loads(said["choices"][0]["message"]["content"])["category"] == "SOFA")
                    await asyncio.sleep(0.05)

        return sum(await asyncio.gather(*(call(item) for item in items)))


async def by_seed(url: str, items: list[Product], taxonomy: Taxonomy, threads: int = 0) -> int:
    from raddle.workloads.classify.upstream.prompt import Prompt

    prompt, local, address = Prompt(taxonomy), threading.local(), urlsplit(url)
    workers = threads or min(32, (os.cpu_count() or 1) + 4)
    loop = asyncio.get_running_loop()

    def call(item: Product) -> bool:
        if not hasattr(local, "link"):
            local.link = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        data = asked(item, prompt)
        while True:
            local.link.request("POST", "/v1/chat/completions", data, {"Content-Type": "application/json"})
            answer = local.link.getresponse()
            said = json.loads(answer.read())
            if answer.status == 200:
                return bool(json.loads(said["choices"][0]["message"]["content"])["category"] == "SOFA")
            time.sleep(0.5)  # as its client library does, unseen

    labels = 0
    for first in range(0, len(items), 10):
        with ThreadPoolExecutor(max_workers=workers) as pool:
            futures = [loop.run_in_executor(pool, call, item) for item in items[first : first + 10]]
            labels += sum(await asyncio.gather(*futures))
        await asyncio.sleep(0.1)
    return labels


async def by_seed_32(url: str, items: list[Product], taxonomy: Taxonomy) -> int:
    return await by_seed(url, items, taxonomy, threads=32)


WAYS: dict[str, Callable[[str, list[Product], Taxonomy], Any]] = {
    RADDLE: by_raddle,
    BARE: by_loop,
    SEED: by_seed,
    SEED_32: by_seed_32,
}


def classify(*, group: str, way: str, items: int) -> dict[str, Any]:
    from raddle.workloads.classify.taxonomy import load_taxonomy

    taxonomy, work, seconds = load_taxonomy(), WAYS[way], ideal_seconds(group, items)
    with stub(PLAIN, 0) as upstream:
        asyncio.run(work(upstream.url, products(8), taxonomy))
    with stub(group, seconds) as upstream:
        given = products(items)
        began, cpu = time.perf_counter(), time.process_time()
        labels = asyncio.run(work(upstream.url, given, taxonomy))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        seen = upstream.seen()
    if labels != items:
        raise RuntimeError(f"{items - labels} of {items} items got no label")
    return {
        "rate": items / took,
        "share": seconds / took,
        "cpu_ms": 1000 * cpu / items,
        "rejected": seen.statuses[429] / seen.calls,
        "in_flight": seen.most_in_flight,
        "calls": seen.calls / items,
    }


CALLS: Calls = {"classify": classify}


# ----------------------------------------------------------------------------------------------------------- the rest


def entries(options: Options) -> list[Entry]:
    many = options.extra.items or options.pick(6400, 640)
    few = options.pick(300, 30)
    ways = {
        PLAIN: (RADDLE, BARE, SEED, SEED_32),
        SLOW: (RADDLE, BARE, SEED),
        HALVED: (RADDLE, BARE),
        TOLD: (RADDLE, BARE),
    }
    return [
        Entry(
            group=group,
            name=way,
            call="classify",
            params={"group": group, "way": way, "items": few if way in (SEED, SEED_32) else many},
            limit=180,
        )
        for group, contestants in ways.items()
        for way in contestants
    ]


def table(report: Report, group: str, found: list[Entry]) -> None:
    seed = next((entry.median("rate") for entry in found if entry.name == SEED), None)
    rows = [
        [
            entry.name,
            entry.trouble or number(entry.median("rate"), "{:.1f}"),
            number(entry.median("share"), "{:.3f}"),
            spread(entry.values("share"), "{:.3f}"),
            ratio(entry.median("rate"), seed),
            number(entry.median("cpu_ms")),
            number(entry.median("rejected"), "{:.2%}"),
            number(entry.median("in_flight"), "{:.0f}"),
        ]
        for entry in found
    ]
    head = ("", "items/s", "share of ideal", "spread", "× the seed's", "CPU ms/item", "calls rejected", "in flight")
    report.table(head, rows, title=group)


def goals(report: Report, found: dict[tuple[str, str], Entry]) -> None:
    def median(group: str, name: str, what: str) -> float | None:
        entry = found.get((group, name))
        return entry.median(what) if entry else None

    plain, seed = median(PLAIN, RADDLE, "share"), median(PLAIN, SEED, "rate")
    report.goal("share of ideal, 200 ms", "≥ 0.95", plain, met=(plain or 0) >= 0.95, form="{:.3f}")
    ours = median(PLAIN, RADDLE, "rate")
    if ours and seed:
        report.goal("times the seed's design", "≥ 15", ours / seed, met=ours / seed >= 15, form="{:.1f}")
    halved, rejected = median(HALVED, RADDLE, "share"), median(HALVED, RADDLE, "rejected")
    report.goal("share of ideal, halved", "≥ 0.95", halved, met=(halved or 0) >= 0.95, form="{:.3f}")
    report.goal("rejected, halved", "< 1 %", rejected, met=(rejected or 0) < 0.01, form="{:.2%}")


def extra(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, default=0, help="of raddle and the bare loop (default 6400)")


def main() -> None:
    serve(CALLS)
    options = parse(__doc__, rounds=1, extra=extra)
    report = Report("classify: what reaches the endpoint", options)
    found = chosen(entries(options), options)
    measure(found, options)
    for group, some in by_group(found):
        table(report, group, some)
    goals(report, {(entry.group, entry.name): entry for entry in found})
    report.end(found)


if __name__ == "__main__":
    main()
