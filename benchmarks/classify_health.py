"""Does the service of `raddle classify` answer at once while clients with thousands of items come and go?

    python benchmarks/classify_health.py [--quick] [--items N] [--rounds N]

The server, an upstream stub of 200 ms, the clients and who asks for `/health` are processes of their own. Three clients
send a catalogue each to `/classify-category` at the same moment, and hang up together when a quarter of all is done.
Once the stub labels, once the offline models, which take all CPUs.

`/health` is asked every 10 ms, on one connection; those questions that a long wait kept from being asked count as well,
each from the moment at which it was due. Beside it stands **the machine**: how much longer than asked a process that
only sleeps has slept in the same seconds. What that lacks of a CPU, the server lacks too.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from _common import Calls, Entry, Options, Report, chosen, measure, number, parse, serve, spread

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

CLIENTS, LATENCY, EVERY, GOAL = 3, 0.2, 0.01, 50.0
#: share of all items after which the clients hang up
UNTIL = 0.25
WORK, OFFLINE = "raddle: three clients come and go", "raddle: the same, labelled offline"
IDLE = "raddle: nobody else"


# ----------------------------------------------------------------------------------------------------- the processes


def server(url: str, folder: str, port: str) -> None:
    from raddle.workloads.classify.service.serve import serve as until_signal
    from raddle.workloads.classify.service.settings import ServiceSettings
    from raddle.workloads.classify.settings import EndpointSettings, Settings, in_flight, make_provider

    settings = Settings()
    if url:
        settings = Settings(provider="openai", endpoints=(EndpointSettings(url=url, model="stub"),))
    service = ServiceSettings(jobs=Path(folder), port=int(port), workers=in_flight(settings))
    until_signal(service, make_provider(settings))


def prober(port: str) -> None:
    """Ask until standard input ends; print the waits in milliseconds."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    link, waits = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30), []
    due = time.perf_counter()
    while not ended.is_set():
        link.request("GET", "/health")
        if link.getresponse().read()[:1] != b"{":
            raise RuntimeError("/health did not answer")
        answered = time.perf_counter()
        while due <= answered:  # those that could not be asked meanwhile would have waited until now
            waits.append(1000 * (answered - due))
            due += EVERY
        time.sleep(due - answered)
    print(json.dumps(waits))


def sleeper() -> None:
    """Sleep until standard input ends; print how much too long, in milliseconds."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    late = []
    while not ended.is_set():
        due = time.perf_counter() + EVERY
        time.sleep(EVERY)
        late.append(1000 * (time.perf_counter() - due))
    print(json.dumps(late))


ROLES = {"server": server, "prober": prober, "sleeper": sleeper}


@contextmanager
def role(name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, __file__, name, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def figures_of(process: subprocess.Popen[bytes]) -> list[float]:
    out, _ = process.communicate()
    found: list[float] = json.loads(out)
    return sorted(found)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until_it_answers(port: int) -> None:
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server does not answer")


# --------------------------------------------------------------------------------------------------------- the clients


def body(items: int) -> bytes:
    words = "A comfortable piece for the living room, made of solid wood and linen. " * 4
    rows = [
        {
            "product_name": f"Corner sofa {i}",
            "type": "Seating",
            "tags": ["modern", "wood", f"item {i} category=SOFA"],
            "description": words,
            "price_range_usd": "200-400",
        }
        for i in range(items)
    ]
    return json.dumps({"data": rows, "toggle": 1}).encode()


async def come_and_go(port: int, items: int) -> int:
    """Return how many items were done when the clients hung up."""
    import aiohttp

    sent, done, enough = body(items), 0, asyncio.Event()

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal done
        url = f"http://127.0.0.1:{port}/classify-category"
        async with session.post(url, data=sent, headers={"Content-Type": "application/json"}) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data:"):
                    done += len(json.loads(line[5:])["results"])
                if done >= UNTIL * CLIENTS * items:
                    enough.set()

    async with aiohttp.ClientSession(read_bufsize=2**20) as session:
        clients = [asyncio.create_task(client(session)) for _ in range(CLIENTS)]
        await enough.wait()
        for one in clients:
            one.cancel()  # which closes its connection
        await asyncio.wait(clients)
    return done


def health(*, items: int, offline: bool) -> dict[str, Any]:
    from raddle.testing.upstream import Plan, upstream_process

    port = free_port()
    with (
        TemporaryDirectory() as folder,
        upstream_process(Plan(latency=LATENCY)) as upstream,
        role("server", "" if offline else upstream.url, folder, str(port)),
    ):
        until_it_answers(port)
        if items:  # imports, the first connections
            asyncio.run(come_and_go(port, 200))
        with role("sleeper") as machine, role("prober", str(port)) as asking:
            time.sleep(0.5)
            done = asyncio.run(come_and_go(port, items)) if items else time.sleep(5)
            time.sleep(1.5)
            waits, late = figures_of(asking), figures_of(machine)
    return {
        "asked": len(waits),
        "done": done,
        "median": waits[len(waits) // 2],
        "p99": waits[int(len(waits) * 0.99)],
        "worst": waits[-1],
        "machine_p99": late[int(len(late) * 0.99)],
        "machine": late[-1],
    }


CALLS: Calls = {"health": health}


# ------------------------------------------------------------------------------------------------------------ the rest


def table(report: Report, found: Sequence[Entry]) -> None:
    rows = [
        [
            entry.name,
            entry.trouble or number(entry.median("asked"), "{:.0f}"),
            number(entry.median("median"), "{:.1f}"),
            number(entry.median("p99"), "{:.1f}"),
            number(entry.median("worst"), "{:.1f}"),
            spread(entry.values("worst"), "{:.1f}"),
            number(entry.median("machine_p99"), "{:.1f}"),
            number(entry.median("machine"), "{:.1f}"),
        ]
        for entry in found
    ]
    head = ("", "asked", "median ms", "p99 ms", "worst ms", "spread", "the machine, p99", "worst")
    report.table(head, rows)


def extra(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, default=0, help="of each client (default 3000)")


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        ROLES[sys.argv[1]](*sys.argv[2:])
        return
    serve(CALLS)
    options: Options = parse(__doc__, rounds=3, extra=extra)
    report = Report("classify: /health while clients come and go", options)
    items = options.extra.items or options.pick(3000, 300)
    found = chosen(
        [
            Entry(group="", name=name, call="health", params={"items": many, "offline": name == OFFLINE}, limit=120)
            for name, many in ((WORK, items), (OFFLINE, items), (IDLE, 0))
        ],
        options,
    )
    measure(found, options)
    table(report, found)
    for entry in found[:1]:
        worst = entry.median("worst")
        report.goal("worst wait for /health, ms", f"≤ {GOAL:g}", worst, met=(worst or GOAL + 1) <= GOAL, form="{:.1f}")
    report.end(found)


if __name__ == "__main__":
    main()
