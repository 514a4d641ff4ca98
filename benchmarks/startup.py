"""How long before anything happens? Import, first result, and a whole program of one item.

    python benchmarks/startup.py

- import: a fresh `python -c "import X"` minus a fresh `python -c pass`, each the median of interleaved rounds; and how
  many modules it brings. raddle imports its engine when that is first asked for, which "raddle" asks for.
- first result: after the import, from making the pool to the first result of 1,000 items that do nothing, in a fresh
  interpreter.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

from _common import Calls, Entry, Options, Report, chosen, measure, number, parse, ratio, say, serve, spread
from _items import nothing
from _peers import NEEDS, OPEN

IMPORTS = {
    "raddle": "raddle; raddle.run",
    "raddle, only mentioned": "raddle",
    "concurrent.futures": "concurrent.futures.process, concurrent.futures.thread",
    "multiprocessing": "multiprocessing.pool",
    "asyncio": "asyncio",
    "joblib": "joblib",
    "mpire": "mpire",
    "pebble": "pebble",
    "distributed": "distributed",
    "ray": "ray",
}
FIRST = (
    "raddle processes",
    "raddle threads",
    "raddle",
    "ProcessPoolExecutor.map",
    "Pool.imap_unordered",
    "joblib loky",
    "mpire imap",
    "pebble ProcessPool.map",
    "ThreadPoolExecutor.map",
    "dask client.map",
    "ray",
)

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def first(peer: str) -> dict[str, Any]:
    from raddle import run  # noqa: F401 - with its engine: the imports are in the other table

    for module in (NEEDS.get(peer), "mpire" if "mpire" in peer else None):
        if module:
            __import__(module)
    began = time.perf_counter()
    with OPEN[peer](nothing, range(1000)) as results:
        next(iter(results))
        return report_now(began)


def report_now(began: float) -> dict[str, Any]:
    return {"ms": (time.perf_counter() - began) * 1e3}


CALLS: Calls = {"first": first}

# --------------------------------------------------------------------------------------------------------- the script


def import_table(report: Report, options: Options) -> None:
    names = [name for name in IMPORTS if name.startswith("raddle") or options.peers]
    if options.only:
        names = [name for name in names if options.only.lower() in name]
    rounds = options.rounds if options.rounds > 1 else 2
    bare: list[float] = []
    costs: dict[str, list[float]] = {name: [] for name in names}
    modules: dict[str, str] = {}
    for name in names:
        say(f"import {name}")
        text = f"import sys; before = len(sys.modules); import {IMPORTS[name]}; print(len(sys.modules) - before)"
        found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            modules[name] = found.stdout.strip()
    for index in range(rounds):
        say(f"imports, round {index + 1} of {rounds}")
        bare.append(interpreter("pass"))
        for name in modules:
            costs[name].append(interpreter(f"import {IMPORTS[name]}"))
    floor = statistics.median(bare)
    least = min(bare)
    rows = [("python -c pass", *(number(1e3 * value, "{:.1f}") for value in (floor, least)), "", "")]
    own = statistics.median(costs["raddle"]) - floor if costs.get("raddle") else None
    for name in names:
        if name not in modules:
            rows.append((name, "not installed", "", "", ""))
            continue
        extra = [1e3 * (statistics.median(costs[name]) - floor), 1e3 * (min(costs[name]) - least)]
        rows.append((name, *(f"{value:.1f}" for value in extra), modules[name], ratio(own and own * 1e3, extra[0])))
    head = ("import", "ms more than bare: median", "fastest", "modules", "raddle's time / theirs")
    report.table(head, rows, title=f"Import, median of {rounds} fresh interpreters")
    if own is not None:
        report.goal("ms to import raddle with its engine", "< 60", 1e3 * own, met=own < 0.06, form="{:.0f}")


def interpreter(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def first_table(report: Report, options: Options) -> list[Entry]:
    wanted = [name for name in FIRST if name != "raddle" or not options.quick]
    entries = [
        Entry(
            "first",
            name,
            "first",
            {"peer": name},
            NEEDS.get(name, ""),
            60,
            1 if name in {"dask client.map", "ray"} else 0,
        )
        for name in wanted
    ]
    entries = chosen(entries, options)
    measure(entries, options)
    ours = next((entry.median("ms") for entry in entries if entry.ours), None)
    rows = []
    for entry in entries:
        found = entry.median("ms")
        name = "raddle (auto)" if entry.name == "raddle" else entry.name
        rows.append(
            (name, number(found, "{:,.1f}") or entry.trouble, spread(entry.values("ms"), "{:,.1f}"), ratio(ours, found))
        )
    report.table(
        ("first result after", "ms", "min – max", "raddle processes' time / theirs"), rows, title="First result"
    )
    if ours:
        report.goal("ms to the first result, processes", "<= 10", ours, met=ours <= 10, form="{:.1f}")
    return entries


def main() -> None:
    options = parse(__doc__, rounds=15)
    report = Report("Start-up", options)
    import_table(report, options)
    few = options if options.quick else options.few(5)
    report.end(first_table(report, few))


if __name__ == "__main__":
    serve(CALLS)
    main()
