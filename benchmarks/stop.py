"""How long until control is back, and what goes on running? Ctrl-C, the first error, and kill -9 of the program.

    python benchmarks/stop.py

- Ctrl-C: both workers are in an item of 12 s (asleep, or in one call of C code that looks at no signal). SIGINT goes
  to the process group, as a terminal sends it (`--full`: or to the program alone). Time until it is gone.
- First error: item 100 of 10,000 raises, each takes 10 ms. Time until the call is left, and how many items ran at all.
- kill -9 of the program in the middle: how many of its processes are alive a second later, and do they start items?
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _items
from _common import (
    WORKERS,
    Calls,
    Child,
    Entry,
    Options,
    Report,
    by_group,
    chosen,
    give_up_after,
    number,
    parse,
    run_entry,
    say,
    serve,
)
from _peers import NEEDS, OPEN, exhaust

if TYPE_CHECKING:
    from collections.abc import Sequence

GROUP, ALONE = "Ctrl-C", "SIGINT to the program alone"
TRACE = "trace"

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def run(peer: str, func: str, count: int, **options: Any) -> dict[str, Any]:
    trace = str(Path(TRACE).resolve())
    with OPEN[peer](getattr(_items, func), [trace] * count, **options) as results:
        exhaust(results)
    return {}


def fail(peer: str, count: int, cap: float, **options: Any) -> dict[str, Any]:
    trace = Path(TRACE).resolve()
    trace.touch()
    with OPEN[peer](_items.nothing, range(WORKERS)) as results:
        exhaust(results)  # joblib keeps its pool
    give_up_after(cap, lambda: {"back": None, "ran": trace.stat().st_size})
    began = time.perf_counter()
    raised = "nothing"
    try:
        with OPEN[peer](_items.fail_at_100, [f"{index} {trace}" for index in range(count)], **options) as results:
            exhaust(results)
    except ValueError:
        raised = "ValueError"
    back = time.perf_counter() - began
    time.sleep(0.5)  # does anything still start?
    return {"back": back, "ran": trace.stat().st_size, "raised": raised}


def fail_as_completed(count: int, cap: float) -> dict[str, Any]:
    """What many programs do: submit all, take them as they complete, and raise."""
    trace = Path(TRACE).resolve()
    trace.touch()
    give_up_after(cap, lambda: {"back": None, "ran": trace.stat().st_size})
    began = time.perf_counter()
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            for future in as_completed([pool.submit(_items.fail_at_100, f"{i} {trace}") for i in range(count)]):
                future.result()
    except ValueError:
        pass
    return {"back": time.perf_counter() - began, "ran": trace.stat().st_size}


CALLS: Calls = {"run": run, "fail": fail, "fail_as_completed": fail_as_completed}

# --------------------------------------------------------------------------------------------------------- the script


def signalled(entry: Entry, which: str, cap: float) -> dict[str, Any]:
    """Start it, wait until all workers are in an item, send SIGINT, and wait until the program is gone."""
    with Child(entry) as child:
        trouble = await_items(child, WORKERS)
        if trouble:
            return trouble
        time.sleep(0.3)
        began = time.perf_counter()
        if which == GROUP:
            os.killpg(child.process.pid, signal.SIGINT)
        else:
            child.process.send_signal(signal.SIGINT)
        gone = child.ended_within(cap)
        seconds = time.perf_counter() - began
        if not gone:
            return {"seconds": None, "cap": cap}
        time.sleep(0.2)
        return {"seconds": seconds, "left": len(child.marked.pids())}


def killed(entry: Entry) -> dict[str, Any]:
    with Child(entry) as child:
        trouble = await_items(child, 2 * WORKERS)
        if trouble:
            return trouble
        child.process.send_signal(signal.SIGKILL)
        child.process.wait()
        time.sleep(1.0)
        left, started = len(child.marked.pids()), size(child)
        time.sleep(0.5)
        return {"orphans": left, "more": size(child) - started}


def await_items(child: Child, many: int) -> dict[str, Any] | None:
    deadline = time.perf_counter() + 30
    while size(child) < many:
        if child.ended_within(0.01) or time.perf_counter() > deadline:
            return child.figures(ended=True)
    return None


def size(child: Child) -> int:
    trace = child.folder / TRACE
    return trace.stat().st_size if trace.exists() else 0


PROCESSES = (
    "raddle processes",
    "ProcessPoolExecutor.map",
    "Pool.imap_unordered",
    "joblib loky",
    "mpire imap",
    "pebble ProcessPool.map",
)
THREADS = ("raddle threads", "ThreadPoolExecutor.map", "pebble ThreadPool.map")


def interrupts(report: Report, options: Options) -> list[Entry]:
    cap = options.pick(6.0, 3.0)
    cases = [("asleep", "sleep_long", GROUP), ("in C", "stuck_in_c", GROUP), ("asleep", "sleep_long", ALONE)]
    entries = []
    for state, func, which in cases[:1] if options.quick else cases if options.full else cases[:2]:
        for name in (*PROCESSES, *THREADS):
            params = {"peer": name, "func": func, "count": 6}
            entry = Entry(f"{state}, {which}", name, "run", params, NEEDS.get(name, ""))
            if entry.ours:
                params["workers"] = WORKERS
                at_once = replace(entry, name=f"{name}, grace=0", params={**params, "grace": 0}, results=[])
                entries += [at_once] if options.quick else [entry, at_once]
            else:
                entries.append(entry)
    entries = chosen(entries, options)
    for entry in entries:
        if entry.installed:
            say(f"{entry.group}: {entry.name}")
            entry.results.append(signalled(entry, GROUP if GROUP in entry.group else ALONE, cap))
            seconds = entry.median("seconds")
            if entry.name.startswith("raddle processes") and not entry.trouble:
                shown = cap if seconds is None else seconds
                report.goal(
                    f"s until the program is gone, {entry.name}, {entry.group}", "<= 0.1", shown, met=shown <= 0.1
                )
    groups = dict(by_group(entries))
    rows = []
    for name in dict.fromkeys(entry.name for entry in entries):
        row = [name]
        for members in groups.values():
            row += [next((stop_cell(entry) for entry in members if entry.name == name), "")]
        rows.append(row)
    note = "raddle gives running attempts `grace` seconds (default 5) after the first Ctrl-C; a second one kills them."
    report.table(
        ("seconds until the program is gone", *groups), rows, title="Ctrl-C while items of 12 s run", note=note
    )
    return entries


def stop_cell(entry: Entry) -> str:
    if entry.trouble:
        return entry.trouble
    found = entry.results[-1]
    if found["seconds"] is None:
        return f"> {found['cap']:.0f}"
    return f"{found['seconds']:.2f}" + (f" ({found['left']} processes left)" if found["left"] else "")


def first_error(report: Report, options: Options) -> list[Entry]:
    cap = options.pick(5.0, 4.0)  # raises at 0.5 s
    params = {"count": options.pick(10_000, 2_000), "cap": cap}
    entries = []
    for name in (*PROCESSES, *THREADS):
        more = {"on_error": "fail", "workers": WORKERS} if name.startswith("raddle") else {}
        entries.append(Entry("fail", name, "fail", {"peer": name, **params, **more}, NEEDS.get(name, ""), cap + 5))
    entries.append(Entry("fail", "ThreadPoolExecutor, submit + as_completed", "fail_as_completed", params, "", cap + 5))
    entries = chosen(entries, options)
    for entry in entries:
        if entry.installed:
            say(f"first error: {entry.name}")
            for _ in range(options.rounds):
                entry.results.append(run_entry(entry))
                if entry.results[-1].get("back") is None:
                    break  # it takes the whole time that there is
    rows = []
    for entry in entries:
        back, ran = entry.median("back"), entry.median("ran")
        rows.append((entry.name, entry.trouble or number(back) or f"> {cap:.0f}", number(ran, "{:,.0f}")))
        if entry.name == "raddle processes" and ran is not None:
            shown = cap if back is None else back
            report.goal("s until the call is left after item 100 of 10 ms failed", "<= 0.61", shown, met=shown <= 0.61)
            report.goal("items run by then", "<= 113", ran, met=ran <= 113, form="{:.0f}")
    ideal = 101 * 0.01 / WORKERS
    note = f"Ideal: {ideal:.2f} s and {100 + WORKERS} items. Median of {options.rounds} rounds."
    head = ("what", "control back after, s", "items that ran")
    report.table(head, rows, title=f"Item 100 of {params['count']:,} raises, 10 ms each", note=note)
    return entries


def kill_nine(report: Report, options: Options) -> list[Entry]:
    names: Sequence[str] = PROCESSES
    entries = chosen(
        [
            Entry("kill", name, "run", {"peer": name, "func": "sleep_short", "count": 1000}, NEEDS.get(name, ""))
            for name in names
        ],
        options,
    )
    rows = []
    for entry in entries:
        if entry.installed:
            say(f"kill -9: {entry.name}")
            entry.results.append(killed(entry))
        orphans, more = entry.median("orphans"), entry.median("more")
        rows.append((entry.name, entry.trouble or number(orphans, "{:.0f}"), number(more, "{:.0f}")))
        if entry.ours:
            report.goal("processes alive 1 s after kill -9", "0", orphans, met=orphans == 0, form="{:.0f}")
    head = ("what", "processes alive 1 s later", "items started in the next 0.5 s")
    report.table(head, rows, title="kill -9 of the program, items of 100 ms")
    return entries


def main() -> None:
    options = parse(__doc__, rounds=3)
    report = Report("Stopping", options)
    entries = interrupts(report, options)
    entries += first_error(report, options)
    entries += kill_nine(report, options)
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
