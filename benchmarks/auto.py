"""Does `backend="auto"` choose right? Beside every choice by hand, for work of each kind.

    python benchmarks/auto.py [--only FFT]

A figure is outcomes taken in the first seconds of a call, start and decision included, on an endless source, each in a
fresh interpreter. First all choices by hand run for a second; then auto and the two best of them for longer, in
interleaved rounds (the second best in the first only). The ratio is auto's rate by that of the better one: 1.00 is
perfect, 0.90 is the goal.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import _items
import raddle
from _common import Calls, Entry, Options, Report, chosen, number, parse, run_entry, say, serve, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOAL = 0.9
PLAIN = ("serial 0", "threads 2", "threads 8", "threads 64", "processes 2", "processes 8")
THREADS = ("serial 0", "threads 2", "threads 8", "threads 64")
LOOP = ("asyncio 16", "asyncio 64", "asyncio 512")

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def cpu(_: int) -> float:
    return _items.spin(5)


def unpicklable() -> Callable[[int], None]:
    """Make a closure over a lock. Another thread is alive, so no worker can be forked from this program either."""
    lock = threading.Lock()
    threading.Thread(target=threading.Event().wait, daemon=True).start()

    def func(_: int) -> None:
        with lock:
            pass
        time.sleep(0.01)

    return func


def work(kind: str) -> tuple[Any, Iterator[Any]]:
    """Return the function and its endless items."""
    if kind == "small FFTs":
        import _arrays

        return _arrays.small_ffts, itertools.count()
    if kind == "FFT of 8 MB":
        import _arrays

        return _arrays.large_fft, itertools.repeat(_arrays.large_array())
    if kind == "unpicklable":
        return unpicklable(), itertools.count()
    return FUNCTIONS[kind], itertools.count()


FUNCTIONS: dict[str, Any] = {
    "CPU": cpu,
    "sleep": _items.sleep_10,
    "program": _items.program,
    "coroutine": _items.sleep_10_async,
    "tiny": _items.nothing,
    "half": _items.half_and_half,
}


def rate(kind: str, backend: str, workers: int, seconds: float) -> dict[str, Any]:
    func, items = work(kind)
    got = 0
    began = time.perf_counter()
    with raddle.run(func, items, backend=backend, workers=workers) as run:
        for outcome in run:
            if not outcome.ok:
                outcome.unwrap()
            got += 1
            now = time.perf_counter() - began
            if now >= seconds:
                break
        decision = run.summary.decision or run.summary.backend
    return {"rate": got / now, "decision": decision}


CALLS: Calls = {"rate": rate}

# --------------------------------------------------------------------------------------------------------- the script


@dataclass(frozen=True)
class Workload:
    name: str
    kind: str
    choices: tuple[str, ...] = PLAIN
    needs: str = ""


WORKLOADS = (
    Workload("pure Python, 5 ms of CPU", "CPU"),
    Workload("NumPy FFTs of 64 KB, 5 ms", "small FFTs", needs="numpy"),
    Workload("NumPy FFT, items of 8 MB", "FFT of 8 MB", needs="numpy"),
    Workload("asleep for 10 ms", "sleep"),
    Workload("waits for a program (sleep 0.01)", "program"),
    Workload("coroutines asleep for 10 ms", "coroutine", LOOP),
    Workload("tiny (does nothing)", "tiny"),
    Workload("unpicklable function, asleep for 10 ms", "unpicklable", THREADS),
    Workload("half waiting, half CPU (5 + 5 ms)", "half"),
)
QUICK = {"sleep"}


def contestant(load: Workload, choice: str, seconds: float) -> Entry:
    backend, _, workers = choice.partition(" ")
    params = {"kind": load.kind, "backend": backend, "workers": int(workers or 0), "seconds": seconds}
    return Entry(load.name, f"raddle {choice}", "rate", params, load.needs, seconds + 30)


def sweep(load: Workload, options: Options, seconds: float) -> tuple[list[Entry], str]:
    """Run all choices by hand for a moment; return the two best to run for longer, and what was seen."""
    entries = [contestant(load, choice, seconds) for choice in load.choices]
    for entry in entries:
        say(f"{entry.group}: {entry.name}")
        entry.results.append(run_entry(entry))
    best = sorted(entries, key=lambda entry: -(entry.median("rate") or 0))[: options.pick(2, 1)]
    seen = ", ".join(
        f"{entry.name.removeprefix('raddle ')}: {number(entry.median('rate'), '{:,.0f}')}" for entry in entries
    )
    return best, seen


def compare(report: Report, load: Workload, options: Options) -> tuple[list[Entry], list[str]]:
    short, long = options.pick(1.0, 0.1), options.pick(5.0, 0.5)
    best, seen = sweep(load, options, short)
    names = [entry.name.removeprefix("raddle ") for entry in best]
    entries = [contestant(load, choice, long) for choice in ("auto", *names)]
    for index in range(options.rounds):
        for entry in entries if index == 0 else entries[:2]:
            say(f"{entry.group}: {entry.name}, round {index + 1} of {options.rounds}")
            entry.results.append(run_entry(entry))
    auto, manual = entries[0], max(entries[1:], key=lambda entry: entry.median("rate") or 0)
    if auto.trouble or manual.trouble:
        return entries, [load.name, auto.trouble, manual.trouble, "", "", "", seen]
    ours, theirs = auto.median("rate"), manual.median("rate")
    part = ours / theirs if ours and theirs else 0.0
    report.goal(f"auto by the best choice, {load.name}", f">= {GOAL}", part, met=part >= GOAL)
    return entries, [
        load.name,
        f"{number(ours, '{:,.0f}')} ({spread(auto.values('rate'), '{:,.0f}')})",
        f"{number(theirs, '{:,.0f}')} ({spread(manual.values('rate'), '{:,.0f}')})",
        manual.name.removeprefix("raddle "),
        f"{part:.2f}",
        str(auto.results[-1]["decision"]).replace("|", "/"),
        seen,
    ]


def main() -> None:
    options = parse(__doc__, rounds=2)
    report = Report('backend="auto"', options)
    loads = [load for load in WORKLOADS if not options.quick or load.kind in QUICK]
    entries: list[Entry] = []
    rows = []
    for load in loads:
        probe = contestant(load, "auto", 1.0)
        if not chosen([probe], options):
            continue
        if not probe.installed:
            rows.append([load.name, f"{load.needs} is not installed", *[""] * 5])
            continue
        found, row = compare(report, load, options)
        entries += found
        rows.append(row)
    head = ("work", "auto, items a second", "best by hand", "which", "ratio", "decision", "all choices, for a moment")
    report.table(head, rows)
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
